"""Which levels of a schedule make sense on a grid."""

from __future__ import annotations

import math
from dataclasses import replace

from learngn.geometry.grid import Grid
from learngn.settings.settings import Settings

MOST_VOXELS = 4_000_000  # of the finest level: a laptop handles them in seconds
_FEWEST = 5  # voxels along an axis of the coarsest level
_STEP = 1.02  # by which a schedule is made coarser, until it fits


def fitted(settings: Settings, grid: Grid, most_voxels: int = MOST_VOXELS) -> Settings:
    """Return settings with levels that make sense on a fixed grid.

    Where the finest level would have too many voxels, all levels are made coarser by one factor, whatever it is: their
    number, iterations and regularisation weights stay, but the finest one, which stands for finer ones too, takes as
    many iterations as the one before it. Then the coarsest levels are left out on which an axis has so few voxels that
    nothing holds the displacement; one level always stays.

    Parameters
    ----------
    settings : Settings
    grid : Grid
        Grid of the fixed image.
    most_voxels : int
        Of the finest level.
    """
    voxel = float(grid.spacing.min())

    def size(factor: float) -> int:
        return math.prod(grid.coarsened(settings.strides[-1] * factor * voxel).shape)

    factor = 1.0
    while size(factor) > most_voxels:
        factor *= _STEP
    if factor > 1:  # in hundredths, as a schedule is shown and can be asked for
        factor = math.ceil(100 * factor) / 100
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
