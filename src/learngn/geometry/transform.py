"""Transforms: maps from the fixed world to the moving world (pull-back), and operations on them.

The contract of every transform ``T``: ``warped(p) = moving(T(p))`` for points p in RAS mm.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from learngn.arrays import Array, as_numpy, finite, like, namespace, shared
from learngn.errors import ShapeError, TransformError
from learngn.geometry import sampling
from learngn.geometry.grid import FloatArray, Grid, apply_affine
from learngn.geometry.grid_map import GridMap, Interpolation
from learngn.geometry.image import Image

if TYPE_CHECKING:
    from learngn.interop.types import ImageLike

_NO_INVERSE = 0.5  # mean error [voxel] above which an inverse is refused


class Transform(ABC):
    """Map from the fixed to the moving world, RAS mm to RAS mm: ``warped(p) = moving(T(p))``."""

    @property
    @abstractmethod
    def ndim(self) -> int:
        """Number of spatial dimensions."""

    @abstractmethod
    def map_points(self, points: ArrayLike) -> FloatArray:
        """Map points of the fixed image to the moving image.

        Parameters
        ----------
        points : array, shape (..., D) [RAS mm]

        Returns
        -------
        array, shape (..., D) [RAS mm]

        Raises
        ------
        ShapeError
            If the points have another number of coordinates.
        """

    @abstractmethod
    def inverse(self) -> Transform:
        """Return the inverse transform, from the moving to the fixed world.

        Raises
        ------
        TransformError
            If the transform cannot be inverted.
        """

    @abstractmethod
    def after(self, inner: GridMap) -> GridMap:
        """Apply this transform after another one that is already sampled on a grid."""

    def on(self, grid: Grid) -> GridMap:
        """Sample the transform on a grid of the fixed world.

        Raises
        ------
        TransformError
            If the grid has another number of dimensions.
        """
        if grid.ndim != self.ndim:
            raise TransformError(
                "transform",
                f"a {self.ndim}D one",
                f"a {grid.ndim}D one for this image",
                "use the transform of this image",
            )
        return self.after(GridMap(grid, None, np.eye(grid.ndim + 1)))

    def warp(
        self,
        image: ImageLike,
        reference: Grid | ImageLike,
        *,
        labels: bool = False,
        interpolation: Interpolation | None = None,
        background: float | Literal["border"] | None = None,
    ) -> Image:
        """Resample a moving image onto a reference grid with one interpolation.

        Parameters
        ----------
        image : ImageLike
            Moving image: a path, an :class:`Image` or an image of another library; see
            :func:`learngn.interop.as_image`.
        reference : Grid or ImageLike
            Grid of the result, or an image on that grid; of a file only the header is read.
        labels : bool
            Whether the image is a label map; ignored for an Image, which knows it.
        interpolation, background
            See :meth:`learngn.geometry.grid_map.GridMap.warp`.

        Returns
        -------
        Image, (N, C, *S)

        Raises
        ------
        LearnGNError
            If an image cannot be read or converted, its dimension is another one, or the interpolation does not suit
            it.
        """
        from learngn.interop import as_grid, as_image

        on_grid, moving = self.on(as_grid(reference)), as_image(image, labels=labels)
        return on_grid.warp(moving, interpolation=interpolation, background=background)

    def then(self, following: Transform) -> Composite:
        """Return the composition of this transform and a following one: ``p -> following(self(p))``."""
        return Composite((*_parts(self), *_parts(following)))

    def save(self, path: str | Path, reference: Grid | ImageLike | None = None) -> None:
        """Write the transform to a file in the format of its suffix; see :func:`learngn.io.write_transform`.

        The reference is a grid, or an image on that grid as :meth:`warp` takes it.
        """
        from learngn.interop import as_grid
        from learngn.io import write_transform

        write_transform(self, Path(path), reference=None if reference is None else as_grid(reference))


@dataclass(frozen=True, eq=False)
class Affine(Transform):
    """Affine map of the world.

    Parameters
    ----------
    matrix : array, shape (D+1, D+1)
        Homogeneous matrix, fixed RAS mm to moving RAS mm.
    """

    matrix: FloatArray

    def __post_init__(self) -> None:
        matrix = np.array(self.matrix, dtype=np.float64)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.shape[0] not in (3, 4):
            raise TransformError("affine", f"shape {matrix.shape}", "(3, 3) or (4, 4)", "pass a homogeneous matrix")
        with np.errstate(all="ignore"):
            usable = np.isfinite(matrix).all() and abs(np.linalg.det(matrix[:-1, :-1])) >= 1e-9
        if not usable:
            raise TransformError("affine", "a singular or non-finite matrix", "an invertible one", "check its file")
        if not np.allclose(matrix[-1], np.eye(len(matrix))[-1], atol=1e-9):
            raise TransformError(
                "affine",
                f"the last row {matrix[-1].tolist()}",
                "0 ... 0 1",
                "pass a homogeneous matrix, not its transpose",
            )
        matrix.setflags(write=False)
        object.__setattr__(self, "matrix", matrix)

    def __repr__(self) -> str:
        shift = ", ".join(f"{value:.4g}" for value in self.matrix[:-1, -1] + 0.0)
        scale = np.linalg.det(self.matrix[:-1, :-1])
        return f"Affine({self.ndim}D, translation ({shift}) mm, volume x {scale:.3g})"

    @classmethod
    def identity(cls, ndim: int) -> Affine:
        """Return the identity in `ndim` dimensions."""
        return cls(np.eye(ndim + 1))

    @property
    def ndim(self) -> int:
        """See :attr:`Transform.ndim`."""
        return len(self.matrix) - 1

    def map_points(self, points: ArrayLike) -> FloatArray:
        """See :meth:`Transform.map_points`."""
        return apply_affine(self.matrix, _checked(points, self.ndim))

    def inverse(self) -> Affine:
        """See :meth:`Transform.inverse`."""
        return Affine(np.asarray(np.linalg.inv(self.matrix), dtype=np.float64))

    def after(self, inner: GridMap) -> GridMap:
        """See :meth:`Transform.after`."""
        return GridMap(inner.grid, inner.field, self.matrix @ inner.world)


@dataclass(frozen=True, eq=False)
class DisplacementField(Transform):
    """Dense displacement on a grid: ``T(p) = p + u(p)``, interpolated linearly, zero outside the grid (as in ITK).

    Parameters
    ----------
    data : Array, shape (1, D, *S) [voxel of grid, components in array order]
    grid : Grid
    """

    data: Array
    grid: Grid

    def __post_init__(self) -> None:
        expected = (1, self.grid.ndim, *self.grid.shape)
        if tuple(self.data.shape) != expected:
            raise TransformError(
                "displacement field",
                f"shape {tuple(self.data.shape)}",
                str(expected),
                "pass voxels of the field's own grid",
            )
        if not finite(self.data):
            raise TransformError("displacement field", "NaN or infinity", "finite displacements", "check its file")

    def __repr__(self) -> str:
        return f"DisplacementField({self.grid})"

    @classmethod
    def zero(cls, grid: Grid) -> DisplacementField:
        """Return the identity, as a displacement of zero on a grid."""
        return cls(np.zeros((1, grid.ndim, *grid.shape), dtype=np.float32), grid)

    @property
    def ndim(self) -> int:
        """See :attr:`Transform.ndim`."""
        return self.grid.ndim

    def map_points(self, points: ArrayLike) -> FloatArray:
        """See :meth:`Transform.map_points`."""
        points = _checked(points, self.ndim)
        index = self.grid.world_to_index(points.reshape(-1, self.ndim))
        moved = sampling.sample_points(as_numpy(self.data).astype(np.float64), index, outside=0.0)
        return self.grid.index_to_world(index + moved).reshape(points.shape)

    def inverse(self) -> DisplacementField:
        """See :meth:`Transform.inverse`; :func:`invert` also returns the error of the inverse."""
        inversion = invert(self)
        if inversion.error_mean > _NO_INVERSE:
            raise TransformError(
                "displacement field",
                f"an inverse that is wrong by {inversion.error_mean:.2g} voxels on average",
                f"at most {_NO_INVERSE} voxels",
                "register the images the other way round, or with a stronger regulariser",
            )
        return inversion.field

    def after(self, inner: GridMap) -> GridMap:
        """See :meth:`Transform.after`."""
        to_own = inner.grid.index_map(self.grid, inner.world)
        if inner.field is None and inner.grid.same_space(self.grid) and np.allclose(to_own, np.eye(self.ndim + 1)):
            return GridMap(inner.grid, self.data, inner.world)
        field = shared(inner.field, self.data)
        sampled = sampling.warp(self.data, field, to_own, inner.grid.shape, outside=0.0)
        xp, back = namespace(sampled), like(np.linalg.inv(to_own[:-1, :-1]), sampled)
        # A displacement v after the affine equals a displacement (linear part)^-1 v before it.
        moved = xp.reshape(back @ xp.reshape(sampled, (1, self.ndim, -1)), sampled.shape)
        return GridMap(inner.grid, moved if field is None else field + moved, inner.world)

    def jacobian_determinant(self) -> Array:
        """Return the determinant of ``I + ∇u``, shape (1, *S)."""
        return self.on(self.grid).jacobian_determinant()


@dataclass(frozen=True, eq=False)
class Composite(Transform):
    """Composition of several transforms; the first one is applied first: ``T(p) = T_k(... T_1(p))``."""

    parts: tuple[Transform, ...]

    def __post_init__(self) -> None:
        dimensions = {part.ndim for part in self.parts}
        if len(dimensions) != 1:
            raise TransformError(
                "composite",
                f"parts of {sorted(dimensions)} dimensions",
                "at least one part, all 2D or all 3D",
                "check them",
            )

    def __repr__(self) -> str:
        return f"Composite({', then '.join(map(repr, self.parts))})"

    @property
    def ndim(self) -> int:
        """See :attr:`Transform.ndim`."""
        return self.parts[0].ndim

    def map_points(self, points: ArrayLike) -> FloatArray:
        """See :meth:`Transform.map_points`."""
        mapped = _checked(points, self.ndim)
        for part in self.parts:
            mapped = part.map_points(mapped)
        return mapped

    def inverse(self) -> Composite:
        """See :meth:`Transform.inverse`."""
        return Composite(tuple(part.inverse() for part in reversed(self.parts)))

    def after(self, inner: GridMap) -> GridMap:
        """See :meth:`Transform.after`."""
        for part in self.parts:
            inner = part.after(inner)
        return inner


@dataclass(frozen=True, eq=False)
class Inversion:
    """Inverse of a displacement field, and its error.

    Attributes
    ----------
    field : DisplacementField
        The inverse.
    error_mean, error_max : float
        Mean and largest length of ``v + u(x + v)`` over the voxels that stay inside the grid [voxel].
    iterations : int
        Number of iterations.
    """

    field: DisplacementField
    error_mean: float
    error_max: float
    iterations: int


def invert(field: DisplacementField, *, iterations: int = 50, tolerance: float = 1e-3) -> Inversion:
    """Invert a displacement field by damped fixed-point iteration, ``v <- v - t (v + u(x + v))``.

    Parameters
    ----------
    field : DisplacementField
    iterations : int
        Largest number of iterations, at least one.
    tolerance : float
        Mean error at which to stop [voxel].

    Returns
    -------
    Inversion
        A field that folds has no inverse, which shows in the error.

    References
    ----------
    Chen et al., "A simple fixed-point approach to invert a deformation field", Med. Phys. 35(1), 2008.
    """
    u, shape = field.data, field.grid.shape
    xp = namespace(u)
    identity = sampling.identity_map(field.ndim)
    v, step = -u, 1.0
    best, mean, worst, count = v, np.inf, np.inf, 0
    while count < iterations and mean > tolerance:
        count += 1
        residual = v + sampling.warp(u, v, identity, shape)
        within = sampling.inside(shape, v, identity, shape, u)[:, 0]
        length = xp.sqrt(xp.sum(residual**2, axis=1))[within]
        counted = length.shape[0] > 0
        error = float(xp.mean(length)) if counted else 0.0
        if error < mean:
            best, mean, worst = v, error, float(xp.max(length)) if counted else 0.0
        else:  # the step overshoots: the field stretches too much for it
            step *= 0.5
        v = v - step * residual
    return Inversion(DisplacementField(best, field.grid), mean, worst, count)


def _checked(points: ArrayLike, ndim: int) -> FloatArray:
    """Return points as an array, shape (..., D); raise :class:`ShapeError` for another number of coordinates."""
    points = np.asarray(points, dtype=np.float64)
    if points.ndim == 0 or points.shape[-1] != ndim:
        raise ShapeError(
            "points", f"shape {points.shape}", f"(..., {ndim}) for a {ndim}D transform", "pass a row for each point"
        )
    return points


def _parts(transform: Transform) -> Sequence[Transform]:
    return transform.parts if isinstance(transform, Composite) else (transform,)


def as_homogeneous(linear: NDArray[np.float64], shift: NDArray[np.float64]) -> FloatArray:
    """Return the homogeneous matrix of a linear part, shape (D, D), and a translation, shape (D,)."""
    matrix = np.eye(len(shift) + 1)
    matrix[:-1, :-1], matrix[:-1, -1] = linear, shift
    return matrix
