"""Compiled linearisation: normal equations of the analytic residual, and what a composition makes of a gradient.

Arrays are (N, C, V), whole volumes of `shape` (X, Y, Z); a 2D grid is one plane, X = 1. Nothing of what is derived of a
row leaves the registers but its sums.
"""

from __future__ import annotations

import numpy as np

from learngn.kernels._cpu_rows import (
    HALF,
    ONE,
    ZERO,
    differences,
    gradient,
    halves,
    halves_within,
    is_inside,
    neighbours,
)
from learngn.kernels._cpu_threads import inlined, loop, part
from learngn.kernels._cpu_vectors import LANES, fma, load, load_upto, splat, store, store_upto, total

_VALUES = 2048  # of a tile at most: their sums fit the second cache
_PLANES = 2  # of a tile: every plane is read for itself and for the one before and behind
_SUMS = 10  # of products of differences and residuals: six of a block, three of the gradient, the residual's square


@inlined
def _with_channel(products, fixed, warped, plain, at, offsets, z, nz, count):  # type: ignore[no-untyped-def]
    """Products of eight voxels, and those of one more channel."""
    b00, b01, b02, b11, b12, b22, g0, g1, g2, s = products
    j0, j1, j2 = differences(warped, at, offsets, z, nz, count)
    if plain is None:
        k0, k1, k2 = differences(fixed, at, offsets, z, nz, count)
        j0, j1, j2 = j0 + k0, j1 + k1, j2 + k2
    f = load_upto(warped, at, count) - load_upto(fixed, at, count)
    b00, b01, b02 = fma(j0, j0, b00), fma(j0, j1, b01), fma(j0, j2, b02)
    b11, b12, b22 = fma(j1, j1, b11), fma(j1, j2, b12), fma(j2, j2, b22)
    return b00, b01, b02, b11, b12, b22, fma(j0, f, g0), fma(j1, f, g1), fma(j2, f, g2), fma(f, f, s)


@inlined
def _nothing():  # type: ignore[no-untyped-def]
    o = splat(ZERO)
    return o, o, o, o, o, o, o, o, o, o


@inlined
def _kept(sums, i):  # type: ignore[no-untyped-def]
    """The products that are kept of eight voxels, one after the other."""
    return (
        load(sums, i), load(sums, i + LANES), load(sums, i + 2 * LANES), load(sums, i + 3 * LANES),
        load(sums, i + 4 * LANES), load(sums, i + 5 * LANES), load(sums, i + 6 * LANES), load(sums, i + 7 * LANES),
        load(sums, i + 8 * LANES), load(sums, i + 9 * LANES),
    )  # fmt: skip


@inlined
def _with_channels(products, fixed, warped, plain, at, second, offsets, z, nz, count):  # type: ignore[no-untyped-def]
    """Products, and those of a channel; and of another one, `second` values behind it, unless that is None."""
    products = _with_channel(products, fixed, warped, plain, at + z, offsets, z, nz, count)
    if second is not None:
        products = _with_channel(products, fixed, warped, plain, at + second + z, offsets, z, nz, count)
    return products


@inlined
def _added(products, fixed, warped, plain, at, second, offsets, z, nz):  # type: ignore[no-untyped-def]
    if is_inside(z, nz):
        return _with_channels(products, fixed, warped, plain, at, second, offsets, z, nz, None)
    return _with_channels(products, fixed, warped, plain, at, second, offsets, z, nz, nz - z)


@part
def _add(fixed, warped, plain, at, second, shape, tile, kept, sums):  # type: ignore[no-untyped-def]
    """Add one or two channels' products of a tile to those in `sums`, or to nothing where `kept` is None."""
    nz, i, (x0, x1, y0, y1) = shape[2], 0, tile
    for x in range(x0, x1):
        for y in range(y0, y1):
            r = x * shape[1] + y
            offsets = neighbours(shape, r)
            for z in range(0, nz, LANES):
                products = _nothing() if kept is None else _kept(sums, i)
                products = _added(products, fixed, warped, plain, at + r * nz, second, offsets, z, nz)
                for q in range(_SUMS):
                    store(sums, i + q * LANES, products[q])
                i += LANES * _SUMS


@inlined
def _put_row(h, hz, weight, at, sums, i, nz, out, to):  # type: ignore[no-untyped-def]
    """One sum of a row, weighted; `hz` counts how often it has a difference along z."""
    for z in range(0, nz, LANES):
        count, v = nz - z, h * load(sums, i + z * _SUMS)
        if hz > 0:
            v = halves_within(z, nz, count) * v
        if hz > 1:
            v = halves_within(z, nz, count) * v
        if weight.size > 0:
            v = load_upto(weight, at + z, count) * v
        store_upto(out, to + z, count, v)


