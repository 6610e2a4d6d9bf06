"""Compiled linearisation: normal equations of the analytic residual, and the pull-back of a gradient.

Arrays are (N, C, V), whole volumes of `shape` (X, Y, Z); a 2D grid is one plane, X = 1.

The normal equations are computed in tiles of some rows and planes, one plane after the other. What they need of both
images is read once and kept in a work array, in which all channels of a row are close to each other; sums over channels
stay in registers.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from learngn.kernels._cpu_rows import (
    HALF,
    ONE,
    ZERO,
    gradient,
    halves,
    is_inside,
    neighbours,
)
from learngn.kernels._cpu_threads import inlined, loop, loop_with, part
from learngn.kernels._cpu_vectors import LANES, fma, load, load_upto, prefetch, splat, store, store_upto, total

Array: TypeAlias = NDArray[np.float32]
_BYTES = 512 * 1024  # size of the work array: it fits the second-level cache
_PLANES = 32  # planes of a tile; the two beside it are also read
_SUMS = 9  # sums of a row: six of the blocks, three of the gradient


@inlined
def _keep(images, plain, i, count, lines, o, stride):  # type: ignore[no-untyped-def]
    f, w = load_upto(images[0], i, count), load_upto(images[1], i, count)
    store(lines, o, w - f)
    store(lines, o + stride, w + f if plain is None else w)


@part
def _fill(images, plain, at, to, rows, nz, stride, lines):  # type: ignore[no-untyped-def]
    """Write the difference and the sum of some rows of both images to the work array, channel by channel.

    The ends of the sum are repeated, so that every voxel has two neighbours. Meanwhile the same rows of the next
    channel are on their way from memory: what the processor fetches by itself comes late for a few rows.
    """
    _, channels, size = images[0].shape
    whole = nz // (2 * LANES) * 2 * LANES
    for c in range(channels):
        i, o = at + c * size, to + c * 2 * stride
        for _ in range(rows):
            for z in range(0, whole, 2 * LANES):
                prefetch(images[0], i + z + size)
                prefetch(images[1], i + z + size)
                _keep(images, plain, i + z, None, lines, o + z, stride)
                _keep(images, plain, i + z + LANES, None, lines, o + z + LANES, stride)
            for z in range(whole, nz, LANES):
                _keep(images, plain, i + z, nz - z, lines, o + z, stride)
            s = o + stride
            lines[s - 1], lines[s + nz] = lines[s], lines[s + nz - 1]
            i, o = i + nz, o + channels * 2 * stride


@inlined
def _products(lines, at, offsets, channels, stride):  # type: ignore[no-untyped-def]
    """Sum the products of differences and residuals of eight voxels over all channels."""
    xm, xp, ym, yp = offsets
    o = splat(ZERO)
    b00, b01, b02, b11, b12, b22, g0, g1, g2, e = o, o, o, o, o, o, o, o, o, o
    for _ in range(channels):
        f, s = load(lines, at), at + stride
        j0 = load(lines, s + xp) - load(lines, s + xm)
        j1 = load(lines, s + yp) - load(lines, s + ym)
        j2 = load(lines, s + 1) - load(lines, s - 1)
        b00, b01, b02 = fma(j0, j0, b00), fma(j0, j1, b01), fma(j0, j2, b02)
        b11, b12, b22 = fma(j1, j1, b11), fma(j1, j2, b12), fma(j2, j2, b22)
        g0, g1, g2, e = fma(j0, f, g0), fma(j1, f, g1), fma(j2, f, g2), fma(f, f, e)
        at += 2 * stride
    return b00, b01, b02, b11, b12, b22, g0, g1, g2, e


@part
def _fetch(image, at, channels, size):  # type: ignore[no-untyped-def]
    for _ in range(channels):
        prefetch(image, at)
        at += size


@part
def _row(images, ahead, weight, first, lines, at, offsets, factors, nz, stride, sums, to):  # type: ignore[no-untyped-def]
    """Write the weighted sums of products of a row, six of the blocks and three of the gradient; return the energy.

    `factors` are those that make derivatives of differences. As they are powers of two, it does not change the
    rounding that sums of products are multiplied by them. The rows that are filled in next, from `ahead` on, are
    fetched into a cache: of a line of sixteen voxels, first those of one image, then those of the other.
    """
    h0, h1, h2 = factors
    _, channels, size = images[0].shape
    energy = splat(ZERO)
    for z in range(0, nz, LANES):
        if z % (2 * LANES) == 0:
            _fetch(images[0], ahead + z, channels, size)
        else:
            _fetch(images[1], ahead + z - LANES, channels, size)
        b00, b01, b02, b11, b12, b22, g0, g1, g2, e = _products(lines, at + z, offsets, channels, stride)
        w, k, i = splat(ONE), load(h2, z), to + z
        if weight.size > 0:
            w = load_upto(weight, first + z, nz - z)
        energy = fma(w, e, energy)
        v0, v1, v2 = h0 * w, h1 * w, k * w
        store(sums, i, h0 * v0 * b00)
        store(sums, i + stride, h1 * v0 * b01)
        store(sums, i + 2 * stride, k * v0 * b02)
        store(sums, i + 3 * stride, h1 * v1 * b11)
        store(sums, i + 4 * stride, k * v1 * b12)
        store(sums, i + 5 * stride, k * v2 * b22)
        store(sums, i + 6 * stride, v0 * g0)
        store(sums, i + 7 * stride, v1 * g1)
        store(sums, i + 8 * stride, v2 * g2)
    return energy


@part
def _write(sums, skip, stride, rows, nz, out, at):  # type: ignore[no-untyped-def]
    """Write the sums of some rows to an array from `at` on; its first component is the one after `skip` others.

    One component after the other, as components that are a power of two apart in memory would evict each other from the
    cache if they were written in turns. Meanwhile the next one is on its way from memory.
    """
    _, many, size = out.shape
    for k in range(many):
        i, o = (skip + k) * stride, at + k * size
        for _ in range(rows):
            for z in range(0, nz, LANES):
                if z % (2 * LANES) == 0:
                    prefetch(out, o + z + size)
                store_upto(out, o + z, nz - z, load(sums, i + z))
            i, o = i + _SUMS * stride, o + nz


@part
def _tile(n, tile, images, plain, weight, shape, stride, work, out):  # type: ignore[no-untyped-def]
    """Compute blocks and gradient (`out`) of a tile, and return its energy.

    The work array has the rows of three planes, if there are as many. The next plane replaces the one that is not
    needed any more.
    """
    (x0, x1, y0, y1), (nx, ny, nz), (lines, sums, h2), (blocks, slope) = tile, shape, work, out
    _, channels, size = images[0].shape
    first, last, share, e = max(y0 - 1, 0), min(y1 + 1, ny), HALF if plain is None else ONE, splat(ZERO)
    row = channels * 2 * stride
    plane = (last - first) * row
    for x in range(max(x0 - 1, 0), x1 + 1):
        if x < nx:
            at, to = n * channels * size + (x * ny + first) * nz, LANES + x % 3 * plane
            _fill(images, plain, at, to, last - first, nz, stride, lines)
        c = x - 1
        if c < x0:
            continue
        xm, xp = max(c - 1, 0), min(x, nx - 1)
        for y in range(y0, y1):
            ym, yp, at = max(y - 1, 0), min(y + 1, ny - 1), LANES + c % 3 * plane + (y - first) * row
            offsets = (xm % 3 - c % 3) * plane, (xp % 3 - c % 3) * plane, (ym - y) * row, (yp - y) * row
            factors = share if xp - xm < 2 else HALF * share, share if yp - ym < 2 else HALF * share, h2
            r, to = (c * ny + y) * nz, (y - y0) * _SUMS * stride
            ahead = n * channels * size + (min(c + 2, nx - 1) * ny + y) * nz
            e = e + _row(images, ahead, weight, n * size + r, lines, at, offsets, factors, nz, stride, sums, to)
        r, k, d = (c * ny + y0) * nz, blocks.shape[1], slope.shape[1]
        _write(sums, 6 - k, stride, y1 - y0, nz, blocks, n * k * size + r)
        _write(sums, 9 - d, stride, y1 - y0, nz, slope, n * d * size + r)
    return total(e) / 2


@part
def _tiles(shape, channels):  # type: ignore[no-untyped-def]
    """Return the rows of a tile, the numbers of tiles along x and y, and the stride of lines in the work array."""
    nx, ny, nz = shape
    stride = (nz + LANES - 1) // LANES * LANES + 2 * LANES
    rows = min(ny, max(2, _BYTES // (min(nx, 3) * channels * 2 * stride * 4) - 2))
    return rows, (nx + _PLANES - 1) // _PLANES, (ny + rows - 1) // rows, stride


def tiles(shape: tuple[int, ...], channels: int) -> int:
    """Return the number of items per sample in :func:`normal_equations`."""
    _, along_x, along_y, _ = _tiles.py_func(shape, channels)
    return int(along_x * along_y)


def _room(
    fixed: Array, warped: Array, weight: Array, plain: int | None,
    shape: tuple[int, ...], energy: NDArray[np.float64], blocks: Array, slope: Array,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """Return the work arrays of :func:`normal_equations`, and the factors of derivatives along z."""
    channels, share = fixed.shape[1], HALF if plain is None else ONE
    rows, _, _, stride = _tiles.py_func(shape, channels)
    lines = np.zeros(min(shape[0], 3) * (rows + 2) * channels * 2 * stride + 2 * LANES, dtype=np.float32)
    sums, h2 = np.empty(rows * _SUMS * stride, dtype=np.float32), np.full(stride, HALF * share)
    h2[0] = h2[shape[2] - 1] = share
    return lines, sums, h2


@loop_with(_room)
def normal_equations(start, stop, lines, sums, h2, fixed, warped, weight, plain, shape, energy, blocks, slope):  # type: ignore[no-untyped-def]
    """Compute blocks JᵀWJ, gradient JᵀWf (`slope`), summed over channels, and `energy` ½ Σ w f², (N, tiles).

    An empty `weight`, otherwise (N, 1, V), stands for one. J is the derivative of the mean of both images, or of
    `warped` if `plain` is not None.
    """
    channels, nx, ny = fixed.shape[1], shape[0], shape[1]
    rows, along_x, along_y, stride = _tiles(shape, channels)
    many = along_x * along_y
    for item in range(start, stop):
        n, x, y = item // many, item % many // along_y * _PLANES, item % along_y * rows
        tile = x, min(x + _PLANES, nx), y, min(y + rows, ny)
        energy[n, item % many] = _tile(
            n, tile, (fixed, warped), plain, weight, shape, stride, (lines, sums, h2), (blocks, slope)
        )


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


@loop
def pull_back(start, stop, u, slope, shape, out):  # type: ignore[no-untyped-def]
    """Compute ``(I + ∇u)ᵀ slope``; fields are (N, D, V)."""
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
