"""Compiled loops for regularisers other than a constant stencil; arrays are volumes, (N, D, V).

In 2D (D = 2, K = 3) there is no third component: its block entries are read as those of the identity.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learngn.kernels._cpu_lines import CHUNK
from learngn.kernels._cpu_threads import loop


def pieces(out: NDArray[Any]) -> int:
    """Return the number of items of loops over voxels, for an array (N, D, *S)."""
    return len(out) * -(-int(out[0, 0].size) // CHUNK)


@njit(inline="always")
def _load(blocks, n, v):  # type: ignore[no-untyped-def]
    if blocks.shape[1] == 6:
        return blocks[n, 0, v], blocks[n, 1, v], blocks[n, 2, v], blocks[n, 3, v], blocks[n, 4, v], blocks[n, 5, v]
    zero = np.float32(0)
    return blocks[n, 0, v], blocks[n, 1, v], zero, blocks[n, 2, v], zero, np.float32(1)


@loop
def diffusion(start, stop, s, faces, field, shape, out):  # type: ignore[no-untyped-def]
    """Compute ``Σ_b s_ab (-∂_b c_b ∂_b) field``; there is no flux across the border, whatever its conductivity."""
    (nx, ny, nz), ndim = shape, field.shape[1]
    first = 3 - ndim  # axis of the first component
    for item in range(start, stop):
        n, x, y = item // (nx * ny), item // ny % nx, item % ny
        m = n if faces.shape[0] > 1 else 0
        v, xm, xp = (x * ny + y) * nz, (x > 0) * ny * nz, (x < nx - 1) * ny * nz
        ym, yp = (y > 0) * nz, (y < ny - 1) * nz
        for a in range(ndim):
            for i in range(v, v + nz):
                zm, zp, centre = i > v, i < v + nz - 1, field[n, a, i]
                total = s[n, a, 1] * (
                    faces[m, 1 - first, i - ym] * (centre - field[n, a, i - ym])
                    + faces[m, 1 - first, i] * (centre - field[n, a, i + yp])
                )
                if ndim == 3:
                    total += s[n, a, 0] * (
                        faces[m, 0, i - xm] * (centre - field[n, a, i - xm])
                        + faces[m, 0, i] * (centre - field[n, a, i + xp])
                    )
                out[n, a, i] = total + s[n, a, 2] * (
                    faces[m, 2 - first, i - zm] * (centre - field[n, a, i - zm])
                    + faces[m, 2 - first, i] * (centre - field[n, a, i + zp])
                )


@loop
def apply_blocks(start, stop, blocks, shift, field, elastic, out):  # type: ignore[no-untyped-def]
    """Compute ``(B + shift) field + elastic``."""
    _, ndim, size = field.shape
    many = (size + CHUNK - 1) // CHUNK
    for item in range(start, stop):
        n, lo = item // many, item % many * CHUNK
        for v in range(lo, min(lo + CHUNK, size)):
            b00, b01, b02, b11, b12, b22 = _load(blocks, n, v)
            v0, v1 = field[n, 0, v], field[n, 1, v]
            v2 = field[n, 2, v] if ndim == 3 else np.float32(0)
            out[n, 0, v] = (b00 + shift[n]) * v0 + b01 * v1 + b02 * v2 + elastic[n, 0, v]
            out[n, 1, v] = b01 * v0 + (b11 + shift[n]) * v1 + b12 * v2 + elastic[n, 1, v]
            if ndim == 3:
                out[n, 2, v] = b02 * v0 + b12 * v1 + (b22 + shift[n]) * v2 + elastic[n, 2, v]


@loop
def relax(start, stop, blocks, diagonal, shift, rhs, field, elastic, omega, out):  # type: ignore[no-untyped-def]
    """Compute ``field + ω (B + diagonal + shift)⁻¹ (rhs - (B + shift) field - elastic)``; an empty `field` is zero."""
    _, ndim, size = rhs.shape
    started, zero, many = field.size > 0, np.float32(0), (size + CHUNK - 1) // CHUNK
    for item in range(start, stop):
        n, lo = item // many, item % many * CHUNK
        for v in range(lo, min(lo + CHUNK, size)):
            b00, b01, b02, b11, b12, b22 = _load(blocks, n, v)
            r0, r1 = rhs[n, 0, v], rhs[n, 1, v]
            r2 = rhs[n, 2, v] if ndim == 3 else zero
            v0 = v1 = v2 = zero
            if started:
                v0, v1 = field[n, 0, v], field[n, 1, v]
                r0 -= elastic[n, 0, v]
                r1 -= elastic[n, 1, v]
                if ndim == 3:
                    v2 = field[n, 2, v]
                    r2 -= elastic[n, 2, v]
                r0 -= (b00 + shift[n]) * v0 + b01 * v1 + b02 * v2
                r1 -= b01 * v0 + (b11 + shift[n]) * v1 + b12 * v2
                r2 -= b02 * v0 + b12 * v1 + (b22 + shift[n]) * v2
            d00 = b00 + shift[n] + diagonal[n, 0, v]
            d11 = b11 + shift[n] + diagonal[n, 1, v]
            d22 = b22 + shift[n] + (diagonal[n, 2, v] if ndim == 3 else zero)
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
            out[n, 0, v] = v0 + omega * p0
            out[n, 1, v] = v1 + omega * p1
            if ndim == 3:
                out[n, 2, v] = v2 + omega * p2