@part
def _put(n, weight, share, shape, tile, sums, blocks, slope):  # type: ignore[no-untyped-def]
    """Put a tile's products, weighted, where they belong; returns their energy.

    They are of differences: `share` of these, and half of it where they span two voxels, are derivatives. Powers of two
    that are left to the end change no bit. Sum by sum: those that lie a power of two apart in memory, written in turns,
    would drive each other out of the cache.
    """
    nz, size, i, (x0, x1, y0, y1) = shape[2], slope.shape[2], 0, tile
    e, flat = splat(ZERO), slope.shape[1] == 2
    for x in range(x0, x1):
        for y in range(y0, y1):
            r = x * shape[1] + y
            hx, hy = halves(neighbours(shape, r), shape)
            hx, hy, at = share * hx, share * hy, n * size + r * nz
            b, g = n * blocks.shape[1] * size + r * nz, n * slope.shape[1] * size + r * nz
            if not flat:
                _put_row(hx * hx, 0, weight, at, sums, i, nz, blocks, b)
                _put_row(hx * hy, 0, weight, at, sums, i + LANES, nz, blocks, b + size)
                _put_row(hx * share, 1, weight, at, sums, i + 2 * LANES, nz, blocks, b + 2 * size)
                _put_row(hx, 0, weight, at, sums, i + 6 * LANES, nz, slope, g)
                b, g = b + 3 * size, g + size
            _put_row(hy * hy, 0, weight, at, sums, i + 3 * LANES, nz, blocks, b)
            _put_row(hy * share, 1, weight, at, sums, i + 4 * LANES, nz, blocks, b + size)
            _put_row(share * share, 2, weight, at, sums, i + 5 * LANES, nz, blocks, b + 2 * size)
            _put_row(hy, 0, weight, at, sums, i + 7 * LANES, nz, slope, g)
            _put_row(share, 1, weight, at, sums, i + 8 * LANES, nz, slope, g + size)
            for z in range(0, nz, LANES):
                w = splat(ONE) if weight.size == 0 else load_upto(weight, at + z, nz - z)
                e = fma(w, load(sums, i + (_SUMS - 1) * LANES), e)
                i += LANES * _SUMS
    return total(e) / 2


@part
def _tiles(shape):  # type: ignore[no-untyped-def]
    """Planes and rows of a tile, and tiles along x and y."""
    planes = min(_PLANES, shape[0])
    rows = min(max(1, _VALUES // (planes * shape[2])), shape[1])
    return planes, rows, (shape[0] + planes - 1) // planes, (shape[1] + rows - 1) // rows


def tiles(shape: tuple[int, ...]) -> int:
    """Items of a sample in :func:`normal_equations`."""
    _, _, along_x, along_y = _tiles.py_func(shape)
    return int(along_x * along_y)


@loop
def normal_equations(start, stop, fixed, warped, weight, plain, shape, energy, blocks, slope):  # type: ignore[no-untyped-def]
    """Blocks JᵀWJ and gradient JᵀWf, `slope`, summed over channels; `energy` (N, tiles) gets ½ Σ w f² of each.

    `weight` (N, 1, V) may be empty, for one. J is of both images, unless `plain` is not None: of `warped` alone.
    """
    channels, size, wide = fixed.shape[1], fixed.shape[2], (shape[2] + LANES - 1) // LANES * LANES
    planes, rows, along_x, along_y = _tiles(shape)
    many = along_x * along_y
    sums, share = np.empty(_SUMS * planes * rows * wide, dtype=np.float32), HALF if plain is None else ONE
    for item in range(start, stop):
        n, x, y = item // many, item % many // along_y * planes, item % along_y * rows
        tile, c = (x, min(x + planes, shape[0]), y, min(y + rows, shape[1])), n * channels * size
        # One or two channels first, then always two.
        if channels % 2:
            _add(fixed, warped, plain, c, None, shape, tile, None, sums)
        else:
            _add(fixed, warped, plain, c, size, shape, tile, None, sums)
        for k in range(2 - channels % 2, channels, 2):
            _add(fixed, warped, plain, c + k * size, size, shape, tile, 0, sums)
        energy[n, item % many] = _put(n, weight, share, shape, tile, sums, blocks, slope)


@inlined
def _pull_vector(u, slope, at, size, ndim, offsets, hx, hy, z, nz, count, out):  # type: ignore[no-untyped-def]
    t0, t1, t2 = splat(ZERO), splat(ZERO), splat(ZERO)
    for b in range(ndim):
        j0, j1, j2 = gradient(u, at + b * size, offsets, hx, hy, z, nz, count)
        g = load_upto(slope, at + b * size, count)
        t0, t1, t2 = fma(j0, g, t0), fma(j1, g, t1), fma(j2, g, t2)
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
