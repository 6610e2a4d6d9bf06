"""Linear motion of the frames of a series: rigid motion correction, for example."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from learngn.errors import GeometryError
from learngn.features import Feature, parse_features
from learngn.features.filters import gaussian
from learngn.geometry.grid import FloatArray, Grid
from learngn.geometry.image import Image
from learngn.geometry.mean_position import from_mean
from learngn.geometry.transform import Affine, Transform
from learngn.optimise import FAMILIES, AffineGaussNewton
from learngn.registration import Request
from learngn.series.smoothing import smoothed_matrices

_FEATURES = "intensity"
_SPACINGS = (1 / 12, 1 / 24, 1 / 48)  # of the levels, as fractions of the longest side
_FINER = 1.5  # least ratio of the spacings of two levels
_MOST_VOXELS = 2_000_000  # of the finest level
# Standard deviation of a smoothing [voxel of the finest level]. Where a frame is interpolated, its noise is averaged;
# without smoothing, the residual is smaller there, and the motion is wrong by tenths of a voxel.
_SMOOTH = 1.5


class LinearMotion:
    """Linear maps of all frames; see :class:`learngn.series.register.Motion`.

    Parameters
    ----------
    frames : sequence of Image
    kind : str
        Name of the family of linear maps, see :data:`learngn.optimise.FAMILIES`.
    request : Request, optional
        Features to compare; by default intensities.
    """

    def __init__(self, frames: Sequence[Image], kind: str, request: Request | None = None) -> None:
        features = None if request is None else request.features
        self._feature: Feature = parse_features(_FEATURES) if features is None else _feature(features)
        self._frames, self._family = frames, FAMILIES[kind]
        self._matrices: list[FloatArray] = [np.eye(frames[0].grid.ndim + 1) for _ in frames]

    def align(self, number: int, reference: Image, neighbour: int) -> None:
        """Register a frame, from the position in the headers or the motion of a frame, whichever fits better.

        Raises
        ------
        GeometryError
            If no map aligns it.
        """
        finest, extent = _finest(reference.grid), float(reference.grid.extent.max())
        spacings = [part for part in _SPACINGS if part * extent > _FINER * finest] + [finest / extent]
        stage = AffineGaussNewton(self._family, spacings=tuple(spacings))
        starts = {"neighbour": self._matrices[neighbour], "header": np.eye(reference.grid.ndim + 1)}
        features = self._feature(reference, self._frames[number], finest)
        fixed, moving = (replace(one, data=gaussian(one.data, one.grid, _SMOOTH * finest)) for one in features)
        found = stage(fixed, moving, starts)
        if not np.isfinite(found.energy):
            raise GeometryError(
                f"frame {number}", "no linear alignment", "frames of the same part of the body", "look at the frame"
            )
        self._matrices[number] = found.matrix

    def recentre(self) -> None:
        """Move the reference to the mean position: the mean of the maps becomes the identity."""
        self._matrices = from_mean(self._matrices)

    def smooth(self, weights: FloatArray) -> None:
        """Smooth the motion in time, see :func:`learngn.series.smoothing.smoother`."""
        self._matrices = smoothed_matrices(self._matrices, weights)

    def transforms(self) -> tuple[Transform, ...]:
        """Transforms from the reference to every frame."""
        return tuple(Affine(matrix) for matrix in self._matrices)

    def inverses(self) -> tuple[Transform, ...]:
        """Transforms from every frame to the reference."""
        return tuple(Affine(matrix).inverse() for matrix in self._matrices)


def _feature(features: str | Feature) -> Feature:
    return parse_features(features) if isinstance(features, str) else features


def _finest(grid: Grid) -> float:
    """Return the spacing of the finest level [mm]: that of the frames, unless they are very large."""
    spacing = float(grid.spacing.min())
    while grid.coarsened(spacing).size > _MOST_VOXELS:
        spacing *= 1.1
    return spacing
