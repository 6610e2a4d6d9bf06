"""Compiled resampling by banded matrices along the three axes in turn, plane by plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from learngn.kernels._cpu_threads import inlined, loop_with, part
from learngn.kernels._cpu_vectors import (
    LANES,
    evens,
    fma,
    load_upto,
    odds,
    splat,
    store_upto,
    zip_high,
    zip_low,
)

_ZERO = np.float32(0)
Values: TypeAlias = NDArray[Any]
_TWO, _ONE, _HALF = 1, 2, 3  # advance of a band from one output sample to the next

# Starts (m,) and weights (width, m) of the three axes.
Bands: TypeAlias = tuple[NDArray[np.uint32] | NDArray[np.float32], ...]


@inlined
def _sum(weights, i, k0, k1, lines, at, size, add, first, last, count, out, to):  # type: ignore[no-untyped-def]
    """Compute or add ``Σ_k weights[k, i] line[k]``; for two to four lines with their weights in registers."""
    k, z0, z1, z2 = k0, at + k0 * size, at + (k0 + 1) * size, at + (k0 + 2) * size
    if k1 - k0 == 2:
        a, b = splat(weights[k, i]), splat(weights[k + 1, i])
        for z in range(first, last, LANES):
            total = load_upto(out, to + z, count) if add else splat(_ZERO)
            total = fma(b, load_upto(lines, z1 + z, count), fma(a, load_upto(lines, z0 + z, count), total))
            store_upto(out, to + z, count, total)
    elif k1 - k0 == 3:
        a, b, c = splat(weights[k, i]), splat(weights[k + 1, i]), splat(weights[k + 2, i])
        for z in range(first, last, LANES):
            total = load_upto(out, to + z, count) if add else splat(_ZERO)
            total = fma(b, load_upto(lines, z1 + z, count), fma(a, load_upto(lines, z0 + z, count), total))
            store_upto(out, to + z, count, fma(c, load_upto(lines, z2 + z, count), total))
    elif k1 - k0 == 4:
        a, b, c, d = splat(weights[k, i]), splat(weights[k + 1, i]), splat(weights[k + 2, i]), splat(weights[k + 3, i])
        z3 = z2 + size
        for z in range(first, last, LANES):
            total = load_upto(out, to + z, count) if add else splat(_ZERO)
            total = fma(b, load_upto(lines, z1 + z, count), fma(a, load_upto(lines, z0 + z, count), total))
            total = fma(d, load_upto(lines, z3 + z, count), fma(c, load_upto(lines, z2 + z, count), total))
            store_upto(out, to + z, count, total)
    else:
        for z in range(first, last, LANES):
            total = load_upto(out, to + z, count) if add else splat(_ZERO)
            for k in range(k0, k1):
                total = fma(weights[k, i], load_upto(lines, at + k * size + z, count), total)
            store_upto(out, to + z, count, total)


@part
def _blend(start, weights, first, last, lines, base, size, add, out, to):  # type: ignore[no-untyped-def]
    """Compute lines i from `first` to `last`, ``Σ_k weights[k, i] lines[start[i] + k]``; write them from `to` on.

    Lines of `size` values begin at `base`. Lines of weight zero are not read, as they may contain NaN.
    """
    whole, begin = size // LANES * LANES, np.int64(0)
    for i in range(first, last):
        k0, k1 = 0, len(weights)
        while k1 > 0 and weights[k1 - 1, i] == 0:
            k1 -= 1
        while k0 < k1 and weights[k0, i] == 0:
            k0 += 1
        at = base + np.int64(start[i]) * size
        _sum(weights, i, k0, k1, lines, at, size, add, begin, whole, None, out, to)
        if whole < size:
            _sum(weights, i, k0, k1, lines, at, size, add, whole, size, size - whole, out, to)
        to += size


@inlined
def _any(start, weights, row, base, first, last, add, out, to):  # type: ignore[no-untyped-def]
    """Compute the samples of a row from `first` to `last`, for any band."""
    for i in range(first, last):
        total = out[to + i] if add else _ZERO
        for k in range(len(weights)):
            total = fma(weights[k, i], row[base + np.int64(start[i]) + k], total)
        out[to + i] = total


@inlined
def _halve(weights, row, base, first, last, add, out, to):  # type: ignore[no-untyped-def]
    """Compute samples whose band advances by two input samples."""
    for i in range(first, last, LANES):
        left = last - i
        total = load_upto(out, to + i, left) if add else splat(_ZERO)
        for k in range(0, len(weights), 2):
            at = base + 2 * (i - first) + k
            a = load_upto(row, at, 2 * left)
            b = load_upto(row, at + LANES, 2 * left - LANES) if 2 * left > LANES else a
            total = fma(weights[k + 1, first], odds(a, b), fma(weights[k, first], evens(a, b), total))
        store_upto(out, to + i, left, total)


@inlined
def _double(weights, row, base, first, last, add, out, to):  # type: ignore[no-untyped-def]
    """Compute samples whose band advances by half an input sample: two between every two of the row."""
    w00, w10, w01, w11 = weights[0, first], weights[1, first], weights[0, first + 1], weights[1, first + 1]
    for i in range(first, last, 2 * LANES):
        at, left = base + (i - first) // 2, last - i
        a, b = load_upto(row, at, left // 2), load_upto(row, at + 1, left // 2)
        even, odd = fma(w10, b, w00 * a), fma(w11, b, w01 * a)
        low, high = zip_low(even, odd), zip_high(even, odd)
        if add:
            low = low + load_upto(out, to + i, left)
        store_upto(out, to + i, left, low)
        if left > LANES:
            if add:
                high = high + load_upto(out, to + i + LANES, left - LANES)
            store_upto(out, to + i + LANES, left - LANES, high)


@inlined
def _slide(weights, row, base, first, last, add, out, to):  # type: ignore[no-untyped-def]
    """Compute samples whose band advances by one input sample."""
    for i in range(first, last, LANES):
        left = last - i
        total = load_upto(out, to + i, left) if add else splat(_ZERO)
        for k in range(len(weights)):
            total = fma(weights[k, first], load_upto(row, base + i - first + k, left), total)
        store_upto(out, to + i, left, total)


@part
def regular(start, weights):  # type: ignore[no-untyped-def]
    """Return how a band advances (two, one or half a sample, 0 for irregularly), and the range of samples."""
    width, m = weights.shape
    for step in (_TWO, _HALF, _ONE):
        if (step == _TWO and width % 2) or (step == _HALF and width != 2):
            continue
        first = 0
        # Borders are excluded: there the band is moved to stay within the axis.
        while first < min(m, 3) and not _goes(start, weights, first, step):
            first += 1
        last = first
        while _goes(start, weights, last, step):
            last += 2 if step == _HALF else 1
        if last - first > 4:
            return step, first, last
    return 0, 0, 0


@part
def _goes(start, weights, i, step):  # type: ignore[no-untyped-def]
    """Return whether the band advances regularly, with the same weights, from sample i of the output."""
    ahead = 2 if step == _HALF else 1
    if i + 2 * ahead - 1 >= len(start):
        return False
    for k in range(len(weights)):
        for j in range(ahead):
            if weights[k, i + j] != weights[k, i + j + ahead]:
                return False
    if step == _HALF:
        return start[i + 1] == start[i] and start[i + 2] == start[i] + 1
    return start[i + 1] == start[i] + (2 if step == _TWO else 1)


@part
def _along_rows(start, weights, channels, rows, source, size, way, add, out, to):  # type: ignore[no-untyped-def]
    """Resample rows of `size` values with interleaved channels, one after the other."""
    length, begin = len(start), np.int64(0)
    step, first, last = way
    for row in range(rows):
        at, here = row * size, to + row * length * channels
        if channels > 1:
            _blend(start, weights, begin, length, source, at, channels, add, out, here)
            continue
        if step == _TWO:
            _halve(weights, source, at + np.int64(start[first]), first, last, add, out, here)
        elif step == _HALF:
            _double(weights, source, at + np.int64(start[first]), first, last, add, out, here)
        elif step == _ONE:
            _slide(weights, source, at + np.int64(start[first]), first, last, add, out, here)
        _any(start, weights, source, at, begin, first, add, out, here)
        _any(start, weights, source, at, last, length, add, out, here)


def _room(
    image: Values, before: Sequence[int], channels: int,
    sx: Values, wx: Values, sy: Values, wy: Values, sz: Values, wz: Values, add: bool, out: Values,
) -> tuple[Values, Values]:  # fmt: skip
    """Return the work arrays of :func:`resample`: an input plane, and its rows or those of an output plane."""
    (_, ny, nz), my, mz = before, len(sy), len(sz) * channels
    return np.empty(ny * nz, np.float32), np.empty(max(my * nz, ny * mz), np.float32)


@loop_with(_room)
def resample(start, stop, plane, rows, image, before, channels, sx, wx, sy, wy, sz, wz, add, out):  # type: ignore[no-untyped-def]
    """Resample flat volumes of shape `before`, (X, Y, Z * channels), one after the other; overwrite or add to `out`.

    Starts are (m,), unsigned; weights are (width, m), and zero weights must not extend beyond the axis, either.
    """
    mx, my, mz = len(sx), len(sy), len(sz) * channels
    nx, ny, nz = before
    way = regular(sz, wz)
    # Not literals, for each of which Numba would compile the parts again.
    begin, no = np.int64(0), mx < 0
    for item in range(start, stop):
        p, x = item // mx, item % mx
        to = item * my * mz
        _blend(sx, wx, x, x + 1, image, p * nx * ny * nz, ny * nz, no, plane, begin)
        # The axis that leaves less work comes first.
        if my <= ny:
            _blend(sy, wy, begin, my, plane, begin, nz, no, rows, begin)
            _along_rows(sz, wz, channels, my, rows, nz, way, add, out, to)
        else:
            _along_rows(sz, wz, channels, ny, plane, nz, way, no, rows, begin)
            _blend(sy, wy, begin, my, rows, begin, mz, add, out, to)
