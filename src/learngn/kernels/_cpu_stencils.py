"""Compiled stencils on fields, (N, D, X, P), and blocks, (N, K, X, P), with P a plane of rows of `nz` voxels.

A 2D grid is one plane, X = 1; D = 2, K = 3, and `plane` is not None, so that only this case is compiled. Items are
pieces of whole rows, `piece` values of a plane.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from learngn.kernels._cpu_lines import dot, stencil
from learngn.kernels._cpu_threads import loop_with, part
from learngn.kernels._cpu_vectors import LANES, fma, fnma, load_upto, splat, store_upto

Values: TypeAlias = NDArray[np.float32]
Sums: TypeAlias = NDArray[np.float64]
APPLY, RESIDUAL, FROM_ZERO, RELAX, LAPLACIAN = range(5)
_ZERO, _ONE = np.float32(0), np.float32(1)
_NO_SHIFT, _NO_SUMS = np.zeros(0, dtype=np.float32), np.zeros((0, 0))


@part
def elastic_chunk(s, shift, field, nz, n, x, lo, hi, out):  # type: ignore[no-untyped-def]
    """Compute a chunk of ``(Σ_b s_ab (-∂_b²) + shift) field`` into `out`, (D, hi - lo)."""
    xm, xp = max(x - 1, 0), min(x + 1, field.shape[2] - 1)
    for a in range(field.shape[1]):
        s0, s1, s2 = s[n, a, 0], s[n, a, 1], s[n, a, 2]
        stencil(field[n, a, x], field[n, a, xm], field[n, a, xp], nz, lo, hi, s0, s1, s2, shift, out[a])


@part
def _product(a, b, n, x, lo, hi):  # type: ignore[no-untyped-def]
    """Compute <a, b> of a piece of plane x."""
    _batch, ndim, nx, size = a.shape
    total = np.float64(0)
    for c in range(ndim):
        at = ((n * ndim + c) * nx + x) * size
        total += dot(a, b, at + lo, at + hi)
    return total


@part
def _block3(mode, blocks, b, diagonal, d, e, omega, rhs, field, at, room, lo, count, out):  # type: ignore[no-untyped-def]
    """Compute `count` values from `lo` of a plane on; b, d and `at` are where they begin in the flat arrays.

    Every block is solved by an LDLᵀ decomposition.
    """
    step, beside, long = blocks.shape[2] * blocks.shape[3], diagonal.shape[2], room.shape[1]
    e0, e1, e2 = e
    o = splat(_ZERO)
    for i in range(0, count, LANES):
        left, v0, v1, v2, r0, r1, r2 = count - i, o, o, o, o, o, o
        b00, b01 = load_upto(blocks, b + i, left), load_upto(blocks, b + i + step, left)
        b02, b11 = load_upto(blocks, b + i + 2 * step, left), load_upto(blocks, b + i + 3 * step, left)
        b12, b22 = load_upto(blocks, b + i + 4 * step, left), load_upto(blocks, b + i + 5 * step, left)
        if mode != APPLY:
            r0, r1 = load_upto(rhs, at + i, left), load_upto(rhs, at + i + step, left)
            r2 = load_upto(rhs, at + i + 2 * step, left)
        if mode != FROM_ZERO:
            v0, v1 = load_upto(field, at + i, left), load_upto(field, at + i + step, left)
            v2 = load_upto(field, at + i + 2 * step, left)
            r0, r1 = r0 - load_upto(room, i, left), r1 - load_upto(room, i + long, left)
            r2 = r2 - load_upto(room, i + 2 * long, left)
            r0 = fnma(b00, v0, fnma(b01, v1, fnma(b02, v2, r0)))
            r1 = fnma(b01, v0, fnma(b11, v1, fnma(b12, v2, r1)))
            r2 = fnma(b02, v0, fnma(b12, v1, fnma(b22, v2, r2)))
        if mode == APPLY:
            r0, r1, r2 = o - r0, o - r1, o - r2
        elif mode != RESIDUAL:
            k = d + lo + i
            i0 = _ONE / (b00 + load_upto(diagonal, k, left) + e0)
            l10, l20 = b01 * i0, b02 * i0
            i1 = _ONE / fnma(l10, b01, b11 + load_upto(diagonal, k + beside, left) + e1)
            e21 = fnma(l20, b01, b12)
            l21 = e21 * i1
            e22 = fnma(l21, e21, fnma(l20, b02, b22 + load_upto(diagonal, k + 2 * beside, left) + e2))
            y1 = fnma(l10, r0, r1)
            p2 = fnma(l21, y1, fnma(l20, r0, r2)) / e22
            p1 = fnma(l21, p2, y1 * i1)
            r0 = fma(omega, fnma(l20, p2, fnma(l10, p1, r0 * i0)), v0)
            r1, r2 = fma(omega, p1, v1), fma(omega, p2, v2)
        store_upto(out, at + i, left, r0)
        store_upto(out, at + i + step, left, r1)
        store_upto(out, at + i + 2 * step, left, r2)


@part
def _block2(mode, blocks, b, diagonal, d, e, omega, rhs, field, at, room, lo, count, out):  # type: ignore[no-untyped-def]
    """Compute :func:`_block3` in 2D."""
    step, beside, long = blocks.shape[2] * blocks.shape[3], diagonal.shape[2], room.shape[1]
    e0, e1 = e
    o = splat(_ZERO)
    for i in range(0, count, LANES):
        left, v0, v1, r0, r1 = count - i, o, o, o, o
        b00, b01 = load_upto(blocks, b + i, left), load_upto(blocks, b + i + step, left)
        b11 = load_upto(blocks, b + i + 2 * step, left)
        if mode != APPLY:
            r0, r1 = load_upto(rhs, at + i, left), load_upto(rhs, at + i + step, left)
        if mode != FROM_ZERO:
            v0, v1 = load_upto(field, at + i, left), load_upto(field, at + i + step, left)
            r0, r1 = r0 - load_upto(room, i, left), r1 - load_upto(room, i + long, left)
            r0, r1 = fnma(b00, v0, fnma(b01, v1, r0)), fnma(b01, v0, fnma(b11, v1, r1))
        if mode == APPLY:
            r0, r1 = o - r0, o - r1
        elif mode != RESIDUAL:
            k = d + lo + i
            i0 = _ONE / (b00 + load_upto(diagonal, k, left) + e0)
            l10 = b01 * i0
            p1 = fnma(l10, r0, r1) / fnma(l10, b01, b11 + load_upto(diagonal, k + beside, left) + e1)
            r0, r1 = fma(omega, fnma(l10, p1, r0 * i0), v0), fma(omega, p1, v1)
        store_upto(out, at + i, left, r0)
        store_upto(out, at + i + step, left, r1)


@loop_with(lambda blocks, s, *given: (np.empty((s.shape[1], given[-4]), np.float32),))
def _sweep(start, stop, room, blocks, s, diagonal, shift, rhs, field, omega, mode, nz, piece, plane, sums, out):  # type: ignore[no-untyped-def]
    """Apply the operator or its stencil, compute a residual, or relax, as `mode` says; compiled once for all."""
    _batch, ndim, nx, size = out.shape
    many = (size + piece - 1) // piece
    for item in range(start, stop):
        n, x, lo = item // (nx * many), item // many % nx, item % many * piece
        hi = min(size, lo + piece)
        if mode != FROM_ZERO:
            elastic_chunk(s, shift[n], field, nz, n, x, lo, hi, room)
        if mode == LAPLACIAN:
            for a in range(ndim):
                to = ((n * ndim + a) * nx + x) * size + lo
                for i in range(0, hi - lo, LANES):
                    store_upto(out, to + i, hi - lo - i, load_upto(room, a * piece + i, hi - lo - i))
            continue
        b, d, at = (n * blocks.shape[1] * nx + x) * size + lo, n * ndim * size, (n * ndim * nx + x) * size + lo
        c = np.float32(min(x + 1, nx - 1) - max(x - 1, 0))
        if plane is None:
            three = c * s[n, 0, 0], c * s[n, 1, 0], c * s[n, 2, 0]
            _block3(mode, blocks, b, diagonal, d, three, omega, rhs, field, at, room, lo, hi - lo, out)
        else:
            two = c * s[n, 0, 0], c * s[n, 1, 0]
            _block2(mode, blocks, b, diagonal, d, two, omega, rhs, field, at, room, lo, hi - lo, out)
        if sums.size > 0:
            sums[n, item % (nx * many)] = _product(field if mode == APPLY else rhs, out, n, x, lo, hi)


def apply_operator(
    items: int, blocks: Values, s: Values, shift: Values, field: Values, nz: int, piece: int, plane: int | None,
    out: Values, sums: Sums,
) -> None:  # fmt: skip
    """Compute ``(B + Σ_b s_ab (-∂_b²) + shift) field``; `sums`, unless empty, gets <field, out> of every item."""
    _sweep(items, blocks, s, s, shift, field, field, _ZERO, APPLY, nz, piece, plane, sums, out)


def residual(
    items: int, blocks: Values, s: Values, shift: Values, rhs: Values, field: Values,
    nz: int, piece: int, plane: int | None, out: Values,
) -> None:  # fmt: skip
    """Compute ``rhs - (B + Σ_b s_ab (-∂_b²) + shift) field``."""
    _sweep(items, blocks, s, s, shift, rhs, field, _ZERO, RESIDUAL, nz, piece, plane, _NO_SUMS, out)


def relax_from_zero(
    items: int, blocks: Values, s: Values, diagonal: Values, rhs: Values, omega: np.float32,
    nz: int, piece: int, plane: int | None, out: Values,
) -> None:  # fmt: skip
    """Compute ``ω D⁻¹ rhs``, with D the D x D diagonal blocks of the operator."""
    _sweep(items, blocks, s, diagonal, _NO_SHIFT, rhs, rhs, omega, FROM_ZERO, nz, piece, plane, _NO_SUMS, out)


def relax(
    items: int, blocks: Values, s: Values, diagonal: Values, shift: Values, rhs: Values, field: Values,
    omega: np.float32, nz: int, piece: int, plane: int | None, out: Values, sums: Sums,
) -> None:  # fmt: skip
    """Compute ``field + ω D⁻¹ (rhs - A field)``, with D the D x D diagonal blocks of A.

    `sums`, unless empty, gets <rhs, out> of every item.
    """
    _sweep(items, blocks, s, diagonal, shift, rhs, field, omega, RELAX, nz, piece, plane, sums, out)


def laplacian(items: int, s: Values, field: Values, nz: int, piece: int, out: Values) -> None:
    """Compute ``Σ_b s_ab (-∂_b²) field``."""
    plane, none = None if s.shape[1] == 3 else 0, np.zeros(len(s), np.float32)
    _sweep(items, field, s, s, none, field, field, _ZERO, LAPLACIAN, nz, piece, plane, _NO_SUMS, out)


def plane_diagonal(s: Values, shift: Values, ndim: int, size: int, nz: int) -> Values:
    """Return the diagonal of the stencil along the axes of a plane, (N, D, P); borders have fewer neighbours."""
    beside_y, beside_z = (_neighbours(n) for n in (size // nz, nz))
    rows = shift[:, None, None] + s[:, :ndim, 1, None] * beside_y
    out: Values = rows[..., None] + s[:, :ndim, 2, None, None] * beside_z
    return out.reshape(len(s), ndim, size)


def _neighbours(n: int) -> Values:
    """Return the number of neighbours of each of `n` voxels."""
    index = np.arange(n)
    return (np.minimum(index + 1, n - 1) - np.maximum(index - 1, 0)).astype(np.float32)
