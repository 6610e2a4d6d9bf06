"""Compiled sampling, row by row: first the positions of a row's points, in vector instructions, then the values there.

Arrays are whole volumes of `shape` (X, Y, Z); a 2D one is a single plane, X = 1. Images are (N, V * C), channels last.
"""

from __future__ import annotations

from math import floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learngn.kernels._cpu_threads import inlined, loop_with, part
from learngn.kernels._cpu_vectors import LANES, fma, load_upto, store, store_first, zip_high, zip_low

_ZERO = np.float32(0)
_HALF = np.float32(0.5)


def row_arrays(nz: int) -> tuple[NDArray[Any], ...]:
    """Return work arrays for the places of a row, and a row of zeros."""
    return np.empty(nz, np.uint64), np.empty((3, nz), np.float32), np.zeros(nz, np.float32)


@part
def places(m, x, y, first, shape, share, d0, d1, d2, index, f0, f1, f2):  # type: ignore[no-untyped-def]
    """Compute ``m (p + share d)``, clamped to a volume of `shape`, for points p of a row from `first` on.

    `index` gets the lower corner of the cell that contains the point; f0, f1, f2 the position in the cell, 0 to 1.
    """
    e0, e1, e2 = np.float32(shape[0] - 1), np.float32(shape[1] - 1), np.float32(shape[2] - 1)
    # The last voxel belongs to the cell before it, as a cell has two corners, unless the volume is one voxel thick.
    c0, c1, c2 = np.float32(max(shape[0] - 2, 0)), np.float32(max(shape[1] - 2, 0)), np.float32(max(shape[2] - 2, 0))
    row, plane = shape[2], shape[1] * shape[2]
    m00, m01, m02, m03 = m[0, 0], m[0, 1], m[0, 2], m[0, 3]
    m10, m11, m12, m13 = m[1, 0], m[1, 1], m[1, 2], m[1, 3]
    m20, m21, m22, m23 = m[2, 0], m[2, 1], m[2, 2], m[2, 3]
    for i in range(len(index)):
        q0, q1 = fma(share, d0[i], np.float32(x)), fma(share, d1[i], np.float32(y))
        q2 = fma(share, d2[i], np.float32(first + i))
        p0 = fma(m00, q0, fma(m01, q1, fma(m02, q2, m03)))
        p1 = fma(m10, q0, fma(m11, q1, fma(m12, q2, m13)))
        p2 = fma(m20, q0, fma(m21, q1, fma(m22, q2, m23)))
        # In this order NaN becomes zero, and every index is inside the volume.
        p0 = p0 if p0 > _ZERO else _ZERO
        p1 = p1 if p1 > _ZERO else _ZERO
        p2 = p2 if p2 > _ZERO else _ZERO
        p0 = p0 if p0 < e0 else e0
        p1 = p1 if p1 < e1 else e1
        p2 = p2 if p2 < e2 else e2
        i0, i1, i2 = np.float32(floor(p0)), np.float32(floor(p1)), np.float32(floor(p2))
        i0 = i0 if i0 < c0 else c0
        i1 = i1 if i1 < c1 else c1
        i2 = i2 if i2 < c2 else c2
        index[i] = np.int64(i0) * plane + np.int64(i1) * row + np.int64(i2)
        f0[i], f1[i], f2[i] = p0 - i0, p1 - i1, p2 - i2


@part
def strides(shape):  # type: ignore[no-untyped-def]
    """Return the offsets to the other corners of a cell; zero along an axis one voxel thick."""
    nx, ny, nz = shape
    return (
        np.uint64(ny * nz if nx > 1 else 0),
        np.uint64(nz if ny > 1 else 0),
        np.uint64(1 if nz > 1 else 0),
    )


