"""Compiled conjugate gradients with a multigrid cycle, for a constant stencil: the whole solve in one call.

The numbers are those of :class:`learngn.solve.Multigrid` and :func:`learngn.solve.conjugate_gradients`. All levels lie
one behind another in flat arrays, level 0 apart.
"""

from __future__ import annotations

from math import isfinite, sqrt

import numpy as np
from numba import njit, prange

from learngn.kernels._cpu_lines import CHUNK, dot, line, loop
from learngn.kernels._cpu_resample import resample
from learngn.kernels._cpu_stencils import apply_operator, relax, relax_from_zero, residual

CONVERGED, ZERO, EXHAUSTED, BREAKDOWN = 0, 1, 2, 3


@loop
def dots(a, b, out):  # type: ignore[no-untyped-def]
    """``<a[n], b[n]>`` of every sample."""
    batch, size = a.shape
    many = (size + CHUNK - 1) // CHUNK
    part = np.empty((batch, many))
    for item in prange(batch * many):
        n, lo = item // many, item % many * CHUNK
        part[n, item % many] = dot(a[n, lo : lo + CHUNK], b[n, lo : lo + CHUNK])
    for n in range(batch):
        out[n] = part[n].sum()


@line
def _combine(z, beta, p):  # type: ignore[no-untyped-def]
    for i in range(len(p)):
        p[i] = z[i] + beta * p[i]


@line
def _advance(alpha, p, q, x, r):  # type: ignore[no-untyped-def]
    for i in range(len(x)):
        x[i] += alpha * p[i]
    for i in range(len(r)):
        r[i] -= alpha * q[i]


@loop
def _turn(z, beta, p):  # type: ignore[no-untyped-def]
    """``p = z + beta p``."""
    batch, size = z.shape
    many = (size + CHUNK - 1) // CHUNK
    for item in prange(batch * many):
        n, lo = item // many, item % many * CHUNK
        _combine(z[n, lo : lo + CHUNK], beta[n], p[n, lo : lo + CHUNK])


@loop
def _step(alpha, p, q, x, r, out):  # type: ignore[no-untyped-def]
    """``x += alpha p``, ``r -= alpha q``; `out` gets <r, r>."""
    batch, size = x.shape
    many = (size + CHUNK - 1) // CHUNK
    part = np.empty((batch, many))
    for item in prange(batch * many):
        n, lo = item // many, item % many * CHUNK
        hi = lo + CHUNK
        _advance(alpha[n], p[n, lo:hi], q[n, lo:hi], x[n, lo:hi], r[n, lo:hi])
        part[n, item % many] = dot(r[n, lo:hi], r[n, lo:hi])
    for n in range(batch):
        out[n] = part[n].sum()


@njit(cache=True, nogil=True)
def _taps(table, starts, weights, m):  # type: ignore[no-untyped-def]
    """One axis: starts (m,) and weights (width, m), from where the table says that they lie."""
    start, weight, width = table[0], table[1], table[2]
    return starts[start : start + m], weights[weight : weight + width * m].reshape(width, m)


@njit(cache=True, nogil=True)
def _resample(image, before, after, table, starts, weights, add, out):  # type: ignore[no-untyped-def]
    """Bring components (N, K, X, P) from one level's shape to another's."""
    planes = image.shape[0] * image.shape[1]
    sx, wx = _taps(table[0], starts, weights, after[0])
    sy, wy = _taps(table[1], starts, weights, after[1])
    sz, wz = _taps(table[2], starts, weights, after[2])
    source = image.reshape(planes, before[0], before[1], before[2])
    target = out.reshape(planes, after[0], after[1], after[2])
    resample(source, 1, sx, wx, sy, wy, sz, wz, add, target)


@njit(cache=True, nogil=True)
def _of_level(flat, components, shapes, depth):  # type: ignore[no-untyped-def]
    """Level `depth` ≥ 1 of a flat array (N, components * voxels of all levels but the first), as (1, N * ...)."""
    batch = flat.shape[0]
    offset = 0
    for level in range(1, depth):
        offset += batch * components * shapes[level].prod()
    nx, size = shapes[depth][0], shapes[depth][1] * shapes[depth][2]
    whole = flat.ravel()[offset : offset + batch * components * nx * size]
    return whole.reshape(batch, components, nx, size)


