"""Which levels of a schedule make sense on a grid."""

from __future__ import annotations

import math

from learngn.geometry.grid import Grid
from learngn.settings.settings import Settings


def fitted(settings: Settings, grid: Grid, most_voxels: int = 2_000_000, fewest_along: int = 5) -> Settings:
    """Return settings with the levels that make sense on a fixed grid; never none.

    Left out are the finest ones that have more voxels than a laptop handles in seconds, and the coarsest on which an
    axis has so few voxels that nothing holds the displacement.

    Parameters
    ----------
    settings : Settings
    grid : Grid
        Of the fixed image.
    most_voxels : int
        Of the finest level.
    fewest_along : int
        Voxels along an axis, of the coarsest level.
    """
    voxel = float(grid.spacing.min())
    shapes = [grid.coarsened(stride * voxel).shape for stride in settings.strides]
    long = [axis for axis, n in enumerate(grid.shape) if n >= fewest_along]
    affordable = [i for i, shape in enumerate(shapes) if math.prod(shape) <= most_voxels] or [0]
    keep = [i for i in affordable if all(shapes[i][axis] >= fewest_along for axis in long)] or affordable[-1:]
    return settings.with_levels(keep)
