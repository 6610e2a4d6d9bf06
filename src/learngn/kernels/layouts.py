"""Layouts of arrays in compiled loops, and conversions to them; no array is copied that has the layout.

A 2D grid is a volume whose first axis, X, is one voxel thick: its rows are long, and its components and weights belong
to Y and Z. V = X Y Z is the number of voxels, P = Y Z that of a plane.

=======  ==================  ===========================================================================
Layout   Shape               Used by
=======  ==================  ===========================================================================
volumes  (N, K, V)           loops over rows, or over voxels alone: sampling, linearisation, guard, sums
planes   (N, K, X, P)        stencils, which read neighbouring planes
pixels   (N, V C)            images that are sampled: all channels of a voxel at once
lines    (N, X, Y, C, Z)     matching: rows of one channel, all channels of a row at once
=======  ==================  ===========================================================================
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from learngn.kernels.taps import Taps

Values: TypeAlias = NDArray[Any]
Bands: TypeAlias = tuple[NDArray[Any], ...]

NO_FIELD = np.zeros((0, 3, 0), dtype=np.float32)  # of volumes: stands for zero, or for a weight of one
_IDENTITY = Taps(np.zeros(1, dtype=np.int64), np.ones((1, 1)), 1)


def contiguous(array: Values) -> Values:
    """Return an array in C order that may be written to: Numba compiles another version for read-only arrays."""
    array = np.ascontiguousarray(array)
    return array if array.flags.writeable else array.copy()


def solid(shape: Sequence[int]) -> tuple[int, int, int]:
    """Return the shape (X, Y, Z) of a grid."""
    x, y, z = (1, *shape)[-3:]
    return x, y, z


def is_plane(ndim: int) -> int | None:
    """Return None in 3D and zero in 2D, for loops of which only one case is compiled."""
    return None if ndim == 3 else 0


def volumes(array: Values) -> Values:
    """Convert (N, K, *S) to (N, K, V)."""
    return contiguous(array).reshape(*array.shape[:2], -1)


def volumes_or_none(array: Values | None) -> Values:
    """Convert (N, K, *S) to (N, K, V), and None to an empty array."""
    return NO_FIELD if array is None else volumes(array)


def planes(array: Values) -> NDArray[np.float32]:
    """Convert (N, K, *S) to (N, K, X, P)."""
    return contiguous(array).reshape(*array.shape[:2], solid(array.shape[2:])[0], -1)


def pixels(array: Values) -> Values:
    """Convert (N, C, *S) to (N, V C)."""
    return contiguous(np.moveaxis(array, 1, -1)).reshape(len(array), -1)


def lines(array: Values) -> Values:
    """Convert (N, C, *S) to (N, X, Y, C, Z)."""
    return contiguous(np.moveaxis(array.reshape(*array.shape[:2], *solid(array.shape[2:])), 1, -2))


def row_count(samples: int, shape: Sequence[int]) -> int:
    """Return the number of rows of all samples on a grid: the items of loops over rows."""
    return samples * math.prod(shape[:-1])


def extended(rows: Values, margin: int, beyond: int) -> NDArray[np.float32]:
    """Return rows (R, Z) with `margin` border values before and behind them, and `beyond` more of them, flat."""
    size = rows.shape[1]
    out = np.empty((len(rows), size + 2 * margin + beyond), dtype=np.float32)
    out[:, :margin], out[:, margin : margin + size], out[:, margin + size :] = rows[:, :1], rows, rows[:, -1:]
    return out.reshape(-1)


def index_map(matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """Convert an index map (D + 1, D + 1) to (3, 4); in 2D the first axis is mapped to itself."""
    lacking = 4 - len(matrix)
    full = np.eye(3, 4, dtype=np.float32)
    full[lacking:, lacking:] = matrix[:-1]
    return full


def axis_weights(stiffness: Values) -> NDArray[np.float32]:
    """Convert weights (N, D, D) to (N, D, 3), with one column for each of X, Y and Z."""
    n, ndim = stiffness.shape[:2]
    full = np.zeros((n, ndim, 3), dtype=np.float32)
    full[:, :, 3 - ndim :] = stiffness
    return full


def scalars(values: Values) -> NDArray[np.float32]:
    """Convert numbers of the samples to (N,)."""
    return contiguous(np.asarray(values, dtype=np.float32))


def bands(taps: Sequence[Taps]) -> Bands:
    """Return starts (m,) and weights (width, m) along X, Y and Z, one after the other."""
    return tuple(array for tap in [_IDENTITY] * (3 - len(taps)) + list(taps) for array in _band(tap))


@lru_cache(maxsize=1024)
def _band(tap: Taps) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
    return tap.start.astype(np.uint32), np.ascontiguousarray(tap.weights.T, dtype=np.float32)
