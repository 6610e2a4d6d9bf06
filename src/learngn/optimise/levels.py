"""A pair of features at every level: what each level's minimisation works on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch.nn.functional as F
from torch import Tensor

from learngn.features import FeatureImage, common_grids
from learngn.geometry import sampling
from learngn.geometry.grid import FloatArray, Grid
from learngn.settings import Level


@dataclass(frozen=True, eq=False)
class Compared:
    """What a displacement brings together.

    Attributes
    ----------
    fixed, warped : Tensor, shape (N, C, *R)
    weight : Tensor, shape (N, 1, *R), or None for one
        How much each voxel counts.
    """

    fixed: Tensor
    warped: Tensor
    weight: Tensor | None

    @property
    def covered(self) -> float:
        """Mean weight."""
        return 1.0 if self.weight is None else max(float(self.weight.detach().mean()), 1e-6)


@dataclass(frozen=True, eq=False)
class PairLevel:
    """Fixed and moving features at one level of the schedule.

    Attributes
    ----------
    level : Level
    grid : Grid
        The displacement's.
    fixed : FeatureImage
        On the displacement's grid or on one some times finer.
    moving : FeatureImage
        On a grid of its own.
    to_moving : array, shape (D+1, D+1)
        From an index of `fixed` to one of `moving`, where there is no displacement.
    overlap : bool
        Nothing counts that lies outside the moving image.
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

    def compared(self, u: Tensor) -> Compared:
        """``φ_F(x)`` beside ``φ_M(x + u(x))``, where the fixed features lie, for a displacement (N, D, *S) [voxel]."""
        warped, seen = self._seen(self.moving, u, self.to_moving, self.overlap)
        return Compared(self.fixed.data, warped, _product(self.fixed.weight, seen))

    def _seen(self, image: FeatureImage, u: Tensor, matrix: FloatArray, overlap: bool) -> tuple[Tensor, Tensor | None]:
        """An image and its weight where a displacement takes the fixed features' grid."""
        shape = self.fixed.grid.shape
        field = sampling.resize_field(u, shape)
        warped = sampling.warp(image.data, field, matrix, shape)
        weight = None if image.weight is None else sampling.warp(image.weight, field, matrix, shape)
        if overlap:
            within = sampling.inside(image.grid.shape, field, matrix, shape, warped).to(warped.dtype)
            weight = _product(weight, within)
        return warped, weight


@dataclass(frozen=True, eq=False)
class SymmetricPairLevel(PairLevel):
    """Both images displaced, as seen from half-way between them.

    A displacement is two, one after the other along the first axis, (2N, D, *S): from half-way into the moving image
    and into the fixed one.
    """

    def compared(self, u: Tensor) -> Compared:
        """``φ_F(x + b(x))`` beside ``φ_M(x + a(x))`` for the two displacements a and b."""
        into_moving, into_fixed = u.chunk(2)
        warped, seen = self._seen(self.moving, into_moving, self.to_moving, self.overlap)
        fixed, seen_fixed = self._seen(self.fixed, into_fixed, sampling.identity_map(self.grid.ndim), self.overlap)
        return Compared(fixed, warped, _product(seen_fixed, seen))


def _product(a: Tensor | None, b: Tensor | None) -> Tensor | None:
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
    """Bring a pair to every level of a schedule.

    Parameters
    ----------
    levels : sequence of Level
        Coarse to fine.
    fixed, moving : FeatureImage
        Features with the same channels; the grids may differ.
    world : array, shape (D+1, D+1)
        Affine that follows the displacement, fixed RAS mm to moving RAS mm.
    voxel : float, optional
        What a stride of one means [mm]; by default the finest spacing of the fixed features.
    refinement : int
        How many times finer than the displacement's grid the features are wanted.
    symmetric : bool
        Displace both images.
    overlap : bool
        Nothing counts that lies outside the moving image (outside either, if symmetric).

    Returns
    -------
    list of PairLevel
    """
    unit = float(fixed.grid.spacing.min()) if voxel is None else voxel
    # What is sampled lies with its channels together, what is differentiated with each in one piece.
    if not symmetric:
        fixed = replace(fixed, data=fixed.data.contiguous())
    grids = [common_grids(fixed.grid, moving.grid, level.stride * unit)[0] for level in levels]
    fixed_grids = [g if refinement == 1 else g.resized([refinement * n for n in g.shape]) for g in grids]
    moving_grids = [common_grids(fixed.grid, moving.grid, level.stride * unit / refinement)[1] for level in levels]
    kind = SymmetricPairLevel if symmetric else PairLevel
    return [
        kind(level, grid, ours, theirs, ours.grid.index_map(theirs.grid, world), overlap)
        for level, grid, ours, theirs in zip(
            levels, grids, on_grids(fixed, fixed_grids), on_grids(moving, moving_grids), strict=True
        )
    ]


def on_grids(image: FeatureImage, grids: Sequence[Grid]) -> list[FeatureImage]:
    """An image and its weight on every grid."""
    if image.weight is None:
        return [FeatureImage(data, grid) for data, grid in zip(sampling.pyramid(image.data, grids), grids, strict=True)]
    # What does not count must not reach what does through averages, interpolation and differences, which look at
    # neighbours: it is filled in, and what borders on it does not count either, as its derivative would be made up.
    data, weight = sampling.filled(image.data, image.weight > 0), _surrounded(image.weight)
    parts = zip(sampling.pyramid(data, grids), grids, sampling.pyramid(weight, grids), strict=True)
    return [FeatureImage(*part) for part in parts]


def _surrounded(weight: Tensor) -> Tensor:
    """Smallest weight among a voxel and its neighbours, (N, 1, *S); unless that leaves nothing at all."""
    largest = F.max_pool3d if weight.ndim == 5 else F.max_pool2d
    smallest: Tensor = -largest(-weight, 3, stride=1, padding=1)
    return smallest if bool((smallest > 0).any()) else weight


def first_displacement(fixed: FeatureImage, grid: Grid, initial: Tensor | None) -> Tensor:
    """Displacement on a grid to begin with, (N, D, *S) [voxel]: `initial`, of any shape over its extent, or zero."""
    if initial is not None:
        return sampling.resize_field(initial, grid.shape)
    return fixed.data.new_zeros((len(fixed.data), grid.ndim, *grid.shape))
