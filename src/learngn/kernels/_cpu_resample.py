"""Compiled resampling by banded matrices along the three axes, one after the other, plane by plane."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from learngn.kernels._cpu_threads import inlined, loop, part
from learngn.kernels._cpu_vectors import (
    LANES,
    evens,
    load,
    load_upto,
    odds,
    splat,
    store,
    store_upto,
    zip_high,
    zip_low,
)

_ZERO = np.float32(0)

# Starts (m,) and weights (width, m) of the three axes.
Bands: TypeAlias = tuple[NDArray[np.uint32] | NDArray[np.float32], ...]


@inlined
def _sum(weights, i, k0, k1, lines, base, size, add, first, last, count, out, to):  # type: ignore[no-untyped-def]
    for z in range(first, last, LANES):
        total = load_upto(out, to + z, count) if add else splat(_ZERO)
        for k in range(k0, k1):
            total = total + weights[k, i] * load_upto(lines, base + k * size + z, count)
        store_upto(out, to + z, count, total)


@part
def _blend(start, weights, first, last, lines, base, size, add, out, to):  # type: ignore[no-untyped-def]
    """Lines i from `first` to `last`, ``Σ_k weights[k, i] lines[start[i] + k]``, one after the other from `to` on.

    Lines of `size` values begin at `base`. Those without a weight are not read: they may have NaN.
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
    """A row's samples from `first` to `last`, whatever the band."""
    for i in range(first, last):
        total = out[to + i] if add else _ZERO
        for k in range(len(weights)):
            total += weights[k, i] * row[base + np.int64(start[i]) + k]
        out[to + i] = total


@inlined
def _halve(weights, row, base, first, last, add, out, to):  # type: ignore[no-untyped-def]
    """Whole vectors of samples whose band goes on by two; returns where it stops."""
    i = first
    while i + LANES <= last:
        total = load(out, to + i) if add else splat(_ZERO)
        for k in range(0, len(weights), 2):
            at = base + 2 * (i - first) + k
            a, b = load(row, at), load(row, at + LANES)
            total = total + (weights[k, first] * evens(a, b) + weights[k + 1, first] * odds(a, b))
        store(out, to + i, total)
        i += LANES
    return i


@inlined
def _double(weights, row, base, first, last, add, out, to):  # type: ignore[no-untyped-def]
    """Whole vectors of samples, two between every two of the row; returns where it stops."""
    w00, w10, w01, w11 = weights[0, first], weights[1, first], weights[0, first + 1], weights[1, first + 1]
    i = first
    while i + 2 * LANES <= last:
        at = base + (i - first) // 2
        a, b = load(row, at), load(row, at + 1)
        even, odd = w00 * a + w10 * b, w01 * a + w11 * b
        low, high = zip_low(even, odd), zip_high(even, odd)
        if add:
            low, high = low + load(out, to + i), high + load(out, to + i + LANES)
        store(out, to + i, low)
        store(out, to + i + LANES, high)
        i += 2 * LANES
    return i


@part
def regular(start, weights):  # type: ignore[no-untyped-def]
    """How a band goes: 2 if by two samples, 1 if by one for every two of the output, 0 else; and where it does so."""
    width, m = weights.shape
    for step in (2, 1):
        if (step == 2 and width % 2) or (step == 1 and width != 2):
            continue
        first = 0
        # Borders are apart: there a band is pushed back within the axis.
        while first < min(m, 3) and not _goes(start, weights, first, step):
            first += 1
        last = first
        while _goes(start, weights, last, step):
            last += 1 if step == 2 else 2
        if last - first > 4:
            return step, first, last
    return 0, 0, 0


@part
def _goes(start, weights, i, step):  # type: ignore[no-untyped-def]
    """Whether the band goes on regularly, with the same weights, from sample i of the output."""
    ahead = 3 - step
    if i + 2 * ahead - 1 >= len(start):
        return False
    for k in range(len(weights)):
        for j in range(ahead):
            if weights[k, i + j] != weights[k, i + j + ahead]:
                return False
    if step == 2:
        return start[i + 1] == start[i] + 2
    return start[i + 1] == start[i] and start[i + 2] == start[i] + 1


@part
def _along_rows(start, weights, channels, rows, source, size, way, add, out, to):  # type: ignore[no-untyped-def]
    """Rows of `size` values, `channels` interleaved, each resampled; one after the other."""
    length, begin = len(start), np.int64(0)
    step, first, last = way
    for row in range(rows):
        at, here = row * size, to + row * length * channels
        if channels > 1:
            _blend(start, weights, begin, length, source, at, channels, add, out, here)
            continue
        done = first
        if step == 2:
            done = _halve(weights, source, at + np.int64(start[first]), first, last, add, out, here)
        elif step == 1:
            done = _double(weights, source, at + np.int64(start[first]), first, last, add, out, here)
        _any(start, weights, source, at, begin, first, add, out, here)
        _any(start, weights, source, at, done, length, add, out, here)


@loop
def resample(start, stop, image, before, channels, sx, wx, sy, wy, sz, wz, add, out):  # type: ignore[no-untyped-def]
    """Resample volumes, flat, of shape `before`, (X, Y, Z * channels), one after the other, or add what is resampled.

    Starts are (m,), unsigned; weights are (width, m): a zero weight must not reach beyond the axis.
    """
    mx, my, mz = len(sx), len(sy), len(sz) * channels
    nx, ny, nz = before
    way = regular(sz, wz)
    plane, rows = np.empty(ny * nz, np.float32), np.empty(max(my * nz, ny * mz), np.float32)
    # Not constants, for each of which Numba would compile the parts anew.
    begin, no = np.int64(0), mx < 0
    for item in range(start, stop):
        p, x = item // mx, item % mx
        to = item * my * mz
        _blend(sx, wx, x, x + 1, image, p * nx * ny * nz, ny * nz, no, plane, begin)
        # Whichever leaves less to do comes first.
        if my <= ny:
            _blend(sy, wy, begin, my, plane, begin, nz, no, rows, begin)
            _along_rows(sz, wz, channels, my, rows, nz, way, add, out, to)
        else:
            _along_rows(sz, wz, channels, ny, plane, nz, way, no, rows, begin)
            _blend(sy, wy, begin, my, rows, begin, mz, add, out, to)
