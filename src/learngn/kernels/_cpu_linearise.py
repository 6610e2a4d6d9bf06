"""Compiled linearisation: normal equations of the analytic residual, and what a composition makes of a gradient.

Arrays are (N, C, V), whole volumes of `shape` (X, Y, Z); a 2D grid is one plane, X = 1. Nothing of what is derived of a
row leaves the registers but its sums.
"""

from __future__ import annotations

import numpy as np

from learngn.kernels._cpu_rows import HALF, ONE, ZERO, gradient, halves, is_inside, neighbours
from learngn.kernels._cpu_threads import inlined, loop, part
from learngn.kernels._cpu_vectors import LANES, load, load_upto, splat, store, store_upto, total

_TOGETHER = 4  # channels whose sums stay in registers
_VALUES = 2048  # of a channel at a time: their sums fit the second cache


@inlined
def _add_vector(fixed, warped, symmetric, at, step, channels, offsets, hx, hy, z, nz, count, sums, i):  # type: ignore[no-untyped-def]
    across = sums.shape[1]
    b00, b01, b02 = load(sums, i), load(sums, i + across), load(sums, i + 2 * across)
    b11, b12, b22 = load(sums, i + 3 * across), load(sums, i + 4 * across), load(sums, i + 5 * across)
    g0, g1, g2 = load(sums, i + 6 * across), load(sums, i + 7 * across), load(sums, i + 8 * across)
    s = load(sums, i + 9 * across)
    for _ in range(channels):
        j0, j1, j2 = gradient(warped, at, offsets, hx, hy, z, nz, count)
        if symmetric:
            k0, k1, k2 = gradient(fixed, at, offsets, hx, hy, z, nz, count)
            j0, j1, j2 = HALF * (j0 + k0), HALF * (j1 + k1), HALF * (j2 + k2)
        f = load_upto(warped, at, count) - load_upto(fixed, at, count)
        b00, b01, b02 = b00 + j0 * j0, b01 + j0 * j1, b02 + j0 * j2
        b11, b12, b22 = b11 + j1 * j1, b12 + j1 * j2, b22 + j2 * j2
        g0, g1, g2, s = g0 + j0 * f, g1 + j1 * f, g2 + j2 * f, s + f * f
        at += step
    store(sums, i, b00)
    store(sums, i + across, b01)
    store(sums, i + 2 * across, b02)
    store(sums, i + 3 * across, b11)
    store(sums, i + 4 * across, b12)
    store(sums, i + 5 * across, b22)
    store(sums, i + 6 * across, g0)
    store(sums, i + 7 * across, g1)
    store(sums, i + 8 * across, g2)
    store(sums, i + 9 * across, s)


@part
def _add(fixed, warped, symmetric, at, step, channels, shape, first, last, sums, wide):  # type: ignore[no-untyped-def]
    """Add some channels' products, of the rows from `first` to `last`, to the sums of each."""
    nz = shape[2]
    for r in range(first, last):
        offsets = neighbours(shape, r)
        hx, hy = halves(offsets, shape)
        for z in range(0, nz, LANES):
            i, here = (r - first) * wide + z, at + r * nz + z
            if is_inside(z, nz):
                _add_vector(fixed, warped, symmetric, here, step, channels, offsets, hx, hy, z, nz, None, sums, i)
            else:
                _add_vector(fixed, warped, symmetric, here, step, channels, offsets, hx, hy, z, nz, nz - z, sums, i)


@part
def _put(n, first, last, shape, weight, sums, wide, blocks, slope):  # type: ignore[no-untyped-def]
    """Put the weighted sums of rows where they belong; returns their energy."""
    nz, size, lacking, across = shape[2], slope.shape[2], 3 - slope.shape[1], sums.shape[1]
    e = splat(ZERO)
    for r in range(first, last):
        for z in range(0, nz, LANES):
            count, i, s = nz - z, r * nz + z, (r - first) * wide + z
            w = splat(ONE) if weight.size == 0 else load_upto(weight, n * size + i, count)
            e = e + w * load(sums, s + 9 * across)
            at = n * blocks.shape[1] * size + i
            for q in range(3 * lacking, 6):
                store_upto(blocks, at, count, w * load(sums, s + q * across))
                at += size
            at = n * slope.shape[1] * size + i
            for q in range(6 + lacking, 9):
                store_upto(slope, at, count, w * load(sums, s + q * across))
                at += size
    return total(e) / 2


def chunks(shape: tuple[int, ...]) -> int:
    """Items of a sample in :func:`normal_equations`."""
    return -(-shape[0] * shape[1] // max(1, _VALUES // shape[2]))


@loop
def normal_equations(start, stop, fixed, warped, weight, symmetric, shape, blocks, slope, energy):  # type: ignore[no-untyped-def]
    """Blocks JᵀWJ and gradient JᵀWf, `slope`, summed over channels; `energy` (N, chunks) gets ½ Σ w f² of each.

    `weight` (N, 1, V) may be empty, for one.
    """
    rows, nz = shape[0] * shape[1], shape[2]
    channels, size = fixed.shape[1], fixed.shape[2]
    # Some rows of a channel before the next one: memory is read in longer runs.
    chunk, wide = max(1, _VALUES // nz), (nz + LANES - 1) // LANES * LANES
    many = (rows + chunk - 1) // chunk
    sums = np.empty((10, chunk * wide), dtype=np.float32)
    for item in range(start, stop):
        n, first = item // many, item % many * chunk
        last = min(first + chunk, rows)
        sums[:] = 0
        for c in range(0, channels, _TOGETHER):
            some = min(_TOGETHER, channels - c)
            _add(fixed, warped, symmetric, (n * channels + c) * size, size, some, shape, first, last, sums, wide)
        energy[n, item % many] = _put(n, first, last, shape, weight, sums, wide, blocks, slope)


@inlined
def _pull_vector(u, slope, at, size, ndim, offsets, hx, hy, z, nz, count, out):  # type: ignore[no-untyped-def]
    t0, t1, t2 = splat(ZERO), splat(ZERO), splat(ZERO)
    for b in range(ndim):
        j0, j1, j2 = gradient(u, at + b * size, offsets, hx, hy, z, nz, count)
        g = load_upto(slope, at + b * size, count)
        t0, t1, t2 = t0 + j0 * g, t1 + j1 * g, t2 + j2 * g
    if ndim == 3:
        store_upto(out, at, count, load_upto(slope, at, count) + t0)
        at += size
    store_upto(out, at, count, load_upto(slope, at, count) + t1)
    store_upto(out, at + size, count, load_upto(slope, at + size, count) + t2)


@part
def _pull_back(start, stop, u, slope, shape, out):  # type: ignore[no-untyped-def]
    ndim, size, nz, rows = out.shape[1], out.shape[2], shape[2], shape[0] * shape[1]
    for item in range(start, stop):
        n, r = item // rows, item % rows
        offsets = neighbours(shape, r)
        hx, hy = halves(offsets, shape)
        for z in range(0, nz, LANES):
            at = n * ndim * size + r * nz + z
            if is_inside(z, nz):
                _pull_vector(u, slope, at, size, ndim, offsets, hx, hy, z, nz, None, out)
            else:
                _pull_vector(u, slope, at, size, ndim, offsets, hx, hy, z, nz, nz - z, out)


@loop
def pull_back(start, stop, u, slope, shape, out):  # type: ignore[no-untyped-def]
    """``(I + ∇u)ᵀ slope``; fields are (N, D, V)."""
    _pull_back(start, stop, u, slope, shape, out)
