"""Features of a pair at every level of the schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from learngn.arrays import Array, detached, in_order, largest_of_neighbours, like, namespace, zeros
from learngn.features import FeatureImage, common_grids
from learngn.geometry import sampling
from learngn.geometry.grid import FloatArray, Grid
from learngn.optimise.update import halves
from learngn.settings import Level


@dataclass(frozen=True, eq=False)
class Compared:
    """Fixed features, warped features and weight for one displacement.

    Attributes
    ----------
    fixed, warped : Array, shape (N, C, *R)
    weight : Array, shape (N, 1, *R), or None for one
        Weight of each voxel.
    """

    fixed: Array
    warped: Array
    weight: Array | None

    @property
    def covered(self) -> float:
        """Mean weight of the voxels."""
        if self.weight is None:
            return 1.0
        weight = detached(self.weight)
        return max(float(namespace(weight).mean(weight)), 1e-6)


@dataclass(frozen=True, eq=False)
class PairLevel:
    """Fixed and moving features at one level of the schedule.

    Attributes
    ----------
    level : Level
    grid : Grid
        Grid of the displacement.
    fixed : FeatureImage
        Fixed features, on the grid of the displacement or on a finer one.
    moving : FeatureImage
        Moving features, on their own grid.
    to_moving : array, shape (D+1, D+1)
        Maps the index of `fixed` to that of `moving`, without the displacement.
    overlap : bool
        Give voxels that are mapped outside the moving image the weight zero.
    """

    level: Level
    grid: Grid
    fixed: FeatureImage
    moving: FeatureImage
    to_moving: FloatArray
    overlap: bool = False

    @property
    def voxels(self) -> int:
        """Number of voxels of the displacement's grid, all samples together."""
        return len(self.fixed.data) * self.grid.size

    def compared(self, u: Array) -> Compared:
        """Return ``φ_F(x)`` and ``φ_M(x + u(x))`` on the grid of the fixed features, for u (N, D, *S) [voxel]."""
        warped, weight = self._warped(self.moving, u, self.to_moving, self.overlap)
        return Compared(self.fixed.data, warped, _product(self.fixed.weight, weight))

    def _warped(self, image: FeatureImage, u: Array, matrix: FloatArray, overlap: bool) -> tuple[Array, Array | None]:
        """Return an image and its weight, warped by a displacement onto the grid of the fixed features."""
        shape = self.fixed.grid.shape
        field = sampling.resize_field(u, shape)
        warped = sampling.warp(image.data, field, matrix, shape)
        weight = None if image.weight is None else sampling.warp(image.weight, field, matrix, shape)
        if overlap:
            inside = sampling.inside(image.grid.shape, field, matrix, shape, warped)
            weight = _product(weight, namespace(inside).astype(inside, warped.dtype))
        return warped, weight


@dataclass(frozen=True, eq=False)
class SymmetricPairLevel(PairLevel):
    """Fixed and moving features at one level, both displaced from half-way between the images.

    The displacement u has shape (2N, D, *S): those into the moving image, followed by those into the fixed image.
    """

    def compared(self, u: Array) -> Compared:
        """Return ``φ_F(x + b(x))`` and ``φ_M(x + a(x))``, a and b the displacements into moving and fixed image."""
        into_moving, into_fixed = halves(u)
        warped, weight = self._warped(self.moving, into_moving, self.to_moving, self.overlap)
        fixed, fixed_weight = self._warped(self.fixed, into_fixed, sampling.identity_map(self.grid.ndim), self.overlap)
        return Compared(fixed, warped, _product(fixed_weight, weight))


def _product(a: Array | None, b: Array | None) -> Array | None:
    if a is None or b is None:
        return b if a is None else a
    return a * b


def levels_of_pair(
    levels: Sequence[Level],
    fixed: FeatureImage,
    moving: FeatureImage,
    world: FloatArray,
    voxel: float | None = None,
    refinement: int = 1,
    *,
    symmetric: bool = False,
    overlap: bool = False,
) -> list[PairLevel]:
    """Compute the features of a pair at every level of a schedule.

    Parameters
    ----------
    levels : sequence of Level
        Levels, coarse to fine.
    fixed, moving : FeatureImage
        Features with the same channels; the grids may differ.
    world : array, shape (D+1, D+1)
        Affine applied after the displacement, fixed RAS mm to moving RAS mm.
    voxel : float, optional
        Voxel size of stride 1 [mm]; by default the finest spacing of the fixed features.
    refinement : int
        Factor by which the grid of the features is finer than that of the displacement.
    symmetric : bool
        Displace both images.
    overlap : bool
        Give voxels that are mapped outside the moving image (or either image, if symmetric) the weight zero.

    Returns
    -------
    list of PairLevel
    """
    unit = float(fixed.grid.spacing.min()) if voxel is None else voxel
    # Sampling is fastest with channels last, differences with channels first.
    if not symmetric:
        fixed = replace(fixed, data=in_order(fixed.data))
    grids = [common_grids(fixed.grid, moving.grid, level.stride * unit)[0] for level in levels]
    fixed_grids = [g if refinement == 1 else g.resized([refinement * n for n in g.shape]) for g in grids]
    moving_grids = [common_grids(fixed.grid, moving.grid, level.stride * unit / refinement)[1] for level in levels]
    kind = SymmetricPairLevel if symmetric else PairLevel
    return [
        kind(level, grid, fixed_level, moving_level, fixed_level.grid.index_map(moving_level.grid, world), overlap)
        for level, grid, fixed_level, moving_level in zip(
            levels, grids, on_grids(fixed, fixed_grids), on_grids(moving, moving_grids), strict=True
        )
    ]


def on_grids(image: FeatureImage, grids: Sequence[Grid]) -> list[FeatureImage]:
    """Return an image and its weight on every grid."""
    if image.weight is None:
        return [FeatureImage(data, grid) for data, grid in zip(sampling.pyramid(image.data, grids), grids, strict=True)]
    # Voxels of weight zero must not influence others through averages, interpolation and differences, which use
    # neighbours: they are filled in, and their neighbours get weight zero, too, as their differences use filled values.
    data, weight = sampling.filled(image.data, image.weight > 0), _surrounded(image.weight)
    parts = zip(sampling.pyramid(data, grids), grids, sampling.pyramid(weight, grids), strict=True)
    return [FeatureImage(*part) for part in parts]


def _surrounded(weight: Array) -> Array:
    """Return the smallest weight of each voxel and its neighbours, (N, 1, *S); `weight` if that is zero everywhere."""
    smallest = -largest_of_neighbours(-weight, weight.ndim - 2)
    return smallest if bool(namespace(weight).any(smallest > 0)) else weight


def first_displacement(fixed: FeatureImage, grid: Grid, initial: Array | None) -> Array:
    """Return the initial displacement on a grid, (N, D, *S) [voxel]: `initial`, resized to the grid, or zero."""
    if initial is not None:
        return sampling.resize_field(initial, grid.shape)
    return zeros((len(fixed.data), grid.ndim, *grid.shape), fixed.data)


def averaged_fields(field: Array, grids: Sequence[Grid]) -> list[Array]:
    """Return a displacement, (N, D, *S) [voxel], averaged on every grid over the same extent [voxel of that grid]."""
    fields = []
    for data, grid in zip(sampling.pyramid(field, grids), grids, strict=True):
        scale = [m / n for n, m in zip(field.shape[2:], grid.shape, strict=True)]
        fields.append(data * like(np.reshape(scale, (1, -1, *[1] * grid.ndim)), data))
    return fields
