"""Compiled sampling, row by row: first where a row's points fall, in vector instructions, then what lies there.

Arrays are whole volumes of `shape` (X, Y, Z), a 2D one a single plane: X = 1. Images are (N, V * C), channels last.
"""

from __future__ import annotations

from math import floor

import numpy as np

from learngn.kernels._cpu_lines import line
from learngn.kernels._cpu_threads import loop

_ZERO = np.float32(0)
_HALF = np.float32(0.5)


@line
def places(m, x, y, first, shape, share, d0, d1, d2, index, f0, f1, f2):  # type: ignore[no-untyped-def]
    """Where ``m (p + share d)`` falls in a volume of `shape`, clamped to it, for points p of a row from `first` on.

    `index` gets the lower corner of the cell that holds the point, f0, f1 and f2 its place within, from 0 to 1.
    """
    e0, e1, e2 = np.float32(shape[0] - 1), np.float32(shape[1] - 1), np.float32(shape[2] - 1)
    # Of the last voxel the cell is the one before it: a cell has two corners, unless the volume is one voxel thick.
    c0, c1, c2 = np.float32(max(shape[0] - 2, 0)), np.float32(max(shape[1] - 2, 0)), np.float32(max(shape[2] - 2, 0))
    row, plane = shape[2], shape[1] * shape[2]
    m00, m01, m02, m03 = m[0, 0], m[0, 1], m[0, 2], m[0, 3]
    m10, m11, m12, m13 = m[1, 0], m[1, 1], m[1, 2], m[1, 3]
    m20, m21, m22, m23 = m[2, 0], m[2, 1], m[2, 2], m[2, 3]
    for i in range(len(index)):
        q0, q1, q2 = np.float32(x) + share * d0[i], np.float32(y) + share * d1[i], np.float32(first + i) + share * d2[i]
        p0 = m00 * q0 + m01 * q1 + m02 * q2 + m03
        p1 = m10 * q0 + m11 * q1 + m12 * q2 + m13
        p2 = m20 * q0 + m21 * q1 + m22 * q2 + m23
        # In this order NaN ends at zero, and no index leaves the volume.
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


@line
def strides(shape):  # type: ignore[no-untyped-def]
    """Steps to a cell's other corners; none along an axis one voxel thick."""
    nx, ny, nz = shape
    return (
        np.uint64(ny * nz if nx > 1 else 0),
        np.uint64(nz if ny > 1 else 0),
        np.uint64(1 if nz > 1 else 0),
    )


@line
def _single(index, f0, f1, f2, step, v, out):  # type: ignore[no-untyped-def]
    """Linear interpolation of one channel."""
    dx, dy, dz = step
    for i in range(len(out)):
        a, g0, g1, g2 = index[i], f0[i], f1[i], f2[i]
        b, c, d = a + dy, a + dx, a + dx + dy
        va, vb = v[a] + g2 * (v[a + dz] - v[a]), v[b] + g2 * (v[b + dz] - v[b])
        vc, vd = v[c] + g2 * (v[c + dz] - v[c]), v[d] + g2 * (v[d + dz] - v[d])
        near, far = va + g1 * (vb - va), vc + g1 * (vd - vc)
        out[i] = near + g0 * (far - near)


@line
def _several(index, f0, f1, f2, step, v, cell, out):  # type: ignore[no-untyped-def]
    """Linear interpolation of interleaved channels, to a row of each; `cell` is room for a voxel's."""
    channels = np.uint64(len(cell))
    dx, dy, dz = step[0] * channels, step[1] * channels, step[2] * channels
    one = np.float32(1)
    for i in range(len(index)):
        g0, g1, g2 = f0[i], f1[i], f2[i]
        h0, h1, h2 = one - g0, one - g1, one - g2
        w0, w1, w2, w3 = h0 * h1 * h2, h0 * h1 * g2, h0 * g1 * h2, h0 * g1 * g2
        w4, w5, w6, w7 = g0 * h1 * h2, g0 * h1 * g2, g0 * g1 * h2, g0 * g1 * g2
        a = index[i] * channels
        b, c, d = a + dy, a + dx, a + dx + dy
        for k in range(channels):
            cell[k] = (
                w0 * v[a + k] + w1 * v[a + dz + k] + w2 * v[b + k] + w3 * v[b + dz + k]
                + w4 * v[c + k] + w5 * v[c + dz + k] + w6 * v[d + k] + w7 * v[d + dz + k]
            )  # fmt: skip
        for k in range(channels):
            out[k, i] = cell[k]


@line
def _displacement(field, n, k, nz):  # type: ignore[no-untyped-def]
    """Components of a row's displacement along the three axes; zeros where there are none."""
    nothing, ndim = np.zeros(nz, dtype=np.float32), field.shape[1]
    if field.size == 0:
        return nothing, nothing, nothing
    return (
        field[n, 0, k : k + nz] if ndim == 3 else nothing,
        field[n, ndim - 2, k : k + nz],
        field[n, ndim - 1, k : k + nz],
    )


