"""Position of several scans of one subject: rigid maps that favour none of them, and a grid in the middle."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import scipy

from learngn.features import Feature
from learngn.geometry.grid import FloatArray, Grid
from learngn.geometry.image import Image
from learngn.geometry.mean_position import logarithm
from learngn.optimise import FAMILIES
from learngn.registration.prealign import Masks, prealign

_WHOLE = 0.01  # part of a voxel by which grids may differ without another voxel


def rigid_between(first: Image, second: Image, feature: Feature, masks: Masks = (None, None)) -> FloatArray:
    """Return the rigid map from the first scan's world to the second's, (D+1, D+1) [RAS mm].

    It is the mean of both directions: exchanging the scans gives the inverse.

    Raises
    ------
    GeometryError
        If no alignment is found.
    """
    there = prealign(first, second, feature, FAMILIES["rigid"], masks).matrix
    back = prealign(second, first, feature, FAMILIES["rigid"], masks[::-1]).matrix
    half = scipy.linalg.expm(logarithm(np.linalg.inv(back) @ np.linalg.inv(there)) / 2)
    return np.asarray(half @ there)


def mean_grid(grids: Sequence[Grid]) -> Grid:
    """Return a grid that holds all grids, in the mean of their orientations and with their finest voxel sizes.

    Its axes are those of the world as far as possible, in the order and directions R, A, S: it does not depend on the
    order of the grids. If all grids are the same, up to order and direction of their axes, its voxels are theirs.

    Parameters
    ----------
    grids : sequence of Grid
        Grids of the scans, moved to the mean position.
    """
    ordered = [_ordered(grid) for grid in grids]
    left, _, right = np.linalg.svd(np.mean([grid.direction for grid in ordered], axis=0))
    axes = left @ right
    spacing = np.min([grid.spacing for grid in ordered], axis=0)
    corners = np.concatenate([_corners(grid) @ axes for grid in ordered])
    low, high = corners.min(axis=0), corners.max(axis=0)
    shape = np.maximum(1, np.ceil((high - low) / spacing - _WHOLE)).astype(int)
    affine = np.eye(len(axes) + 1)
    affine[:-1, :-1] = axes * spacing
    affine[:-1, -1] = axes @ ((low + high) / 2) - affine[:-1, :-1] @ ((shape - 1) / 2)
    return Grid(tuple(int(n) for n in shape), affine)


def _ordered(grid: Grid) -> Grid:
    """Return the grid with its axes in the order and the directions of the world's."""
    along = np.abs(grid.direction)
    ndim = grid.ndim
    order = max(permutations(range(ndim)), key=lambda chosen: sum(along[row, axis] for row, axis in enumerate(chosen)))
    index = np.zeros((ndim + 1, ndim + 1))
    index[-1, -1] = 1
    for row, axis in enumerate(order):
        backwards = grid.direction[row, axis] < 0
        index[axis, row] = -1 if backwards else 1
        index[axis, -1] = grid.shape[axis] - 1 if backwards else 0
    return Grid(tuple(grid.shape[axis] for axis in order), grid.affine @ index)


def _corners(grid: Grid) -> FloatArray:
    """Return the corners of the outermost voxels, shape (2^D, D) [RAS mm]."""
    ends = np.stack(np.meshgrid(*[(-0.5, n - 0.5) for n in grid.shape], indexing="ij"), axis=-1)
    return grid.index_to_world(ends.reshape(-1, grid.ndim))
