"""Compiled loops for regularisers other than a constant stencil; arrays are (N, D, X, Y, Z).

In 2D (D = 2, K = 3) the last axis is one voxel thick, and there is no third component: its block entries are read as
those of the identity.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from learngn.kernels._cpu_threads import loop


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


@loop
def diffusion(start, stop, s, faces, field, out):  # type: ignore[no-untyped-def]
    """Compute ``Σ_b s_ab (-∂_b c_b ∂_b) field``; there is no flux across the border, whatever its conductivity."""
    _batch, ndim, nx, ny, nz = field.shape
    for row in range(start, stop):
        n, x = row // nx, row % nx
        m = n if faces.shape[0] > 1 else 0
        xm, xp = max(x - 1, 0), min(x + 1, nx - 1)
        for a in range(ndim):
            for y in range(ny):
                ym, yp = max(y - 1, 0), min(y + 1, ny - 1)
                for z in range(nz):
                    zm, zp = max(z - 1, 0), min(z + 1, nz - 1)
                    centre = field[n, a, x, y, z]
                    total = s[n, a, 0] * (
                        faces[m, 0, xm, y, z] * (centre - field[n, a, xm, y, z])
                        + faces[m, 0, x, y, z] * (centre - field[n, a, xp, y, z])
                    ) + s[n, a, 1] * (
                        faces[m, 1, x, ym, z] * (centre - field[n, a, x, ym, z])
                        + faces[m, 1, x, y, z] * (centre - field[n, a, x, yp, z])
                    )
                    if ndim == 3:
                        total += s[n, a, 2] * (
                            faces[m, 2, x, y, zm] * (centre - field[n, a, x, y, zm])
                            + faces[m, 2, x, y, z] * (centre - field[n, a, x, y, zp])
                        )
                    out[n, a, x, y, z] = total


@loop
def apply_blocks(start, stop, blocks, shift, field, elastic, out):  # type: ignore[no-untyped-def]
    """Compute ``(B + shift) field + elastic``."""
    _batch, ndim, nx, ny, nz = field.shape
    for row in range(start, stop):
        n, x = row // nx, row % nx
        for y in range(ny):
            for z in range(nz):
                b00, b01, b02, b11, b12, b22 = _load(blocks, n, x, y, z)
                v0, v1 = field[n, 0, x, y, z], field[n, 1, x, y, z]
                v2 = field[n, 2, x, y, z] if ndim == 3 else np.float32(0)
                out[n, 0, x, y, z] = (b00 + shift[n]) * v0 + b01 * v1 + b02 * v2 + elastic[n, 0, x, y, z]
                out[n, 1, x, y, z] = b01 * v0 + (b11 + shift[n]) * v1 + b12 * v2 + elastic[n, 1, x, y, z]
                if ndim == 3:
                    out[n, 2, x, y, z] = b02 * v0 + b12 * v1 + (b22 + shift[n]) * v2 + elastic[n, 2, x, y, z]


@loop
def relax(start, stop, blocks, diagonal, shift, rhs, field, elastic, omega, out):  # type: ignore[no-untyped-def]
    """Compute ``field + ω (B + diagonal + shift)⁻¹ (rhs - (B + shift) field - elastic)``; an empty `field` is zero."""
    _batch, ndim, nx, ny, nz = rhs.shape
    started = field.size > 0
    zero = np.float32(0)
    for row in range(start, stop):
        n, x = row // nx, row % nx
        for y in range(ny):
            for z in range(nz):
                b00, b01, b02, b11, b12, b22 = _load(blocks, n, x, y, z)
                r0, r1 = rhs[n, 0, x, y, z], rhs[n, 1, x, y, z]
                r2 = rhs[n, 2, x, y, z] if ndim == 3 else zero
                v0 = v1 = v2 = zero
                if started:
                    v0, v1 = field[n, 0, x, y, z], field[n, 1, x, y, z]
                    r0 -= elastic[n, 0, x, y, z]
                    r1 -= elastic[n, 1, x, y, z]
                    if ndim == 3:
                        v2 = field[n, 2, x, y, z]
                        r2 -= elastic[n, 2, x, y, z]
                    r0 -= (b00 + shift[n]) * v0 + b01 * v1 + b02 * v2
                    r1 -= b01 * v0 + (b11 + shift[n]) * v1 + b12 * v2
                    r2 -= b02 * v0 + b12 * v1 + (b22 + shift[n]) * v2
                d00 = b00 + shift[n] + diagonal[n, 0, x, y, z]
                d11 = b11 + shift[n] + diagonal[n, 1, x, y, z]
                d22 = b22 + shift[n] + (diagonal[n, 2, x, y, z] if ndim == 3 else zero)
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
                out[n, 0, x, y, z] = v0 + omega * p0
                out[n, 1, x, y, z] = v1 + omega * p1
                if ndim == 3:
                    out[n, 2, x, y, z] = v2 + omega * p2
