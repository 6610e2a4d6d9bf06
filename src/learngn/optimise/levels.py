"""A pair of features at every level: what each level's minimisation works on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from learngn import sampling
from learngn.features import FeatureImage
from learngn.grid import FloatArray, Grid
from learngn.optimise.schedule import Level


@dataclass(frozen=True, eq=False)
class PairLevel:
    """Fixed and moving features at one level of the schedule.

    Attributes
    ----------
    level : Level
    grid : Grid
        The displacement's.
    fixed : Tensor, shape (N, C, *R)
        Fixed features, on the displacement's grid or on one some times finer.
    moving : Tensor, shape (N, C, *T)
        Moving features on a grid of their own.
    to_moving : array, shape (D+1, D+1)
        From an index of `fixed` to one of `moving`, where there is no displacement.
    """

    level: Level
    grid: Grid
    fixed: Tensor
    moving: Tensor
    to_moving: FloatArray

    @property
    def voxels(self) -> int:
        """Number of voxels of the displacement's grid, all samples together."""
        return len(self.fixed) * self.grid.size

    def warped(self, u: Tensor) -> Tensor:
        """``φ_M(x + u(x))`` where the fixed features lie, (N, C, *R), for a displacement (N, D, *S) [voxel]."""
        shape = self.fixed.shape[2:]
        return sampling.warp(self.moving, sampling.resize_field(u, shape), self.to_moving, shape)


def levels_of_pair(
    levels: Sequence[Level],
    fixed: FeatureImage,
    moving: FeatureImage,
    world: FloatArray,
    voxel: float | None = None,
    refinement: int = 1,
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

    Returns
    -------
    list of PairLevel
    """
    unit = float(fixed.grid.spacing.min()) if voxel is None else voxel
    grids = [fixed.grid.coarsened(level.stride * unit) for level in levels]
    fixed_grids = [g if refinement == 1 else g.resized([refinement * n for n in g.shape]) for g in grids]
    moving_grids = [moving.grid.coarsened(level.stride * unit / refinement) for level in levels]
    return [
        PairLevel(level, grid, ours, theirs, fixed_grid.index_map(moving_grid, world))
        for level, grid, ours, theirs, fixed_grid, moving_grid in zip(
            levels, grids,
            sampling.pyramid(fixed.data, fixed_grids), sampling.pyramid(moving.data, moving_grids),
            fixed_grids, moving_grids, strict=True,
        )
    ]  # fmt: skip


def first_displacement(fixed: FeatureImage, grid: Grid, initial: Tensor | None) -> Tensor:
    """Displacement on a grid to begin with, (N, D, *S) [voxel]: `initial`, of any shape over its extent, or zero."""
    if initial is not None:
        return sampling.resize_field(initial, grid.shape)
    return fixed.data.new_zeros((len(fixed.data), grid.ndim, *grid.shape))
