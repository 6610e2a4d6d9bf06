"""Compiled stencil loops on fields, (N, D, X, Y, Z), and blocks, (N, K, X, Y, Z); 2D is one voxel thick.

In 2D (D = 2, K = 3) the third component does not exist: its block entries read as those of the identity.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from learngn.kernels._cpu_sampling import FAST


@njit(parallel=True, cache=True, nogil=True, fastmath=FAST)
def normal_equations(fixed, warped, weight, symmetric, blocks, gradient, energy):  # type: ignore[no-untyped-def]
    """Blocks JᵀJ and gradient Jᵀf summed over channels; `energy` gets ½ Σ f² of every row (n, x)."""
    batch, nx, ny, nz, channels = fixed.shape
    ndim = gradient.shape[1]
    weighted = weight.size > 0
    share = np.float32(0.5) if symmetric else np.float32(0)
    for row in prange(batch * nx):
        n, x = row // nx, row % nx
        xm, xp = max(x - 1, 0), min(x + 1, nx - 1)
        hx = np.float32(1) / max(xp - xm, 1)
        total = np.float64(0)
        for y in range(ny):
            ym, yp = max(y - 1, 0), min(y + 1, ny - 1)
            hy = np.float32(1) / max(yp - ym, 1)
            for z in range(nz):
                zm, zp = max(z - 1, 0), min(z + 1, nz - 1)
                hz = np.float32(1) / max(zp - zm, 1)
                a00 = a01 = a02 = a11 = a12 = a22 = np.float32(0)
                g0 = g1 = g2 = e = np.float32(0)
                for c in range(channels):
                    j0 = warped[n, xp, y, z, c] - warped[n, xm, y, z, c]
                    j1 = warped[n, x, yp, z, c] - warped[n, x, ym, z, c]
                    j2 = warped[n, x, y, zp, c] - warped[n, x, y, zm, c]
                    if symmetric:
                        j0 += share * (fixed[n, xp, y, z, c] - fixed[n, xm, y, z, c] - j0)
                        j1 += share * (fixed[n, x, yp, z, c] - fixed[n, x, ym, z, c] - j1)
                        j2 += share * (fixed[n, x, y, zp, c] - fixed[n, x, y, zm, c] - j2)
                    f = warped[n, x, y, z, c] - fixed[n, x, y, z, c]
                    a00 += j0 * j0
                    a01 += j0 * j1
                    a02 += j0 * j2
                    a11 += j1 * j1
                    a12 += j1 * j2
                    a22 += j2 * j2
                    g0 += j0 * f
                    g1 += j1 * f
                    g2 += j2 * f
                    e += f * f
                w = weight[n, 0, x, y, z] if weighted else np.float32(1)
                g0, g1, g2, e = w * g0, w * g1, w * g2, w * e
                a00, a01, a02, a11, a12, a22 = w * a00, w * a01, w * a02, w * a11, w * a12, w * a22
                gradient[n, 0, x, y, z] = g0 * hx
                gradient[n, 1, x, y, z] = g1 * hy
                blocks[n, 0, x, y, z] = a00 * hx * hx
                blocks[n, 1, x, y, z] = a01 * hx * hy
                if ndim == 3:
                    gradient[n, 2, x, y, z] = g2 * hz
                    blocks[n, 2, x, y, z] = a02 * hx * hz
                    blocks[n, 3, x, y, z] = a11 * hy * hy
                    blocks[n, 4, x, y, z] = a12 * hy * hz
                    blocks[n, 5, x, y, z] = a22 * hz * hz
                else:
                    blocks[n, 2, x, y, z] = a11 * hy * hy
                total += e
        energy[row] = total / 2


@njit(inline="always")
def _load(blocks, n, x, y, z):  # type: ignore[no-untyped-def]
    if blocks.shape[1] == 6:
        return (
            blocks[n, 0, x, y, z],
            blocks[n, 1, x, y, z],
            blocks[n, 2, x, y, z],
            blocks[n, 3, x, y, z],
            blocks[n, 4, x, y, z],
            blocks[n, 5, x, y, z],
        )
    zero = np.float32(0)
    return blocks[n, 0, x, y, z], blocks[n, 1, x, y, z], zero, blocks[n, 2, x, y, z], zero, np.float32(1)


@njit(inline="always")
def _elastic(field, s, n, a, x, y, z, xm, xp, ym, yp, zm, zp):  # type: ignore[no-untyped-def]
    """Σ_b s_ab (-∂_b²) of component a: neighbours clamped at the border carry no flux."""
    centre = field[n, a, x, y, z]
    return (
        s[n, a, 0] * (centre + centre - field[n, a, xm, y, z] - field[n, a, xp, y, z])
        + s[n, a, 1] * (centre + centre - field[n, a, x, ym, z] - field[n, a, x, yp, z])
        + s[n, a, 2] * (centre + centre - field[n, a, x, y, zm] - field[n, a, x, y, zp])
    )


@njit(parallel=True, cache=True, nogil=True, fastmath=FAST)
def apply_operator(blocks, s, shift, field, out):  # type: ignore[no-untyped-def]
    """``(B + Σ_b s_ab (-∂_b²) + shift) field``."""
    batch, ndim, nx, ny, nz = field.shape
    for row in prange(batch * nx):
        n, x = row // nx, row % nx
        xm, xp = max(x - 1, 0), min(x + 1, nx - 1)
        for y in range(ny):
            ym, yp = max(y - 1, 0), min(y + 1, ny - 1)
            for z in range(nz):
                zm, zp = max(z - 1, 0), min(z + 1, nz - 1)
                b00, b01, b02, b11, b12, b22 = _load(blocks, n, x, y, z)
                v0, v1 = field[n, 0, x, y, z], field[n, 1, x, y, z]
                v2 = field[n, 2, x, y, z] if ndim == 3 else np.float32(0)
                out[n, 0, x, y, z] = (
                    (b00 + shift[n]) * v0
                    + b01 * v1
                    + b02 * v2
                    + _elastic(field, s, n, 0, x, y, z, xm, xp, ym, yp, zm, zp)
                )
                out[n, 1, x, y, z] = (
                    b01 * v0
                    + (b11 + shift[n]) * v1
                    + b12 * v2
                    + _elastic(field, s, n, 1, x, y, z, xm, xp, ym, yp, zm, zp)
                )
                if ndim == 3:
                    out[n, 2, x, y, z] = (
                        b02 * v0
                        + b12 * v1
                        + (b22 + shift[n]) * v2
                        + _elastic(field, s, n, 2, x, y, z, xm, xp, ym, yp, zm, zp)
                    )


@njit(parallel=True, cache=True, nogil=True, fastmath=FAST)
def smooth(blocks, s, shift, rhs, field, omega, out):  # type: ignore[no-untyped-def]
    """``out = field + ω D⁻¹ (rhs - A field)``, D the D x D diagonal blocks of A; an empty `field` is zero."""
    batch, ndim, nx, ny, nz = rhs.shape
    started = field.size > 0
    for row in prange(batch * nx):
        n, x = row // nx, row % nx
        xm, xp = max(x - 1, 0), min(x + 1, nx - 1)
        for y in range(ny):
            ym, yp = max(y - 1, 0), min(y + 1, ny - 1)
            for z in range(nz):
                zm, zp = max(z - 1, 0), min(z + 1, nz - 1)
                b00, b01, b02, b11, b12, b22 = _load(blocks, n, x, y, z)
                r0, r1 = rhs[n, 0, x, y, z], rhs[n, 1, x, y, z]
                r2 = rhs[n, 2, x, y, z] if ndim == 3 else np.float32(0)
                if started:
                    v0, v1 = field[n, 0, x, y, z], field[n, 1, x, y, z]
                    v2 = field[n, 2, x, y, z] if ndim == 3 else np.float32(0)
                    r0 -= (
                        (b00 + shift[n]) * v0
                        + b01 * v1
                        + b02 * v2
                        + _elastic(field, s, n, 0, x, y, z, xm, xp, ym, yp, zm, zp)
                    )
                    r1 -= (
                        b01 * v0
                        + (b11 + shift[n]) * v1
                        + b12 * v2
                        + _elastic(field, s, n, 1, x, y, z, xm, xp, ym, yp, zm, zp)
                    )
                    if ndim == 3:
                        r2 -= (
                            b02 * v0
                            + b12 * v1
                            + (b22 + shift[n]) * v2
                            + _elastic(field, s, n, 2, x, y, z, xm, xp, ym, yp, zm, zp)
                        )
                cx, cy, cz = np.float32(xp - xm), np.float32(yp - ym), np.float32(zp - zm)
                d00 = b00 + shift[n] + s[n, 0, 0] * cx + s[n, 0, 1] * cy + s[n, 0, 2] * cz
                d11 = b11 + shift[n] + s[n, 1, 0] * cx + s[n, 1, 1] * cy + s[n, 1, 2] * cz
                d22 = b22 + shift[n] + s[n, 2, 0] * cx + s[n, 2, 1] * cy + s[n, 2, 2] * cz
                # LDLᵀ of the symmetric block.
                l10, l20 = b01 / d00, b02 / d00
                e11 = d11 - l10 * b01
                e21 = b12 - l20 * b01
                l21 = e21 / e11
                e22 = d22 - l20 * b02 - l21 * e21
                t1 = r1 - l10 * r0
                t2 = r2 - l20 * r0 - l21 * t1
                p2 = t2 / e22
                p1 = t1 / e11 - l21 * p2
                p0 = r0 / d00 - l10 * p1 - l20 * p2
                if started:
                    out[n, 0, x, y, z] = v0 + omega * p0
                    out[n, 1, x, y, z] = v1 + omega * p1
                    if ndim == 3:
                        out[n, 2, x, y, z] = v2 + omega * p2
                else:
                    out[n, 0, x, y, z] = omega * p0
                    out[n, 1, x, y, z] = omega * p1
                    if ndim == 3:
                        out[n, 2, x, y, z] = omega * p2


@njit(parallel=True, cache=True, nogil=True, fastmath=FAST)
def determinant(field, out):  # type: ignore[no-untyped-def]
    """``det(I + ∇u)``, central differences, one-sided at the borders."""
    batch, ndim, nx, ny, nz = field.shape
    for row in prange(batch * nx):
        n, x = row // nx, row % nx
        xm, xp = max(x - 1, 0), min(x + 1, nx - 1)
        hx = np.float32(1) / max(xp - xm, 1)
        for y in range(ny):
            ym, yp = max(y - 1, 0), min(y + 1, ny - 1)
            hy = np.float32(1) / max(yp - ym, 1)
            for z in range(nz):
                zm, zp = max(z - 1, 0), min(z + 1, nz - 1)
                hz = np.float32(1) / max(zp - zm, 1)
                a = np.float32(1) + (field[n, 0, xp, y, z] - field[n, 0, xm, y, z]) * hx
                b = (field[n, 0, x, yp, z] - field[n, 0, x, ym, z]) * hy
                d = (field[n, 1, xp, y, z] - field[n, 1, xm, y, z]) * hx
                e = np.float32(1) + (field[n, 1, x, yp, z] - field[n, 1, x, ym, z]) * hy
                if ndim == 3:
                    c = (field[n, 0, x, y, zp] - field[n, 0, x, y, zm]) * hz
                    f = (field[n, 1, x, y, zp] - field[n, 1, x, y, zm]) * hz
                    g = (field[n, 2, xp, y, z] - field[n, 2, xm, y, z]) * hx
                    h = (field[n, 2, x, yp, z] - field[n, 2, x, ym, z]) * hy
                    i = np.float32(1) + (field[n, 2, x, y, zp] - field[n, 2, x, y, zm]) * hz
                    out[n, x, y, z] = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
                else:
                    out[n, x, y, z] = a * e - b * d