@part
def _single(index, f0, f1, f2, step, v, out):  # type: ignore[no-untyped-def]
    """Interpolate one channel linearly."""
    dx, dy, dz = step
    for i in range(len(out)):
        a, g0, g1, g2 = index[i], f0[i], f1[i], f2[i]
        b, c, d = a + dy, a + dx, a + dx + dy
        va, vb = fma(g2, v[a + dz] - v[a], v[a]), fma(g2, v[b + dz] - v[b], v[b])
        vc, vd = fma(g2, v[c + dz] - v[c], v[c]), fma(g2, v[d + dz] - v[d], v[d])
        near, far = fma(g1, vb - va, va), fma(g1, vd - vc, vc)
        out[i] = fma(g0, far - near, near)


@inlined
def _cell(v, a, dx, dy, dz, weights, i, count):  # type: ignore[no-untyped-def]
    """Interpolate channels in the cell whose lower corner is at `a`."""
    b, c, d = a + dy, a + dx, a + dx + dy
    near, far = weights[0, i] * load_upto(v, a, count), weights[4, i] * load_upto(v, c, count)
    near, far = (
        fma(weights[1, i], load_upto(v, a + dz, count), near),
        fma(weights[5, i], load_upto(v, c + dz, count), far),
    )
    near, far = fma(weights[2, i], load_upto(v, b, count), near), fma(weights[6, i], load_upto(v, d, count), far)
    near, far = (
        fma(weights[3, i], load_upto(v, b + dz, count), near),
        fma(weights[7, i], load_upto(v, d + dz, count), far),
    )
    return near + far


@inlined
def _transposed(r0, r1, r2, r3, r4, r5, r6, r7):  # type: ignore[no-untyped-def]
    """Transpose eight vectors: each round moves one bit of the row's number behind those of the lane's."""
    for _ in range(3):
        r0, r1, r2, r3, r4, r5, r6, r7 = (
            zip_low(r0, r4), zip_high(r0, r4), zip_low(r1, r5), zip_high(r1, r5),
            zip_low(r2, r6), zip_high(r2, r6), zip_low(r3, r7), zip_high(r3, r7),
        )  # fmt: skip
    return r0, r1, r2, r3, r4, r5, r6, r7


@part
def _eight(v, base, index, weights, steps, channels, k, nz, count, out, to, volume):  # type: ignore[no-untyped-def]
    """Interpolate channels k to k + 8, or `count` of them, of a row, eight voxels at a time."""
    dx, dy, dz = steps
    for start in range(0, nz, LANES):
        # Beyond the end of the row the last voxel is repeated.
        i, left = start, nz - start
        a = base + k
        e = nz - 1
        i1, i2, i3, i4 = min(i + 1, e), min(i + 2, e), min(i + 3, e), min(i + 4, e)
        i5, i6, i7 = min(i + 5, e), min(i + 6, e), min(i + 7, e)
        r0 = _cell(v, a + np.int64(index[i]) * channels, dx, dy, dz, weights, i, count)
        r1 = _cell(v, a + np.int64(index[i1]) * channels, dx, dy, dz, weights, i1, count)
        r2 = _cell(v, a + np.int64(index[i2]) * channels, dx, dy, dz, weights, i2, count)
        r3 = _cell(v, a + np.int64(index[i3]) * channels, dx, dy, dz, weights, i3, count)
        r4 = _cell(v, a + np.int64(index[i4]) * channels, dx, dy, dz, weights, i4, count)
        r5 = _cell(v, a + np.int64(index[i5]) * channels, dx, dy, dz, weights, i5, count)
        r6 = _cell(v, a + np.int64(index[i6]) * channels, dx, dy, dz, weights, i6, count)
        r7 = _cell(v, a + np.int64(index[i7]) * channels, dx, dy, dz, weights, i7, count)
        r0, r1, r2, r3, r4, r5, r6, r7 = _transposed(r0, r1, r2, r3, r4, r5, r6, r7)
        there = LANES if count is None else count
        at = to + k * volume + i
        for c in range(there):
            if c == 1:
                r0 = r1
            elif c == 2:
                r0 = r2
            elif c == 3:
                r0 = r3
            elif c == 4:
                r0 = r4
            elif c == 5:
                r0 = r5
            elif c == 6:
                r0 = r6
            elif c == 7:
                r0 = r7
            if left >= LANES:
                store(out, at + c * volume, r0)
            else:
                store_first(out, at + c * volume, left, r0)


