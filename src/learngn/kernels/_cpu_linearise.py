"""Compiled linearisation: normal equations of the analytic residual, and the pull-back of a gradient.

Arrays are (N, C, V), whole volumes of `shape` (X, Y, Z); a 2D grid is one plane, X = 1. Intermediate results of a row
stay in registers; only its sums are stored.
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

_VALUES = 2048  # largest number of values of a tile: their sums fit the second-level cache
_PLANES = 2  # planes of a tile; every plane is also read for its two neighbours
_SUMS = 10  # products of differences and residuals: six of a block, three of the gradient, the residual's square


@inlined
def _with_channel(products, fixed, warped, plain, at, offsets, z, nz, count):  # type: ignore[no-untyped-def]
    """Add the products of one more channel to those of eight voxels."""
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
    """Load the stored products of eight voxels."""
    return (
        load(sums, i), load(sums, i + LANES), load(sums, i + 2 * LANES), load(sums, i + 3 * LANES),
        load(sums, i + 4 * LANES), load(sums, i + 5 * LANES), load(sums, i + 6 * LANES), load(sums, i + 7 * LANES),
        load(sums, i + 8 * LANES), load(sums, i + 9 * LANES),
    )  # fmt: skip


@inlined
def _with_channels(products, fixed, warped, plain, at, second, offsets, z, nz, count):  # type: ignore[no-untyped-def]
    """Add the products of a channel, and of another one `second` values behind it, unless that is None."""
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
    """Add the products of one or two channels of a tile to those in `sums`, or set them if `kept` is None."""
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
    """Write one weighted sum of a row; `hz` is the number of its factors that are differences along z."""
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
    """Write a tile's weighted products to blocks and gradient; return their energy.

    The products are of differences. A derivative is `share` of a difference, or half of that if it spans two voxels;
    multiplying by powers of two at the end does not change the rounding. The sums are written one after the other, as
    arrays that are a power of two apart in memory would evict each other from the cache if written in turns.
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
    """Return the numbers of planes and rows of a tile, and of tiles along x and y."""
    planes = min(_PLANES, shape[0])
    rows = min(max(1, _VALUES // (planes * shape[2])), shape[1])
    return planes, rows, (shape[0] + planes - 1) // planes, (shape[1] + rows - 1) // rows


def tiles(shape: tuple[int, ...]) -> int:
    """Return the number of items per sample in :func:`normal_equations`."""
    _, _, along_x, along_y = _tiles.py_func(shape)
    return int(along_x * along_y)


@loop
def normal_equations(start, stop, fixed, warped, weight, plain, shape, energy, blocks, slope):  # type: ignore[no-untyped-def]
    """Compute blocks JᵀWJ, gradient JᵀWf (`slope`), summed over channels, and `energy` ½ Σ w f², (N, tiles).

    An empty `weight`, otherwise (N, 1, V), stands for one. J is the derivative of the mean of both images, or of
    `warped` if `plain` is not None.
    """
    channels, size, wide = fixed.shape[1], fixed.shape[2], (shape[2] + LANES - 1) // LANES * LANES
    planes, rows, along_x, along_y = _tiles(shape)
    many = along_x * along_y
    sums, share = np.empty(_SUMS * planes * rows * wide, dtype=np.float32), HALF if plain is None else ONE
    for item in range(start, stop):
        n, x, y = item // many, item % many // along_y * planes, item % along_y * rows
        tile, c = (x, min(x + planes, shape[0]), y, min(y + rows, shape[1])), n * channels * size
        # First one or two channels, so that the others can be processed in pairs.
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
    """Compute ``(I + ∇u)ᵀ slope``; fields are (N, D, V)."""
    _pull_back(start, stop, u, slope, shape, out)
