"""Compiled linearisation: normal equations of the analytic residual, and what a composition makes of a gradient.

Arrays are (N, C, V), whole volumes of `shape` (X, Y, Z); a 2D grid is one plane, X = 1.
"""

from __future__ import annotations

import numpy as np

from learngn.kernels._cpu_lines import line
from learngn.kernels._cpu_threads import loop

_ONE = np.float32(1)
TOGETHER = 2048  # voxels of a piece: its sums fit the second cache


@line
def _across(h, theirs, ours, wm, wp, fm, fp, out):  # type: ignore[no-untyped-def]
    """Differences of neighbours, of a mixture of the warped and the fixed feature."""
    for z in range(len(out)):
        out[z] = h * (theirs * (wp[z] - wm[z]) + ours * (fp[z] - fm[z]))


@line
def _differences(theirs, ours, w, f, x, lo, hi, shape, j):  # type: ignore[no-untyped-def]
    """Differences along the three axes, of a piece of whole rows of plane x: central, one-sided at the borders."""
    nx, ny, nz = shape
    size, half = ny * nz, np.float32(0.5)
    plane = x * size
    i, k = plane + lo, plane + hi
    if nx > 1:
        m, p = max(x - 1, 0) * size, min(x + 1, nx - 1) * size
        h = half if 0 < x < nx - 1 else _ONE
        _across(h, theirs, ours, w[m + lo : m + hi], w[p + lo : p + hi], f[m + lo : m + hi], f[p + lo : p + hi], j[0])
    if ny > 1:
        first, last = max(lo, nz), min(hi, size - nz)
        if first < last:
            m, p = plane + first - nz, plane + first + nz
            n = last - first
            _across(half, theirs, ours, w[m : m + n], w[p : p + n], f[m : m + n], f[p : p + n], j[1, first - lo :][:n])
        for row in (0, size - nz):
            if lo <= row < hi:
                m, p = plane + max(row - nz, 0), plane + min(row + nz, size - nz)
                _across(
                    _ONE,
                    theirs,
                    ours,
                    w[m : m + nz],
                    w[p : p + nz],
                    f[m : m + nz],
                    f[p : p + nz],
                    j[1, row - lo :][:nz],
                )
    if nz > 1:
        first, last = max(i, 1), min(k, len(w) - 1)
        m, n = first - 1, last - first
        _across(half, theirs, ours, w[m : m + n], w[m + 2 :][:n], f[m : m + n], f[m + 2 :][:n], j[2, first - i :][:n])
        # Where a row meets the next, neighbours in memory are none.
        for r in range(i, k, nz):
            e = r + nz - 1
            j[2, r - i] = theirs * (w[r + 1] - w[r]) + ours * (f[r + 1] - f[r])
            j[2, e - i] = theirs * (w[e] - w[e - 1]) + ours * (f[e] - f[e - 1])


@line
def _squares(j0, j1, j2, b00, b01, b02, b11, b12, b22):  # type: ignore[no-untyped-def]
    for z in range(len(b00)):
        b00[z] += j0[z] * j0[z]
        b01[z] += j0[z] * j1[z]
        b02[z] += j0[z] * j2[z]
        b11[z] += j1[z] * j1[z]
        b12[z] += j1[z] * j2[z]
        b22[z] += j2[z] * j2[z]


@line
def _products(w, f, j0, j1, j2, g0, g1, g2, e):  # type: ignore[no-untyped-def]
    for z in range(len(e)):
        r = w[z] - f[z]
        g0[z] += j0[z] * r
        g1[z] += j1[z] * r
        g2[z] += j2[z] * r
        e[z] += r * r


@line
def _weighted(weight, row):  # type: ignore[no-untyped-def]
    for z in range(len(row)):
        row[z] *= weight[z]


@line
def _total(row):  # type: ignore[no-untyped-def]
    total = np.float32(0)
    for z in range(len(row)):
        total += row[z]
    return np.float64(total)


@loop
def normal_equations(start, stop, fixed, warped, weight, symmetric, shape, piece, blocks, gradient, energy):  # type: ignore[no-untyped-def]
    """Blocks JᵀWJ and gradient JᵀWf summed over channels; `energy` (N, pieces) gets ½ Σ w f² of every piece.

    `weight` (N, 1, V) may be empty, for one.
    """
    nx, ny, nz = shape
    channels, ndim = fixed.shape[1], gradient.shape[1]
    ours = np.float32(0.5) if symmetric else np.float32(0)
    theirs = _ONE - ours
    lacking = 3 - ndim
    size = ny * nz
    many = (size + piece - 1) // piece
    for item in range(start, stop):
        n, x, lo = item // (nx * many), item // many % nx, item % many * piece
        hi = min(lo + piece, size)
        i, k = x * size + lo, x * size + hi
        j, s = np.zeros((3, hi - lo), dtype=np.float32), np.zeros((10, hi - lo), dtype=np.float32)
        for c in range(channels):
            w, f = warped[n, c], fixed[n, c]
            _differences(theirs, ours, w, f, x, lo, hi, shape, j)
            _squares(j[0], j[1], j[2], s[0], s[1], s[2], s[3], s[4], s[5])
            _products(w[i:k], f[i:k], j[0], j[1], j[2], s[6], s[7], s[8], s[9])
        if weight.size > 0:
            for q in range(10):
                _weighted(weight[n, 0, i:k], s[q])
        at = 0
        for a in range(lacking, 3):
            for b in range(a, 3):
                blocks[n, at, i:k] = s[_entry(a, b)]
                at += 1
        for a in range(ndim):
            gradient[n, a, i:k] = s[6 + lacking + a]
        energy[n, item % (nx * many)] = _total(s[9]) / 2


@line
def _entry(a, b):  # type: ignore[no-untyped-def]
    """Where an entry of the upper triangle of a 3 x 3 block stands."""
    return a * (5 - a) // 2 + b


@line
def _add_product(j, e, out):  # type: ignore[no-untyped-def]
    for z in range(len(out)):
        out[z] += j[z] * e[z]


@loop
def pull_back(start, stop, u, gradient, shape, piece, out):  # type: ignore[no-untyped-def]
    """``(I + ∇u)ᵀ gradient``; fields are (N, D, V)."""
    nx, ny, nz = shape
    ndim, size = out.shape[1], ny * nz
    many = (size + piece - 1) // piece
    for item in range(start, stop):
        n, x, lo = item // (nx * many), item // many % nx, item % many * piece
        hi = min(lo + piece, size)
        i, k = x * size + lo, x * size + hi
        j = np.zeros((3, hi - lo), dtype=np.float32)
        for a in range(ndim):
            out[n, a, i:k] = gradient[n, a, i:k]
        for b in range(ndim):
            _differences(_ONE, np.float32(0), u[n, b], u[n, b], x, lo, hi, shape, j)
            for a in range(ndim):
                _add_product(j[3 - ndim + a], gradient[n, b, i:k], out[n, a, i:k])
