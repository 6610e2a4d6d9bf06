"""Compiled stencils on fields, (N, D, X, P), and blocks, (N, K, X, P), with P a plane of rows of `nz` voxels.

A 2D grid is one plane, X = 1; D = 2, K = 3, and `plane` is not None, so that only this case is compiled. Items are
pieces of whole rows, `piece` values of a plane.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from learngn.kernels._cpu_lines import (
    apply2,
    apply3,
    dot,
    relax2,
    relax3,
    residual2,
    residual3,
    solve2,
    solve3,
    stencil,
)
from learngn.kernels._cpu_threads import loop, loop_with, part

Values: TypeAlias = NDArray[np.float32]


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


@loop_with(
    lambda blocks, s, shift, field, nz, piece, plane, out, sums: (np.empty((field.shape[1], piece), np.float32),)
)
def apply_operator(start, stop, room, blocks, s, shift, field, nz, piece, plane, out, sums):  # type: ignore[no-untyped-def]
    """Compute ``(B + Σ_b s_ab (-∂_b²) + shift) field``; `sums`, unless empty, gets <field, out> of every item."""
    _batch, _ndim, nx, size = field.shape
    many = (size + piece - 1) // piece
    for item in range(start, stop):
        n, x, lo = item // (nx * many), item // many % nx, item % many * piece
        hi = min(size, lo + piece)
        elastic_chunk(s, shift[n], field, nz, n, x, lo, hi, room)
        if plane is None:
            apply3(
                blocks[n, 0, x, lo:hi],
                blocks[n, 1, x, lo:hi],
                blocks[n, 2, x, lo:hi],
                blocks[n, 3, x, lo:hi],
                blocks[n, 4, x, lo:hi],
                blocks[n, 5, x, lo:hi],
                room[0],
                room[1],
                room[2],
                field[n, 0, x, lo:hi],
                field[n, 1, x, lo:hi],
                field[n, 2, x, lo:hi],
                out[n, 0, x, lo:hi],
                out[n, 1, x, lo:hi],
                out[n, 2, x, lo:hi],
            )
        else:
            apply2(
                blocks[n, 0, x, lo:hi],
                blocks[n, 1, x, lo:hi],
                blocks[n, 2, x, lo:hi],
                room[0],
                room[1],
                field[n, 0, x, lo:hi],
                field[n, 1, x, lo:hi],
                out[n, 0, x, lo:hi],
                out[n, 1, x, lo:hi],
            )
        if sums.size > 0:
            sums[n, item % (nx * many)] = _product(field, out, n, x, lo, hi)


@loop_with(lambda blocks, s, shift, rhs, field, nz, piece, plane, out: (np.empty((field.shape[1], piece), np.float32),))
def residual(start, stop, room, blocks, s, shift, rhs, field, nz, piece, plane, out):  # type: ignore[no-untyped-def]
    """Compute ``rhs - (B + Σ_b s_ab (-∂_b²) + shift) field``."""
    _batch, _ndim, nx, size = field.shape
    many = (size + piece - 1) // piece
    for item in range(start, stop):
        n, x, lo = item // (nx * many), item // many % nx, item % many * piece
        hi = min(size, lo + piece)
        elastic_chunk(s, shift[n], field, nz, n, x, lo, hi, room)
        if plane is None:
            residual3(
                blocks[n, 0, x, lo:hi],
                blocks[n, 1, x, lo:hi],
                blocks[n, 2, x, lo:hi],
                blocks[n, 3, x, lo:hi],
                blocks[n, 4, x, lo:hi],
                blocks[n, 5, x, lo:hi],
                rhs[n, 0, x, lo:hi],
                rhs[n, 1, x, lo:hi],
                rhs[n, 2, x, lo:hi],
                room[0],
                room[1],
                room[2],
                field[n, 0, x, lo:hi],
                field[n, 1, x, lo:hi],
                field[n, 2, x, lo:hi],
                out[n, 0, x, lo:hi],
                out[n, 1, x, lo:hi],
                out[n, 2, x, lo:hi],
            )
        else:
            residual2(
                blocks[n, 0, x, lo:hi],
                blocks[n, 1, x, lo:hi],
                blocks[n, 2, x, lo:hi],
                rhs[n, 0, x, lo:hi],
                rhs[n, 1, x, lo:hi],
                room[0],
                room[1],
                field[n, 0, x, lo:hi],
                field[n, 1, x, lo:hi],
                out[n, 0, x, lo:hi],
                out[n, 1, x, lo:hi],
            )


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


@loop
def relax_from_zero(start, stop, blocks, s, diagonal, rhs, omega, nz, piece, plane, out):  # type: ignore[no-untyped-def]
    """Compute ``ω D⁻¹ rhs``, with D the D x D diagonal blocks of the operator."""
    _batch, _ndim, nx, size = rhs.shape
    many = (size + piece - 1) // piece
    for item in range(start, stop):
        n, x, lo = item // (nx * many), item // many % nx, item % many * piece
        hi = min(size, lo + piece)
        beside = np.float32(min(x + 1, nx - 1) - max(x - 1, 0))
        if plane is None:
            solve3(
                blocks[n, 0, x, lo:hi],
                blocks[n, 1, x, lo:hi],
                blocks[n, 2, x, lo:hi],
                blocks[n, 3, x, lo:hi],
                blocks[n, 4, x, lo:hi],
                blocks[n, 5, x, lo:hi],
                diagonal[n, 0, lo:hi],
                diagonal[n, 1, lo:hi],
                diagonal[n, 2, lo:hi],
                beside * s[n, 0, 0],
                beside * s[n, 1, 0],
                beside * s[n, 2, 0],
                omega,
                rhs[n, 0, x, lo:hi],
                rhs[n, 1, x, lo:hi],
                rhs[n, 2, x, lo:hi],
                out[n, 0, x, lo:hi],
                out[n, 1, x, lo:hi],
                out[n, 2, x, lo:hi],
            )
        else:
            solve2(
                blocks[n, 0, x, lo:hi],
                blocks[n, 1, x, lo:hi],
                blocks[n, 2, x, lo:hi],
                diagonal[n, 0, lo:hi],
                diagonal[n, 1, lo:hi],
                beside * s[n, 0, 0],
                beside * s[n, 1, 0],
                omega,
                rhs[n, 0, x, lo:hi],
                rhs[n, 1, x, lo:hi],
                out[n, 0, x, lo:hi],
                out[n, 1, x, lo:hi],
            )


@loop_with(
    lambda blocks, s, diagonal, shift, rhs, field, omega, nz, piece, plane, out, sums: (
        np.empty((field.shape[1], piece), np.float32),
    )
)
def relax(start, stop, room, blocks, s, diagonal, shift, rhs, field, omega, nz, piece, plane, out, sums):  # type: ignore[no-untyped-def]
    """Compute ``field + ω D⁻¹ (rhs - A field)``, with D the D x D diagonal blocks of A.

    `sums`, unless empty, gets <rhs, out> of every item.
    """
    _batch, _ndim, nx, size = rhs.shape
    many = (size + piece - 1) // piece
    for item in range(start, stop):
        n, x, lo = item // (nx * many), item // many % nx, item % many * piece
        hi = min(size, lo + piece)
        beside = np.float32(min(x + 1, nx - 1) - max(x - 1, 0))
        elastic_chunk(s, shift[n], field, nz, n, x, lo, hi, room)
        if plane is None:
            relax3(
                blocks[n, 0, x, lo:hi],
                blocks[n, 1, x, lo:hi],
                blocks[n, 2, x, lo:hi],
                blocks[n, 3, x, lo:hi],
                blocks[n, 4, x, lo:hi],
                blocks[n, 5, x, lo:hi],
                diagonal[n, 0, lo:hi],
                diagonal[n, 1, lo:hi],
                diagonal[n, 2, lo:hi],
                beside * s[n, 0, 0],
                beside * s[n, 1, 0],
                beside * s[n, 2, 0],
                omega,
                rhs[n, 0, x, lo:hi],
                rhs[n, 1, x, lo:hi],
                rhs[n, 2, x, lo:hi],
                room[0],
                room[1],
                room[2],
                field[n, 0, x, lo:hi],
                field[n, 1, x, lo:hi],
                field[n, 2, x, lo:hi],
                out[n, 0, x, lo:hi],
                out[n, 1, x, lo:hi],
                out[n, 2, x, lo:hi],
            )
        else:
            relax2(
                blocks[n, 0, x, lo:hi],
                blocks[n, 1, x, lo:hi],
                blocks[n, 2, x, lo:hi],
                diagonal[n, 0, lo:hi],
                diagonal[n, 1, lo:hi],
                beside * s[n, 0, 0],
                beside * s[n, 1, 0],
                omega,
                rhs[n, 0, x, lo:hi],
                rhs[n, 1, x, lo:hi],
                room[0],
                room[1],
                field[n, 0, x, lo:hi],
                field[n, 1, x, lo:hi],
                out[n, 0, x, lo:hi],
                out[n, 1, x, lo:hi],
            )
        if sums.size > 0:
            sums[n, item % (nx * many)] = _product(rhs, out, n, x, lo, hi)


@loop
def laplacian(start, stop, s, field, nz, piece, out):  # type: ignore[no-untyped-def]
    """Compute ``Σ_b s_ab (-∂_b²) field``."""
    _batch, ndim, nx, size = field.shape
    many = (size + piece - 1) // piece
    for item in range(start, stop):
        n, x, lo = item // (nx * many), item // many % nx, item % many * piece
        hi = min(size, lo + piece)
        xm, xp = max(x - 1, 0), min(x + 1, nx - 1)
        for a in range(ndim):
            s0, s1, s2 = s[n, a, 0], s[n, a, 1], s[n, a, 2]
            centre, before, after = field[n, a, x], field[n, a, xm], field[n, a, xp]
            stencil(centre, before, after, nz, lo, hi, s0, s1, s2, np.float32(0), out[n, a, x, lo:hi])
