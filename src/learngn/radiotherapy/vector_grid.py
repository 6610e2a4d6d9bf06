"""Grid on which a displacement is written: as coarse as it may be."""

from __future__ import annotations

import numpy as np

from learngn.arrays import as_numpy
from learngn.geometry.grid import Grid
from learngn.geometry.transform import DisplacementField, Transform

TOLERANCE = 0.02  # largest error of interpolation [mm]
_SIZES = (5.0, 4.0, 3.0, 2.0)  # distances of points to try [mm]


def vector_grid(transform: Transform, grid: Grid, tolerance: float = TOLERANCE) -> Grid:
    """Return the coarsest of some grids on which linear interpolation gives the displacement of a transform.

    Planning systems keep vectors 2 to 5 mm apart; those of every voxel of a CT take hundreds of megabytes.

    Parameters
    ----------
    transform : Transform
    grid : Grid
        Grid of the fixed scan, which is returned if no coarser one is exact enough.
    tolerance : float
        Largest error at the voxels of the grid [mm].
    """
    on_grid = transform.on(grid)
    if on_grid.field is None:
        return grid
    exact = as_numpy(on_grid.field)
    for size in _SIZES:
        cells = np.maximum(np.asarray(grid.shape) - 1, 1)
        count = np.minimum(np.ceil(cells * grid.spacing / size).astype(int), cells)
        if np.prod(count + 1) > grid.size / 2:
            continue
        scale = np.diag([*(cells / count), 1.0])
        coarse = Grid(tuple((count + 1).tolist()), grid.affine @ scale)
        sampled = transform.on(coarse).field
        if sampled is None:
            continue
        again = as_numpy(DisplacementField(sampled, coarse).on(grid).field)
        error = np.einsum("ab,b...->a...", grid.affine[:-1, :-1], (again - exact)[0])
        if float(np.linalg.norm(error, axis=0).max()) <= tolerance:
            return coarse
    return grid