@loop
def warp_linear(start, stop, image, before, field, m, shape, out):  # type: ignore[no-untyped-def]
    """``out[n, :, p] = image[n, m (p + field[n, :, p])]``; `field` (N, D, V) may be empty (no displacement).

    `image` is (N, V' * C) of shape `before`, `out` (N, C, V): channels first.
    """
    nx, ny, nz = shape
    rows, channels = nx * ny, out.shape[1]
    step = strides(before)
    for item in range(start, stop):
        n, r = item // rows, item % rows
        k = r * nz
        index, f = np.empty(nz, dtype=np.uint64), np.empty((3, nz), dtype=np.float32)
        d0, d1, d2 = _displacement(field, n, k, nz)
        places(m, r // ny, r % ny, 0, before, np.float32(1), d0, d1, d2, index, f[0], f[1], f[2])
        if channels == 1:
            _single(index, f[0], f[1], f[2], step, image[n], out[n, 0, k : k + nz])
        else:
            # Channels lie a power of two apart, often, and would drive each other out of the cache.
            near = np.empty((channels, nz), dtype=np.float32)
            _several(index, f[0], f[1], f[2], step, image[n], np.empty(channels, dtype=np.float32), near)
            for c in range(channels):
                out[n, c, k : k + nz] = near[c]


@line
def _nearest(m, x, y, shape, d0, d1, d2, index):  # type: ignore[no-untyped-def]
    """As :func:`places`: the nearest voxel (halves round up), -1 beyond the volume."""
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
        # Compared as floats: a far point may not fit an integer.
        inside = (p0 >= _ZERO) & (p0 < n0) & (p1 >= _ZERO) & (p1 < n1) & (p2 >= _ZERO) & (p2 < n2)
        p0, p1, p2 = p0 if inside else _ZERO, p1 if inside else _ZERO, p2 if inside else _ZERO
        at = np.int64(p0) * plane + np.int64(p1) * row + np.int64(p2)
        index[i] = at if inside else -1


@loop
def warp_nearest(start, stop, image, before, field, m, shape, outside, out):  # type: ignore[no-untyped-def]
    """As :func:`warp_linear` with the nearest voxel (halves round up) and `outside` beyond the image."""
    nz = shape[2]
    ny, rows, channels = shape[1], shape[0] * shape[1], out.shape[1]
    for item in range(start, stop):
        n, r = item // rows, item % rows
        k = r * nz
        index = np.empty(nz, dtype=np.int64)
        d0, d1, d2 = _displacement(field, n, k, nz)
        _nearest(m, r // ny, r % ny, before, d0, d1, d2, index)
        for c in range(channels):
            for i in range(nz):
                out[n, c, k + i] = image[n, np.uint64(index[i] * channels + c)] if index[i] >= 0 else outside


@line
def _join3(index, f0, f1, f2, step, share, s0, s1, s2, u0, u1, u2, o0, o1, o2):  # type: ignore[no-untyped-def]
    dx, dy, dz = step
    for i in range(len(o0)):
        a, g0, g1, g2 = index[i], f0[i], f1[i], f2[i]
        b, c, d = a + dy, a + dx, a + dx + dy
        w11 = g0 * g1
        w10, w01 = g0 - w11, g1 - w11
        w00 = np.float32(1) - g0 - w01
        o0[i] = share * s0[i] + (
            w00 * (u0[a] + g2 * (u0[a + dz] - u0[a])) + w01 * (u0[b] + g2 * (u0[b + dz] - u0[b]))
            + w10 * (u0[c] + g2 * (u0[c + dz] - u0[c])) + w11 * (u0[d] + g2 * (u0[d + dz] - u0[d]))
        )  # fmt: skip
        o1[i] = share * s1[i] + (
            w00 * (u1[a] + g2 * (u1[a + dz] - u1[a])) + w01 * (u1[b] + g2 * (u1[b + dz] - u1[b]))
            + w10 * (u1[c] + g2 * (u1[c + dz] - u1[c])) + w11 * (u1[d] + g2 * (u1[d + dz] - u1[d]))
        )  # fmt: skip
        o2[i] = share * s2[i] + (
            w00 * (u2[a] + g2 * (u2[a + dz] - u2[a])) + w01 * (u2[b] + g2 * (u2[b + dz] - u2[b]))
            + w10 * (u2[c] + g2 * (u2[c + dz] - u2[c])) + w11 * (u2[d] + g2 * (u2[d + dz] - u2[d]))
        )  # fmt: skip


@line
def _join2(index, f1, f2, step, share, s1, s2, u1, u2, o1, o2):  # type: ignore[no-untyped-def]
    _, dy, dz = step
    for i in range(len(o1)):
        a, g1, g2 = index[i], f1[i], f2[i]
        b = a + dy
        m1, n1 = u1[a] + g2 * (u1[a + dz] - u1[a]), u1[b] + g2 * (u1[b + dz] - u1[b])
        m2, n2 = u2[a] + g2 * (u2[a + dz] - u2[a]), u2[b] + g2 * (u2[b + dz] - u2[b])
        o1[i] = share * s1[i] + m1 + g1 * (n1 - m1)
        o2[i] = share * s2[i] + m2 + g1 * (n2 - m2)


@line
def compose_row(u, step, share, m, shape, plane, r, lo, hi, out):  # type: ignore[no-untyped-def]
    """``δ + u(id + δ)`` with δ = share step of the voxels from `lo` to `hi` of row r; fields (D, V), m the identity.

    `plane` is None in 3D.
    """
    ny, nz = shape[1], shape[2]
    i, j = r * nz + lo, r * nz + hi
    index, f = np.empty(hi - lo, dtype=np.uint64), np.empty((3, hi - lo), dtype=np.float32)
    corner = strides(shape)
    if plane is None:
        s0, s1, s2 = step[0, i:j], step[1, i:j], step[2, i:j]
        places(m, r // ny, r % ny, lo, shape, share, s0, s1, s2, index, f[0], f[1], f[2])
        _join3(
            index, f[0], f[1], f[2], corner, share, s0, s1, s2, u[0], u[1], u[2], out[0, i:j], out[1, i:j], out[2, i:j]
        )
    else:
        s1, s2 = step[0, i:j], step[1, i:j]
        places(m, 0, r % ny, lo, shape, share, np.zeros(hi - lo, np.float32), s1, s2, index, f[0], f[1], f[2])
        _join2(index, f[1], f[2], corner, share, s1, s2, u[0], u[1], out[0, i:j], out[1, i:j])
