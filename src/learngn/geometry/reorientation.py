"""Vectors turned with the anatomy, when their image is resampled by a transform."""

from __future__ import annotations

import numpy as np

from learngn.arrays import as_numpy
from learngn.errors import ShapeError
from learngn.geometry.grid import FloatArray
from learngn.geometry.grid_map import GridMap


def reoriented(vectors: FloatArray, on_grid: GridMap) -> FloatArray:
    """Turn vectors of a moving image that have been resampled onto the grid of the fixed one.

    A small step v of the moving image corresponds to the step ``J⁻¹ v`` of the fixed image, with the Jacobian J of the
    transform from the fixed to the moving image: vectors are turned, and stretched as the anatomy is.

    Parameters
    ----------
    vectors : array, shape (D, *S) [RAS]
        Components along the axes of the world, not of the array.
    on_grid : GridMap
        Transform, sampled on the grid of the result.

    Returns
    -------
    array, shape (D, *S) [RAS]
        Zero where the transform folds flat and has no inverse.

    Raises
    ------
    ShapeError
        If the vectors have another number of components or another shape than the grid.
    """
    grid = on_grid.grid
    expected = (grid.ndim, *grid.shape)
    if vectors.shape != expected:
        raise ShapeError("vectors", f"shape {vectors.shape}", str(expected), "pass vectors of the space, on this grid")
    field = None if on_grid.field is None else as_numpy(on_grid.field)[0].astype(np.float64)
    axes, world = grid.affine[:-1, :-1], on_grid.world[:-1, :-1]
    to_index = np.linalg.inv(axes)
    turned = np.empty(vectors.shape)
    for plane in range(grid.shape[0]):  # a plane at a time: nine numbers a voxel are much for a whole volume
        values = np.moveaxis(vectors[:, plane], 0, -1)[..., None]
        step = np.eye(grid.ndim) if field is None else np.eye(grid.ndim) + _gradient(field, plane)
        inverse = np.asarray(_inverse(world @ axes @ step @ to_index))
        turned[:, plane] = np.moveaxis((inverse @ values)[..., 0], -1, 0)
    return turned


def _gradient(field: FloatArray, plane: int) -> FloatArray:
    """Return the derivatives of a field, (D, *S), in one plane along the first axis, shape (*S[1:], D, D)."""
    before, after = max(plane - 1, 0), min(plane + 1, field.shape[1] - 1)
    along = (field[:, after] - field[:, before]) / max(after - before, 1)
    columns = [along]
    for axis in range(1, along.ndim):
        columns.append(np.gradient(field[:, plane], axis=axis) if along.shape[axis] > 1 else np.zeros_like(along))
    return np.moveaxis(np.stack(columns, axis=1), (0, 1), (-2, -1))


def _inverse(matrices: FloatArray) -> FloatArray:
    """Invert matrices; zero for those that have no inverse."""
    flat = np.abs(np.linalg.det(matrices)) < 1e-9
    inverse = np.linalg.inv(np.where(flat[..., None, None], np.eye(matrices.shape[-1]), matrices))
    return np.where(flat[..., None, None], 0.0, inverse)
