"""Volumes part by part: between memory, where the last axis is the fastest, and files, where it is the first.

A copy that exchanges the axes of a whole volume reads or writes every cache line many times. Tiles of a few voxels
along the last two axes stay in the cache. Values are computed in them on the way, without a second volume in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Box = tuple[slice, ...]  # part of a volume: a slice of every axis
Part = Callable[[Box], NDArray[Any]]  # returns the values of a part; `array.__getitem__` is one

_SLAB = 16 << 20  # bytes: rows of a slab along the last axis, which are read one by one, are not too short
_TILE = 256 << 10  # bytes


def slabs(shape: tuple[int, ...], itemsize: int) -> Iterator[slice]:
    """Divide a volume along its last axis into slabs of some megabytes, which depend on its size alone."""
    planes = max(1, _SLAB // max(1, itemsize * int(np.prod(shape[:-1]))))
    for start in range(0, shape[-1], planes):
        yield slice(start, min(shape[-1], start + planes))


def tiles(shape: tuple[int, ...], slab: slice, itemsize: int) -> Iterator[Box]:
    """Divide a slab of a volume of two or three axes along its second axis into tiles that fit into a cache."""
    if len(shape) == 2:
        yield slice(0, shape[0]), slab
        return
    rows = max(1, _TILE // (itemsize * shape[0] * (slab.stop - slab.start)))
    for start in range(0, shape[1], rows):
        yield slice(0, shape[0]), slice(start, min(shape[1], start + rows)), slab


def fastest_first(part: Part, shape: tuple[int, ...], slab: slice, dtype: DTypeLike) -> NDArray[Any]:
    """Return a slab's values with the first axis fastest, as in a file: an array of the reversed axes."""
    kind = np.dtype(dtype)
    result = np.empty((slab.stop - slab.start, *shape[-2::-1]), kind)
    for box in tiles(shape, slab, kind.itemsize):
        inside = (slice(None), *box[1:-1])
        result[inside] = part(box).T
    return result


def fastest_last(values: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """Return a copy of a volume with the last axis fastest, whatever the order of its axes in memory."""
    kind = np.dtype(dtype)
    result = np.empty(values.shape, kind)
    if values.ndim not in (2, 3):
        result[...] = values
        return result
    for slab in slabs(values.shape, kind.itemsize):
        fill_slab(result, slab, values[..., slab])
    return result


def fill_slab(volume: NDArray[Any], slab: slice, values: NDArray[Any]) -> None:
    """Copy values to a slab of a volume of two or three axes, whatever the order of their axes in memory."""
    for box in tiles(volume.shape, slab, volume.itemsize):
        volume[box] = values[box[:-1]]