@part
def _corners(f0, f1, f2, weights):  # type: ignore[no-untyped-def]
    """Compute the weights of a cell's eight corners."""
    one = np.float32(1)
    for i in range(len(f0)):
        g0, g1, g2 = f0[i], f1[i], f2[i]
        h0, h1, h2 = one - g0, one - g1, one - g2
        weights[0, i], weights[1, i], weights[2, i], weights[3, i] = (
            h0 * h1 * h2,
            h0 * h1 * g2,
            h0 * g1 * h2,
            h0 * g1 * g2,
        )
        weights[4, i], weights[5, i], weights[6, i], weights[7, i] = (
            g0 * h1 * h2,
            g0 * h1 * g2,
            g0 * g1 * h2,
            g0 * g1 * g2,
        )


@part
def _displacement(field, n, k, nz, nothing):  # type: ignore[no-untyped-def]
    """Return the displacement of a row along the three axes; zeros for missing components."""
    ndim = field.shape[1]
    if field.size == 0:
        return nothing, nothing, nothing
    return (
        field[n, 0, k : k + nz] if ndim == 3 else nothing,
        field[n, ndim - 2, k : k + nz],
        field[n, ndim - 1, k : k + nz],
    )


@part
def _nearest(m, x, y, shape, d0, d1, d2, index):  # type: ignore[no-untyped-def]
    """Compute the index of the nearest voxel (halves round up), -1 beyond the volume; see :func:`places`."""
    n0, n1, n2 = np.float32(shape[0]), np.float32(shape[1]), np.float32(shape[2])
    row, plane = shape[2], shape[1] * shape[2]
    m00, m01, m02, m03 = m[0, 0], m[0, 1], m[0, 2], m[0, 3] + _HALF
    m10, m11, m12, m13 = m[1, 0], m[1, 1], m[1, 2], m[1, 3] + _HALF
    m20, m21, m22, m23 = m[2, 0], m[2, 1], m[2, 2], m[2, 3] + _HALF
    for i in range(len(index)):
        q0, q1, q2 = np.float32(x) + d0[i], np.float32(y) + d1[i], np.float32(i) + d2[i]
        p0 = m00 * q0 + m01 * q1 + m02 * q2 + m03
        p1 = m10 * q0 + m11 * q1 + m12 * q2 + m13
        p2 = m20 * q0 + m21 * q1 + m22 * q2 + m23
        # Compared as floats, since the coordinates of a distant point may overflow an integer.
        inside = (p0 >= _ZERO) & (p0 < n0) & (p1 >= _ZERO) & (p1 < n1) & (p2 >= _ZERO) & (p2 < n2)
        p0, p1, p2 = p0 if inside else _ZERO, p1 if inside else _ZERO, p2 if inside else _ZERO
        at = np.int64(p0) * plane + np.int64(p1) * row + np.int64(p2)
        index[i] = at if inside else -1


@part
def _blank(m, x, y, shape, d0, d1, d2, index, value, out):  # type: ignore[no-untyped-def]
    """Set the points of a row beyond a volume to a value; out (C, Z)."""
    _nearest(m, x, y, shape, d0, d1, d2, index)
    for c in range(len(out)):
        for i in range(len(index)):
            out[c, i] = out[c, i] if index[i] >= 0 else value


