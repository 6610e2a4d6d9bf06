"""Compiled self-similarity, row by row: distances of patches, their minimum and mean, and the exponential."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from learngn.kernels._cpu_threads import inlined, loop_with, part
from learngn.kernels._cpu_vectors import (
    LANES,
    fma,
    larger,
    load,
    power_of_two,
    smaller,
    splat,
    store,
    store_fours,
    total,
)

Values: TypeAlias = NDArray[Any]
_ZERO, _ONE = np.float32(0), np.float32(1)
# exp(x) = 2^n exp(r), n = round(x / ln 2). Adding 1.5 2^23 rounds to an integer, which the low bits then hold.
_LOWEST, _PER_LN2, _ROUND = np.float32(-87.0), np.float32(1.44269504088896341), np.float32(12582912.0)
_LN2_HIGH, _LN2_LOW = np.float32(-0.693359375), np.float32(2.12194440e-4)
_C0, _C1, _C2, _C3, _C4, _C5 = (
    np.float32(c)
    for c in (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
)


@inlined
def exponential(x):  # type: ignore[no-untyped-def]
    """Compute exp(x) for x ≤ 0, to 2e-7 of the value; below e^-87 that."""
    x = larger(x, splat(_LOWEST))
    rounded = fma(_PER_LN2, x, splat(_ROUND))
    n = rounded - _ROUND
    r = fma(n, splat(_LN2_LOW), fma(n, splat(_LN2_HIGH), x))
    p = fma(fma(fma(fma(fma(splat(_C0), r, splat(_C1)), r, splat(_C2)), r, splat(_C3)), r, splat(_C4)), r, splat(_C5))
    return fma(p, r * r, r + _ONE) * power_of_two(rounded)


@part
def _differences(image, plane, rows, x, y, nx, ny, size, steps, radius, count, at, out):  # type: ignore[no-untyped-def]
    """Sum the squared differences of all pairs over the patch along x; store the rows `at`, one pair after the other.

    A row of the image has `rows` values, of which the middle one of the patch begins `plane`; `steps` are (P, 2, 3).
    """
    for pair in range(len(steps)):
        p0, p1, p2 = steps[pair, 0, 0], steps[pair, 0, 1], steps[pair, 0, 2]
        q0, q1, q2 = steps[pair, 1, 0], steps[pair, 1, 1], steps[pair, 1, 2]
        py, qy = min(max(y + p1, 0), ny - 1), min(max(y + q1, 0), ny - 1)
        to = at + pair * size
        for k in range(-radius, radius + 1):
            middle = min(max(x + k, 0), nx - 1)
            px, qx = min(max(middle + p0, 0), nx - 1), min(max(middle + q0, 0), nx - 1)
            p, q = plane + (px * ny + py) * rows + p2, plane + (qx * ny + qy) * rows + q2
            for z in range(0, count, LANES):
                d = load(image, p + z) - load(image, q + z)
                if k == -radius:
                    store(out, to + z, d * d)
                else:
                    store(out, to + z, fma(d, d, load(out, to + z)))


@part
def _patches(ring, line, pairs, y, ny, nz, size, radius, count, out):  # type: ignore[no-untyped-def]
    """Sum the rows of all pairs over the patch along y, then along z; border values are repeated."""
    width = 2 * radius + 1
    for pair in range(pairs):
        for z in range(0, count, LANES):
            s = splat(_ZERO)
            for k in range(-radius, radius + 1):
                s = s + load(ring, (min(max(y + k, 0), ny - 1) % width * pairs + pair) * size + z)
            store(line, radius + z, s)
        for k in range(radius):
            line[k] = line[radius]
            line[radius + nz + k] = line[radius + nz - 1]
        for z in range(0, count, LANES):
            s = load(line, z)
            for k in range(1, width):
                s = s + load(line, z + k)
            store(out, pair * size + z, s)


@part
def _compared(distances, variance, pairs, size, share, count):  # type: ignore[no-untyped-def]
    """Replace the distances D of a row by ``min D - D``; store the mean of their size, V."""
    for z in range(0, count, LANES):
        least = load(distances, z)
        for pair in range(1, pairs):
            least = smaller(least, load(distances, pair * size + z))
        s = splat(_ZERO)
        for pair in range(pairs):
            d = least - load(distances, pair * size + z)
            s = s - d
            store(distances, pair * size + z, d)
        store(variance, z, share * s)


@part
def _summed(variance, nz):  # type: ignore[no-untyped-def]
    s, whole = splat(_ZERO), nz // LANES * LANES
    for z in range(0, whole, LANES):
        s = s + load(variance, z)
    rest = total(s)
    for z in range(whole, nz):
        rest += variance[z]
    return rest


@part
def _similar(distances, variance, pairs, nz, size, low, high, count, out, at):  # type: ignore[no-untyped-def]
    """Compute the similarities of a row, and store them with channels last."""
    for z in range(0, count, LANES):
        factor = _ONE / smaller(larger(load(variance, z), splat(low)), splat(high))
        for pair in range(pairs):
            store(distances, pair * size + z, exponential(load(distances, pair * size + z) * factor))
    fours, whole = pairs // 4 * 4, nz // LANES * LANES
    for pair in range(0, fours, 4):
        first = pair * size
        for z in range(0, whole, LANES):
            a, b = load(distances, first + z), load(distances, first + size + z)
            c, d = load(distances, first + 2 * size + z), load(distances, first + 3 * size + z)
            store_fours(out, at + z * pairs + pair, pairs, a, b, c, d)
    for pair in range(pairs):
        for z in range(whole if pair < fours else 0, nz):
            out[at + z * pairs + pair] = distances[pair * size + z]


def _room(
    image: Values, shape: Sequence[int], margin: int, steps: Values, radius: int, *_: object
) -> tuple[Values, ...]:
    """Return the work arrays of :func:`self_similarity`: rows of all pairs, a row, distances and variance of a row."""
    pairs, count = len(steps), -(-shape[2] // LANES) * LANES
    ring = np.empty((2 * radius + 1) * pairs * count, np.float32)
    line = np.zeros(count + 2 * radius + LANES, np.float32)
    return ring, line, np.empty(pairs * count, np.float32), np.empty(count, np.float32)


@loop_with(_room)
def self_similarity(  # type: ignore[no-untyped-def]
    start, stop, ring, line, distances, variance, image, shape, margin, steps, radius, low, high, sums, out
):
    """Process planes x of all samples; without `out`, only sum V over each of them.

    Rows of the image, (N X Y, rows) flat, are extended by `margin` border values before them, and by as many and a
    vector behind them. `low` and `high` are the bounds of V of each sample, `sums` is (N X,), `out` flat or empty.
    """
    nx, ny, nz = shape
    rows, pairs, width = nz + 2 * margin + LANES, len(steps), 2 * radius + 1
    count = (nz + LANES - 1) // LANES * LANES
    size = count
    share = _ONE / np.float32(pairs)
    for item in range(start, stop):
        n, x = item // nx, item % nx
        plane = n * nx * ny * rows + margin
        done, sum_of_rows = np.int64(0), np.float64(0)
        for y in range(ny):
            while done <= min(y + radius, ny - 1):
                at = done % width * pairs * size
                _differences(image, plane, rows, x, done, nx, ny, size, steps, radius, count, at, ring)
                done += 1
            _patches(ring, line, pairs, y, ny, nz, size, radius, count, distances)
            _compared(distances, variance, pairs, size, share, count)
            if len(out) == 0:
                sum_of_rows += _summed(variance, nz)
            else:
                at = (item * ny + y) * nz * pairs
                _similar(distances, variance, pairs, nz, size, low[n], high[n], count, out, at)
        sums[item] = sum_of_rows
