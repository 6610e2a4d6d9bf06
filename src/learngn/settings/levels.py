"""Adaptation of the levels of a schedule to a grid."""

from __future__ import annotations

import math
from dataclasses import replace

from learngn.geometry.grid import Grid
from learngn.settings.settings import Settings

MOST_VOXELS = 4_000_000  # largest number of voxels of the finest level; a laptop handles them in seconds
_FEWEST = 5  # least number of voxels along an axis of the coarsest level
_STEP = 1.02  # factor by which a schedule is made coarser, repeatedly, until it is near to fitting


def fitted(settings: Settings, grid: Grid, most_voxels: int = MOST_VOXELS) -> Settings:
    """Return settings with levels adapted to the size of a grid.

    If the finest level would have too many voxels, all levels are made coarser by one factor. Their number, iterations
    and regularisation weights are kept, except that the finest level gets at least as many iterations as the one
    before it, as no finer one follows. Then the coarsest levels with too few voxels along an axis to determine the
    displacement are left out; at least one level is kept.

    Parameters
    ----------
    settings : Settings
    grid : Grid
        Grid of the fixed image.
    most_voxels : int
        Largest number of voxels of the finest level.
    """
    voxel = float(grid.spacing.min())

    def size(factor: float) -> int:
        return math.prod(grid.coarsened(settings.strides[-1] * factor * voxel).shape)

    factor = 1.0
    while size(factor) > most_voxels:
        factor *= _STEP
    if factor > 1:  # the smallest factor in hundredths, for display and options
        hundredths = max(100, math.floor(100 * factor / _STEP))
        while size(hundredths / 100) > most_voxels:
            hundredths += 1
        factor = hundredths / 100
        last = max(settings.iterations[-2:])
        settings = replace(
            settings,
            strides=tuple(round(factor * stride, 4) for stride in settings.strides),
            iterations=(*settings.iterations[:-1], last),
        )
    shapes = [grid.coarsened(stride * voxel).shape for stride in settings.strides]
    long = [axis for axis, n in enumerate(grid.shape) if n >= _FEWEST]
    keep = [i for i, shape in enumerate(shapes) if all(shape[axis] >= _FEWEST for axis in long)]
    return settings.with_levels(keep or [len(shapes) - 1])
