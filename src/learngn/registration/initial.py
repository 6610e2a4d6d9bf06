"""Initial transform of a registration: its linear part places the moving scan, its displacement starts the optimiser.

The linear map W of the initial transform is applied to the header of the moving scan, exactly and without
interpolation: in that world the registration runs as if the scans had come so. Its result is brought back by W.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from learngn.arrays import Array, as_numpy, lattice, namespace, shared
from learngn.errors import TransformError
from learngn.features import Feature, FeatureImage, Traits
from learngn.geometry import sampling
from learngn.geometry.grid import FloatArray, Grid, apply_affine
from learngn.geometry.grid_map import GridMap
from learngn.geometry.image import Image
from learngn.geometry.transform import Affine, Composite, DisplacementField, Transform
from learngn.interop import TransformLike, as_transform, transform_files
from learngn.registration.pair import RegistrationPair
from learngn.registration.resolve import Resolved
from learngn.settings.settings import NO_AFFINE

_WHAT, _ROLE = "initial transform", "initial_transform"
_MOST_POINTS = 100_000  # voxels by which the linear part of a displacement is found
_LARGEST_VOLUME = 8.0  # change of volume by a displacement's linear part above which none is split off


@dataclass(frozen=True, eq=False)
class InitialTransform:
    """Initial transform of a pair: a displacement of the fixed grid, if any, followed by a linear map.

    Attributes
    ----------
    matrix : array, shape (D+1, D+1)
        Linear map, fixed RAS mm to moving RAS mm.
    displacement : DisplacementField or None
        Displacement on the fixed grid, applied before the linear map.
    """

    matrix: FloatArray
    displacement: DisplacementField | None = None

    @classmethod
    def of(cls, transform: Transform, fixed: Grid, moving: Grid) -> InitialTransform:
        """Bring a transform to the form of a registration's result, and check that it suits the scans.

        The linear maps of a chain are kept. Of a displacement without any, such as a file that holds a whole
        transform, the linear map that is closest to it over the fixed grid is split off, so that the regulariser does
        not act on it; both together are the given transform at every voxel.

        Parameters
        ----------
        transform : Transform
            From the fixed to the moving world.
        fixed, moving : Grid
            Grids of the scans.

        Raises
        ------
        TransformError
            If the transform has another dimension than the scans, or leaves no part of the fixed scan inside the
            moving scan, or its displacement lies outside the fixed scan.
        """
        if transform.ndim != fixed.ndim:
            raise TransformError(
                _WHAT, f"a {transform.ndim}D one", f"a {fixed.ndim}D one for these scans", "check the file"
            )
        _check_field_covers(transform, fixed)
        on_grid = transform.on(fixed)
        if on_grid.field is None:
            initial = cls(on_grid.world)
        else:
            if np.allclose(on_grid.world, np.eye(fixed.ndim + 1), atol=1e-9):
                on_grid = _without_linear_part(on_grid.field, fixed)
            initial = cls(on_grid.world, DisplacementField(on_grid.field, fixed))
        initial._check_view(transform, fixed, moving)
        return initial

    def describe(self, affine: str) -> str:
        """Say what became of the initial transform, for the linear maps of the linear stage (``"none"``: left out)."""
        if self.displacement is not None:
            return "the initial transform, a displacement, which the optimisation has changed"
        kept = "kept as it is" if affine == NO_AFFINE else f"refined by the linear stage ({affine})"
        return f"the initial transform, a linear map, {kept}"

    def to_json(self, affine: str) -> dict[str, Any]:
        """Return the entry ``initial_transform`` of ``metrics.json``; `affine` as of :meth:`describe`."""
        matrix = [[round(float(value), 9) for value in row] for row in self.matrix]
        kind = "linear" if self.displacement is None else "displacement"
        return {"kind": kind, "matrix_ras": matrix, "description": self.describe(affine)}

    def settings(self, resolved: Resolved) -> Resolved:
        """Return settings without the stages whose result the initial transform gives."""
        if self.displacement is None:
            return resolved
        # Both stages begin without a displacement; their result would replace the given one.
        return replace(resolved, settings=replace(resolved.settings, affine="none", discrete=False))

    def placed(self, pair: RegistrationPair) -> RegistrationPair:
        """Return a pair whose moving scan, with what belongs to it, is placed by the linear map."""
        moving, keypoints, back = pair.moving, pair.keypoints, self._back
        image, mask = self._placed(moving.image), self._placed(moving.mask)
        if keypoints is not None:
            keypoints = replace(keypoints, moving=apply_affine(back, keypoints.moving))
        side = replace(moving, grid=moving.grid.moved(back), image=image, mask=mask, labels=self._placed(moving.labels))
        return replace(pair, moving=side, keypoints=keypoints)

    def feature(self, feature: Feature) -> Feature:
        """Return a feature for placed scans: one that reads files for a scan sees it where its header says."""
        return _InOwnWorld(feature, self.matrix) if feature.traits.tied else feature

    def start(self, like: Array) -> Array | None:
        """Return the displacement as the optimiser takes it, in the library and on the device of an array."""
        return None if self.displacement is None else shared(self.displacement.data, like)

    def carried_back(self, transform: Composite, inverse: Composite | None) -> tuple[Composite, Composite | None]:
        """Return the result for placed scans, and its inverse, for the scans themselves.

        Parameters
        ----------
        transform, inverse : Composite
            A displacement followed by an affine map, and their inverses in the opposite order.
        """
        field, affine = transform.parts
        if not isinstance(affine, Affine):
            raise TypeError("the second part of a registration's transform is its affine")
        total = Affine(self.matrix @ affine.matrix)
        back = None if inverse is None else Composite((total.inverse(), inverse.parts[1]))
        return Composite((field, total)), back

    @property
    def _back(self) -> FloatArray:
        return np.asarray(np.linalg.inv(self.matrix))

    def _placed(self, image: Image | None) -> Image | None:
        return None if image is None else replace(image, grid=image.grid.moved(self._back))

    def _check_view(self, transform: Transform, fixed: Grid, moving: Grid) -> None:
        """Raise :class:`TransformError` if no voxel of the fixed scan comes to lie inside the moving scan."""
        if self.displacement is None:
            seen = fixed.overlap(moving, self.matrix) > 0
        else:
            data, to_moving = self.displacement.data, fixed.index_map(moving, self.matrix)
            seen = bool(namespace(data).any(sampling.inside(moving.shape, data, to_moving, fixed.shape, data)))
        if seen:
            return
        remedy = "check that it belongs to these scans"
        if self.displacement is None and fixed.overlap(moving, self._back) > 0:
            remedy = "its inverse does: invert it (learngn convert --inverse), if it maps moving to fixed"
        raise TransformError(
            f"{_WHAT} {transform!r}",
            "one that moves the scans out of each other's view",
            "one that takes points of the fixed scan, in RAS mm, to points inside the moving scan",
            remedy,
        )


@dataclass(frozen=True, eq=False)
class _InOwnWorld:
    """A feature, computed from the moving scan in its own world, and placed with it."""

    feature: Feature
    matrix: FloatArray

    @property
    def name(self) -> str:
        """See :class:`learngn.features.Feature`."""
        return self.feature.name

    @property
    def traits(self) -> Traits:
        """See :class:`learngn.features.Feature`."""
        return self.feature.traits

    def __call__(self, fixed: Image, moving: Image, spacing: float) -> tuple[FeatureImage, FeatureImage]:
        """See :class:`learngn.features.Feature`."""
        own = replace(moving, grid=moving.grid.moved(self.matrix))
        fixed_features, moving_features = self.feature(fixed, own, spacing)
        back = np.asarray(np.linalg.inv(self.matrix))
        return fixed_features, replace(moving_features, grid=moving_features.grid.moved(back))


def read_initial(given: TransformLike | Sequence[TransformLike] | None, pair: RegistrationPair) -> Transform | None:
    """Read an initial transform with the grids of a pair; see :func:`learngn.interop.as_transform`.

    Raises
    ------
    TransformError
        If it cannot be read, or is singular or not finite.
    """
    if given is None:
        return None
    return as_transform(given, fixed=pair.fixed.grid, moving=pair.moving.grid)


def initial_files(given: TransformLike | Sequence[TransformLike] | None) -> dict[str, Path]:
    """Return the files of an initial transform by role: ``initial_transform``, ``initial_transform_2``, ..."""
    files = () if given is None else transform_files(given)
    return {_ROLE if number == 1 else f"{_ROLE}_{number}": path for number, path in enumerate(files, start=1)}


def _check_field_covers(transform: Transform, fixed: Grid) -> None:
    first = transform.parts[0] if isinstance(transform, Composite) and transform.parts else transform
    if isinstance(first, DisplacementField) and fixed.overlap(first.grid) == 0:
        raise TransformError(
            f"{_WHAT} {first!r}",
            "a displacement that lies outside the fixed scan",
            f"one over the fixed scan, {fixed}",
            "check that it belongs to this scan, and that fixed and moving scan are not exchanged",
        )


def _without_linear_part(field: Array, grid: Grid) -> GridMap:
    """Return a displacement as one without a linear part, followed by a linear map of the world."""
    matrix = grid.affine @ _linear_part(field, grid) @ np.linalg.inv(grid.affine)
    volume = float(np.linalg.det(matrix[:-1, :-1]))
    if not 1 / _LARGEST_VOLUME < volume < _LARGEST_VOLUME:
        return GridMap(grid, field, np.eye(grid.ndim + 1))
    rest = GridMap(grid, field, np.asarray(np.linalg.inv(matrix))).displacement()
    return GridMap(grid, rest, matrix)


def _linear_part(field: Array, grid: Grid) -> FloatArray:
    """Return the linear map of indices that is closest to a displacement [voxel], by least squares."""
    every = max(1, int(np.ceil((grid.size / _MOST_POINTS) ** (1 / grid.ndim))))
    part = (slice(None), *[slice(None, None, every)] * grid.ndim)
    index = np.asarray(lattice(grid.shape, np.zeros(1)))[part].reshape(grid.ndim, -1)
    moved = as_numpy(field)[0][part].reshape(grid.ndim, -1).astype(np.float64)
    centre = index.mean(axis=1, keepdims=True)
    known = np.concatenate([index - centre, np.ones((1, index.shape[1]))])
    # Of an axis with one voxel nothing is known: least squares of the smallest norm leave it as it is.
    change = np.linalg.lstsq(known.T, moved.T, rcond=None)[0].T
    matrix = np.eye(grid.ndim + 1)
    matrix[:-1, :-1] += change[:, :-1]
    matrix[:-1, -1] = change[:, -1] - change[:, :-1] @ centre[:, 0]
    return matrix
