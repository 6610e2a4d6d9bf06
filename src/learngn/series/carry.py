"""Label maps carried by a transform: the label that covers most of a voxel."""

from __future__ import annotations

import numpy as np

from learngn.arrays import as_numpy
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.geometry.transform import Transform


def carried_labels(labels: Image, transform: Transform, grid: Grid) -> Image:
    """Carry a label map onto a grid: every voxel gets the label that covers most of it.

    The indicator of every label is interpolated linearly, and the largest one wins. Nearest neighbours, in contrast,
    break structures of one or two voxels, such as valves and vessel walls, into pieces.

    Parameters
    ----------
    labels : Image
        Label map.
    transform : Transform
        From the world of `grid` to that of the label map.
    grid : Grid

    Returns
    -------
    Image
        Label map of the same type, (1, 1, *S).

    References
    ----------
    J. Schaerer, F. Roche, B. Belaroussi, "A generic interpolator for multi-label images", Insight Journal, 2014.
    """
    data, on_grid = as_numpy(labels.data), transform.on(grid)
    result, most = np.zeros((1, 1, *grid.shape), data.dtype), None
    for label in (0, *labels.label_values):
        indicator = Image((data == label).astype(np.float32), labels.grid)
        covered = as_numpy(on_grid.warp(indicator, background=1.0 if label == 0 else 0.0).data)
        if most is None:
            most = covered
            continue
        wins = covered > most
        result[wins] = label
        np.maximum(most, covered, out=most)
    return Image(result, grid, labels=True, stored=labels.stored)