@njit(cache=True, nogil=True)
def _cycle(blocks, coarse, s, shift, shapes, tables, starts, weights, omega, rhs, work, out):  # type: ignore[no-untyped-def]
    """One V-cycle for `rhs` into `out`; `work` holds three flat arrays of the coarse levels, and one of the finest."""
    depth, ndim = len(shapes) - 1, rhs.shape[1]
    right, state, other, spare = work
    for level in range(depth):
        b = blocks if level == 0 else _of_level(coarse, coarse_components(ndim), shapes, level)
        r = rhs if level == 0 else _of_level(right, ndim, shapes, level)
        x = spare if level == 0 else _of_level(state, ndim, shapes, level)
        y = out if level == 0 else _of_level(other, ndim, shapes, level)
        nz = shapes[level][2]
        relax_from_zero(b, s[level], shift, r, omega, nz, x)
        residual(b, s[level], shift, r, x, nz, y)
        below = _of_level(right, ndim, shapes, level + 1)
        _resample(y, shapes[level], shapes[level + 1], tables[level, 0], starts, weights, False, below)
    b = blocks if depth == 0 else _of_level(coarse, coarse_components(ndim), shapes, depth)
    r = rhs if depth == 0 else _of_level(right, ndim, shapes, depth)
    y = out if depth == 0 else _of_level(other, ndim, shapes, depth)
    relax_from_zero(b, s[depth], shift, r, np.float32(1), shapes[depth][2], y)
    for level in range(depth - 1, -1, -1):
        b = blocks if level == 0 else _of_level(coarse, coarse_components(ndim), shapes, level)
        r = rhs if level == 0 else _of_level(right, ndim, shapes, level)
        x = spare if level == 0 else _of_level(state, ndim, shapes, level)
        y = out if level == 0 else _of_level(other, ndim, shapes, level)
        below = _of_level(other, ndim, shapes, level + 1)
        _resample(below, shapes[level + 1], shapes[level], tables[level, 1], starts, weights, True, x)
        relax(b, s[level], shift, r, x, omega, shapes[level][2], y)


@njit(cache=True, nogil=True)
def coarse_components(ndim):  # type: ignore[no-untyped-def]
    """Entries of a symmetric block."""
    return ndim * (ndim + 1) // 2


@njit(cache=True, nogil=True)
def solve(blocks, s, shift, shapes, tables, starts, weights, omega, rhs, tolerance, iterations, x):  # type: ignore[no-untyped-def]
    """Solve ``(B + stencil + shift) x = rhs`` from zero.

    Parameters
    ----------
    blocks, rhs, x : (N, K, X, P), (N, D, X, P), (N, D, X, P)
    s : (levels, N, D, 3)
    shift : (N,)
    shapes : (levels, 3), int64
    tables : (levels - 1, 3, 3, 3), int64
        For the way down, the way up and the blocks, and each axis: where its starts and weights lie, and their width.
    starts, weights : flat
    omega : float32
    tolerance, iterations

    Returns
    -------
    status, iterations done, worst relative residual
    """
    batch, ndim = rhs.shape[0], rhs.shape[1]
    below = 0
    for level in range(1, len(shapes)):
        below += shapes[level].prod()
    entries = coarse_components(ndim)
    coarse = np.empty((batch, entries * below), dtype=np.float32)
    for level in range(1, len(shapes)):
        finer = blocks if level == 1 else _of_level(coarse, entries, shapes, level - 1)
        here = _of_level(coarse, entries, shapes, level)
        _resample(finer, shapes[level - 1], shapes[level], tables[level - 1, 2], starts, weights, False, here)
    field = (batch, ndim * below)
    spare = np.empty_like(rhs)
    work = (np.empty(field, np.float32), np.empty(field, np.float32), np.empty(field, np.float32), spare)
    flat = (batch, rhs.size // batch)
    x[:] = 0
    norm, rz, rz_new, curvature = np.empty(batch), np.empty(batch), np.empty(batch), np.empty(batch)
    alpha, beta = np.zeros(batch, np.float32), np.zeros(batch, np.float32)
    dots(rhs.reshape(flat), rhs.reshape(flat), norm)
    if not np.isfinite(norm).all():
        return BREAKDOWN, 0, np.nan
    if not norm.any():
        return ZERO, 0, 0.0
    r, p, q, z = rhs.copy(), np.zeros_like(rhs), np.empty_like(rhs), np.empty_like(rhs)
    worst = 1.0
    for count in range(iterations):
        _cycle(blocks, coarse, s, shift, shapes, tables, starts, weights, omega, r, work, z)
        dots(r.reshape(flat), z.reshape(flat), rz_new)
        for n in range(batch):
            # A sample that is solved exactly has rz = 0; its direction stays zero.
            beta[n] = rz_new[n] / rz[n] if count > 0 and rz[n] > 0 else 0
            rz[n] = rz_new[n]
        _turn(z.reshape(flat), beta, p.reshape(flat))
        apply_operator(blocks, s[0], shift, p, shapes[0][2], q)
        dots(p.reshape(flat), q.reshape(flat), curvature)
        for n in range(batch):
            if not (isfinite(curvature[n]) and curvature[n] >= 0):
                return BREAKDOWN, count, worst
            alpha[n] = rz[n] / curvature[n] if curvature[n] > 0 else 0
        _step(alpha, p.reshape(flat), q.reshape(flat), x.reshape(flat), r.reshape(flat), rz_new)
        worst = 0.0
        for n in range(batch):
            if norm[n] > 0:
                worst = max(worst, sqrt(rz_new[n] / norm[n]))
        if worst <= tolerance:
            return CONVERGED, count + 1, worst
    return EXHAUSTED, iterations, worst
