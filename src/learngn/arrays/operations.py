"""Operations on arrays of either library that the array API standard does not have."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from learngn.arrays.array import Array, as_numpy, device_of, is_tensor, like, namespace

_ENOUGH = 1_000_000  # values from which a quantile is computed


def zeros(shape: Sequence[int], array: Array) -> Array:
    """Return zeros of a shape, of the type and on the device of an array."""
    return namespace(array).zeros(tuple(shape), dtype=array.dtype, device=device_of(array))


def full_like_shape(shape: Sequence[int], value: float, array: Array) -> Array:
    """Return an array of a shape with one value, of the type and on the device of another array."""
    return namespace(array).full(tuple(shape), value, dtype=array.dtype, device=device_of(array))


def narrow(x: Array, axis: int, start: int, length: int) -> Array:
    """Return `length` entries from `start` along an axis: a view."""
    index: list[Any] = [slice(None)] * x.ndim
    index[axis] = slice(start, start + length)
    return x[tuple(index)]


def per_sample(values: Array, x: Array) -> Array:
    """Return one value of every sample, (N,), in a shape that broadcasts with x, (N, ...)."""
    return namespace(values).reshape(values, (-1, *[1] * (x.ndim - 1)))


def lattice(shape: Sequence[int], array: Array, dtype: Any = None) -> Array:
    """Return the index of every voxel of a grid, (D, *S), in the library of an array and, by default, of its type."""
    xp = namespace(array)
    axes = [xp.arange(n, dtype=array.dtype if dtype is None else dtype, device=device_of(array)) for n in shape]
    return xp.stack(xp.meshgrid(*axes, indexing="ij"))


def single(x: Array) -> Array:
    """Return an array as float32, without copying one that is."""
    xp = namespace(x)
    return xp.astype(x, xp.float32, copy=False)


def clamped(x: Array, low: float | None = None, high: float | None = None) -> Array:
    """Limit values from below and above; differentiable."""
    if is_tensor(x):
        return x.clamp(low, high)
    if low is not None:
        x = np.maximum(x, np.asarray(low, dtype=x.dtype))
    return x if high is None else np.minimum(x, np.asarray(high, dtype=x.dtype))


def finite(x: Array) -> bool:
    """Return whether all values are finite; checks minimum and maximum, which needs no further array."""
    if prod(x.shape) == 0:
        return True
    if is_tensor(x):
        torch = sys.modules["torch"]
        return bool(torch.isfinite(torch.stack(torch.aminmax(x))).all()) if x.is_floating_point() else True
    return bool(np.isfinite(x.min()) and np.isfinite(x.max()))


def quantile(x: Array, q: float | Sequence[float]) -> Any:
    """Return one or several quantiles, as a float or an array of NumPy, from at most a million of the values."""
    values = as_numpy(namespace(x).reshape(x, (-1,)))
    found = np.quantile(values[:: max(1, values.size // _ENOUGH)], q)
    return float(found) if np.ndim(found) == 0 else found


def add_at(values: Array, index: Array, size: int) -> Array:
    """Sum values (M, C) by their index (M,) to (size, C); differentiable by the values."""
    if is_tensor(values):
        return values.new_zeros((size, values.shape[1])).index_add(0, index, values)
    columns = [np.bincount(index, weights=column, minlength=size) for column in values.T]
    return np.stack(columns, axis=1).astype(values.dtype) if columns else np.zeros((size, 0), values.dtype)


def largest_of_neighbours(x: Array, ndim: int) -> Array:
    """Return the largest value of each voxel and its neighbours, also the diagonal ones, along the last `ndim` axes."""
    xp = namespace(x)
    for axis in range(x.ndim - ndim, x.ndim):
        n = x.shape[axis]
        if n > 1:
            pairs = xp.maximum(narrow(x, axis, 0, n - 1), narrow(x, axis, 1, n - 1))
            inner = xp.maximum(narrow(pairs, axis, 0, n - 2), narrow(pairs, axis, 1, n - 2))
            x = xp.concat([narrow(pairs, axis, 0, 1), inner, narrow(pairs, axis, n - 2, 1)], axis=axis)
    return x


__all__ = [
    "add_at",
    "as_numpy",
    "clamped",
    "finite",
    "full_like_shape",
    "largest_of_neighbours",
    "lattice",
    "like",
    "narrow",
    "per_sample",
    "quantile",
    "single",
    "zeros",
]