@loop_with(
    lambda image, before, field, m, shape, limited, value, out: (
        *row_arrays(shape[2]),
        np.empty((8, shape[2]), np.float32),
        np.empty(shape[2] if limited else 0, np.int64),
    )
)
def warp_linear(start, stop, index, f, nothing, weights, nearest, image, before, field, m, shape, limited, value, out):  # type: ignore[no-untyped-def]
    """Compute ``out[n, :, p] = image[n, m (p + field[n, :, p])]``; an empty `field`, else (N, D, V), stands for zero.

    If it is `limited`, the result is `value` beyond the image. `image` is (N, V' * C) of shape `before`, `out`
    (N, C, V): channels first.
    """
    ny, nz = shape[1], shape[2]
    rows, channels, step = shape[0] * ny, out.shape[1], strides(before)
    first = np.int64(0)  # not a literal, for which Numba would compile another version
    dx, dy, dz = np.int64(step[0]) * channels, np.int64(step[1]) * channels, np.int64(step[2]) * channels
    for item in range(start, stop):
        n, r = item // rows, item % rows
        k = r * nz
        d0, d1, d2 = _displacement(field, n, k, nz, nothing)
        places(m, r // ny, r % ny, first, before, np.float32(1), d0, d1, d2, index, f[0], f[1], f[2])
        if channels == 1:
            _single(index, f[0], f[1], f[2], step, image[n], out[n, 0, k : k + nz])
            if limited:
                _blank(m, r // ny, r % ny, before, d0, d1, d2, nearest, value, out[n, :, k : k + nz])
            continue
        _corners(f[0], f[1], f[2], weights)
        base, to, volume = n * image.shape[1], n * channels * out.shape[2] + k, out.shape[2]
        whole = channels // LANES * LANES
        for c in range(0, whole, LANES):
            _eight(image, base, index, weights, (dx, dy, dz), channels, c, nz, None, out, to, volume)
        if whole < channels:
            _eight(image, base, index, weights, (dx, dy, dz), channels, whole, nz, channels - whole, out, to, volume)
        if limited:
            _blank(m, r // ny, r % ny, before, d0, d1, d2, nearest, value, out[n, :, k : k + nz])


@loop_with(
    lambda image, before, field, m, shape, outside, out: (np.empty(shape[2], np.int64), np.zeros(shape[2], np.float32))
)
def warp_nearest(start, stop, index, nothing, image, before, field, m, shape, outside, out):  # type: ignore[no-untyped-def]
    """Sample like :func:`warp_linear`, at the nearest voxel (halves round up), with `outside` beyond the image."""
    nz = shape[2]
    ny, rows, channels = shape[1], shape[0] * shape[1], out.shape[1]
    for item in range(start, stop):
        n, r = item // rows, item % rows
        k = r * nz
        d0, d1, d2 = _displacement(field, n, k, nz, nothing)
        _nearest(m, r // ny, r % ny, before, d0, d1, d2, index)
        for c in range(channels):
            for i in range(nz):
                out[n, c, k + i] = image[n, np.uint64(index[i] * channels + c)] if index[i] >= 0 else outside


@part
def _of_centres(x, y, shape, d0, d1, d2, index):  # type: ignore[no-untyped-def]
    """Compute the index of the nearest voxel (halves round up) in double precision, -1 beyond the outermost centres."""
    e0, e1, e2 = np.float64(shape[0] - 1), np.float64(shape[1] - 1), np.float64(shape[2] - 1)
    zero, half = np.float64(0), np.float64(0.5)
    row, plane = shape[2], shape[1] * shape[2]
    for i in range(len(index)):
        p0, p1, p2 = x + np.float64(d0[i]), y + np.float64(d1[i]), np.float64(i) + np.float64(d2[i])
        inside = (p0 >= zero) & (p0 <= e0) & (p1 >= zero) & (p1 <= e1) & (p2 >= zero) & (p2 <= e2)
        p0, p1, p2 = p0 if inside else zero, p1 if inside else zero, p2 if inside else zero
        at = np.int64(p0 + half) * plane + np.int64(p1 + half) * row + np.int64(p2 + half)
        index[i] = at if inside else -1


@loop_with(
    lambda labels, before, field, shape, first, out: (np.empty(shape[2], np.int64), np.zeros(shape[2], np.float32))
)
def warp_labels(start, stop, index, nothing, labels, before, field, shape, first, out):  # type: ignore[no-untyped-def]
    """Sample labels (V') of shape `before` for a part of a grid, from `first` on; `field` (1, D, V), `out` (1, V)."""
    ny, nz = shape[1], shape[2]
    for r in range(start, stop):
        k = r * nz
        d0, d1, d2 = _displacement(field, 0, k, nz, nothing)
        _of_centres(np.float64(first[0] + r // ny), np.float64(first[1] + r % ny), before, d0, d1, d2, index)
        for i in range(nz):
            out[0, k + i] = labels[np.uint64(index[i])] if index[i] >= 0 else 0


@part
def _join3(index, f, corner, share, step, u, out):  # type: ignore[no-untyped-def]
    (f0, f1, f2), (dx, dy, dz), (s0, s1, s2), (u0, u1, u2), (o0, o1, o2) = f, corner, step, u, out
    for i in range(len(o0)):
        a, g0, g1, g2 = index[i], f0[i], f1[i], f2[i]
        b, c, d = a + dy, a + dx, a + dx + dy
        w11 = g0 * g1
        w10, w01 = g0 - w11, g1 - w11
        w00 = np.float32(1) - g0 - w01
        va, vb = fma(g2, u0[a + dz] - u0[a], u0[a]), fma(g2, u0[b + dz] - u0[b], u0[b])
        vc, vd = fma(g2, u0[c + dz] - u0[c], u0[c]), fma(g2, u0[d + dz] - u0[d], u0[d])
        o0[i] = fma(share, s0[i], fma(w11, vd, fma(w10, vc, fma(w01, vb, w00 * va))))
        va, vb = fma(g2, u1[a + dz] - u1[a], u1[a]), fma(g2, u1[b + dz] - u1[b], u1[b])
        vc, vd = fma(g2, u1[c + dz] - u1[c], u1[c]), fma(g2, u1[d + dz] - u1[d], u1[d])
        o1[i] = fma(share, s1[i], fma(w11, vd, fma(w10, vc, fma(w01, vb, w00 * va))))
        va, vb = fma(g2, u2[a + dz] - u2[a], u2[a]), fma(g2, u2[b + dz] - u2[b], u2[b])
        vc, vd = fma(g2, u2[c + dz] - u2[c], u2[c]), fma(g2, u2[d + dz] - u2[d], u2[d])
        o2[i] = fma(share, s2[i], fma(w11, vd, fma(w10, vc, fma(w01, vb, w00 * va))))


@part
def _join2(index, f, corner, share, step, u, out):  # type: ignore[no-untyped-def]
    (f1, f2), (_, dy, dz), (s1, s2), (u1, u2), (o1, o2) = f, corner, step, u, out
    for i in range(len(o1)):
        a, g1, g2 = index[i], f1[i], f2[i]
        b = a + dy
        m1, n1 = u1[a] + g2 * (u1[a + dz] - u1[a]), u1[b] + g2 * (u1[b + dz] - u1[b])
        m2, n2 = u2[a] + g2 * (u2[a + dz] - u2[a]), u2[b] + g2 * (u2[b + dz] - u2[b])
        o1[i] = share * s1[i] + m1 + g1 * (n1 - m1)
        o2[i] = share * s2[i] + m2 + g1 * (n2 - m2)


@part
def compose_row(u, step, share, m, shape, plane, r, lo, hi, room, f, nothing, out):  # type: ignore[no-untyped-def]
    """Compute ``δ + u(id + δ)``, δ = share step, for voxels `lo` to `hi` of row r; fields (D, V), m the identity.

    `plane` is None in 3D; `room`, f and `nothing` are work arrays of rows, the last one of zeros.
    """
    ny, nz = shape[1], shape[2]
    i, j, many = r * nz + lo, r * nz + hi, hi - lo
    index, f0, f1, f2, corner = room[:many], f[0, :many], f[1, :many], f[2, :many], strides(shape)
    if plane is None:
        s, inside = (step[0, i:j], step[1, i:j], step[2, i:j]), (f0, f1, f2)
        places(m, r // ny, r % ny, lo, shape, share, s[0], s[1], s[2], index, f0, f1, f2)
        _join3(index, inside, corner, share, s, (u[0], u[1], u[2]), (out[0, i:j], out[1, i:j], out[2, i:j]))
    else:
        t = step[0, i:j], step[1, i:j]
        places(m, 0, r % ny, lo, shape, share, nothing[:many], t[0], t[1], index, f0, f1, f2)
        _join2(index, (f1, f2), corner, share, t, (u[0], u[1]), (out[0, i:j], out[1, i:j]))
