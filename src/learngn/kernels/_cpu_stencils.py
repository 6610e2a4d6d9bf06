"""Compiled stencils on fields, (N, D, X, P), and blocks, (N, K, X, P), with P a plane of rows of `nz` voxels.

A 2D grid is one plane, X = 1; D = 2, K = 3, and `plane` is not None, so that only this case is compiled. Within the
loop arrays are flat, and `layout` is (D, X, P, nz). Items are pieces of whole rows, `piece` values of a plane; where a
sweep and a residual are computed together, they are such pieces of several planes.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from learngn.kernels._cpu_lines import dot, pieces, stencil
from learngn.kernels._cpu_threads import loop_with, part
from learngn.kernels._cpu_vectors import LANES, fma, fnma, load_upto, splat, store_upto

Values: TypeAlias = NDArray[np.float32]
Sums: TypeAlias = NDArray[np.float64]
APPLY, RESIDUAL, FROM_ZERO, RELAX, LAPLACIAN, BOTH = range(6)
_ZERO, _ONE = np.float32(0), np.float32(1)
_NO_SHIFT, _NO_SUMS = np.zeros(0, dtype=np.float32), np.zeros((0, 0))
_PLANES = 16  # planes of an item of a sweep and its residual; the sweep is computed for the two beside it as well
_VALUES = 4096  # values of a plane of such an item: what is read of two planes fits the second-level cache


class Grid(NamedTuple):
    """Shape of a grid, in the form that the loops take.

    Attributes
    ----------
    layout : tuple of int
        D, X, P and the number of voxels of a row.
    plane : int or None
        None in 3D, zero in 2D.
    samples : int
    """

    layout: tuple[int, int, int, int]
    plane: int | None
    samples: int

    @property
    def items(self) -> int:
        """Number of items of a loop, but for a sweep and its residual."""
        return self.samples * self.layout[1] * pieces(*self.layout[2:])[1]


@part
def _elastic(s, shift, field, layout, n, x, lo, hi, room):  # type: ignore[no-untyped-def]
    """Compute a piece of ``(Σ_b s_ab (-∂_b²) + shift) field`` into `room`, one component after the other."""
    ndim, nx, size, nz = layout
    beside = (max(x - 1, 0) - x) * size, (min(x + 1, nx - 1) - x) * size
    for a in range(ndim):
        at, factors = ((n * ndim + a) * nx + x) * size, (s[n, a, 0], s[n, a, 1], s[n, a, 2], shift[n])
        stencil(field, at, beside, nz, size, lo, hi, factors, room, a * (hi - lo))


@part
def _product(a, b, layout, n, x, lo, hi):  # type: ignore[no-untyped-def]
    """Compute <a, b> of a piece of plane x."""
    ndim, nx, size, _ = layout
    total = np.float64(0)
    for c in range(ndim):
        at = ((n * ndim + c) * nx + x) * size
        total += dot(a, b, at + lo, at + hi)
    return total


@part
def _block3(mode, arrays, diagonal, room, places, steps, e, omega, count):  # type: ignore[no-untyped-def]
    """Compute `count` values of a plane; `places` is where they begin in blocks, fields and the diagonal.

    `steps` are the distances of the components there. Every block is solved by an LDLᵀ decomposition.
    """
    (blocks, rhs, field, out), (b, at, d), (step, beside), (e0, e1, e2) = arrays, places, steps, e
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
            r0, r1 = r0 - load_upto(room, i, left), r1 - load_upto(room, i + count, left)
            r2 = r2 - load_upto(room, i + 2 * count, left)
            r0 = fnma(b00, v0, fnma(b01, v1, fnma(b02, v2, r0)))
            r1 = fnma(b01, v0, fnma(b11, v1, fnma(b12, v2, r1)))
            r2 = fnma(b02, v0, fnma(b12, v1, fnma(b22, v2, r2)))
        if mode == APPLY:
            r0, r1, r2 = o - r0, o - r1, o - r2
        elif mode != RESIDUAL:
            k = d + i
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
def _block2(mode, arrays, diagonal, room, places, steps, e, omega, count):  # type: ignore[no-untyped-def]
    """Compute :func:`_block3` in 2D."""
    (blocks, rhs, field, out), (b, at, d), (step, beside), (e0, e1) = arrays, places, steps, e
    o = splat(_ZERO)
    for i in range(0, count, LANES):
        left, v0, v1, r0, r1 = count - i, o, o, o, o
        b00, b01 = load_upto(blocks, b + i, left), load_upto(blocks, b + i + step, left)
        b11 = load_upto(blocks, b + i + 2 * step, left)
        if mode != APPLY:
            r0, r1 = load_upto(rhs, at + i, left), load_upto(rhs, at + i + step, left)
        if mode != FROM_ZERO:
            v0, v1 = load_upto(field, at + i, left), load_upto(field, at + i + step, left)
            r0, r1 = r0 - load_upto(room, i, left), r1 - load_upto(room, i + count, left)
            r0, r1 = fnma(b00, v0, fnma(b01, v1, r0)), fnma(b01, v0, fnma(b11, v1, r1))
        if mode == APPLY:
            r0, r1 = o - r0, o - r1
        elif mode != RESIDUAL:
            k = d + i
            i0 = _ONE / (b00 + load_upto(diagonal, k, left) + e0)
            l10 = b01 * i0
            p1 = fnma(l10, r0, r1) / fnma(l10, b01, b11 + load_upto(diagonal, k + beside, left) + e1)
            r0, r1 = fma(omega, fnma(l10, p1, r0 * i0), v0), fma(omega, p1, v1)
        store_upto(out, at + i, left, r0)
        store_upto(out, at + i + step, left, r1)


@part
def _piece(mode, system, arrays, omega, layout, plane, n, x, lo, hi, room):  # type: ignore[no-untyped-def]
    """Compute a piece of a plane."""
    (s, shift, diagonal), (ndim, nx, size, _) = system, layout
    if mode != FROM_ZERO:
        _elastic(s, shift, arrays[2], layout, n, x, lo, hi, room)
    at = (n * ndim * nx + x) * size + lo
    if mode == LAPLACIAN:
        for a in range(ndim):
            for i in range(0, hi - lo, LANES):
                left = hi - lo - i
                store_upto(arrays[3], at + a * nx * size + i, left, load_upto(room, a * (hi - lo) + i, left))
        return
    c = np.float32(min(x + 1, nx - 1) - max(x - 1, 0))
    steps, d = (nx * size, size), n * ndim * size + lo
    if plane is None:
        places, three = ((n * 6 * nx + x) * size + lo, at, d), (c * s[n, 0, 0], c * s[n, 1, 0], c * s[n, 2, 0])
        _block3(mode, arrays, diagonal, room, places, steps, three, omega, hi - lo)
    else:
        places, two = ((n * 3 * nx + x) * size + lo, at, d), (c * s[n, 0, 0], c * s[n, 1, 0])
        _block2(mode, arrays, diagonal, room, places, steps, two, omega, hi - lo)


def _room(
    blocks: Values, s: Values, shift: Values, diagonal: Values, rhs: Values, field: Values, omega: np.float32,
    mode: int, layout: tuple[int, int, int, int], extent: tuple[int, int], plane: int | None, sums: Sums, out: Values,
) -> tuple[Values]:  # fmt: skip
    return (np.empty(layout[0] * min(extent[1], layout[2]), np.float32),)


@loop_with(_room)
def _sweep(start, stop, room, blocks, s, shift, diagonal, rhs, field, omega, mode, layout, extent, plane, sums, out):  # type: ignore[no-untyped-def]
    """Apply the operator or its stencil, compute a residual, or relax, as `mode` says; compiled once for all.

    `extent` is the number of planes of an item, and of values of a plane. In the mode `BOTH`, `field` gets the sweep
    from zero, and `out` its residual: a plane is relaxed, then the residual of the plane before it is computed, while
    its blocks are in the cache. Rows and planes beside the item are relaxed by this item and by another one, to the
    same bits.
    """
    _, nx, size, nz = layout
    planes, piece = extent
    along, many, both = (nx + planes - 1) // planes, (size + piece - 1) // piece, mode == BOTH
    for item in range(start, stop):
        n, x0, lo = item // (along * many), item // many % along * planes, item % many * piece
        x1, hi = min(x0 + planes, nx), min(size, lo + piece)
        for step in range(2 * (x1 - x0 + 2) if both else 1):
            kind, x, y, z, arrays = mode, x0, lo, hi, (blocks, rhs, field, out)
            if both and step % 2 == 0:
                kind, x, y, z, arrays = (
                    FROM_ZERO,
                    x0 - 1 + step // 2,
                    max(lo - nz, 0),
                    min(hi + nz, size),
                    (blocks, rhs, field, field),
                )
            elif both:
                kind, x = RESIDUAL, x0 - 2 + step // 2
            if x < (0 if kind == FROM_ZERO else x0) or x == nx:
                continue
            _piece(kind, (s, shift, diagonal), arrays, omega, layout, plane, n, x, y, z, room)
        if sums.size > 0:
            sums[n, item % (along * many)] = _product(field if mode == APPLY else rhs, out, layout, n, x0, lo, hi)


def _run(
    mode: int, grid: Grid, blocks: Values, s: Values, shift: Values, diagonal: Values, rhs: Values, field: Values,
    omega: np.float32, out: Values, sums: Sums = _NO_SUMS,
) -> None:  # fmt: skip
    extent, items = (1, pieces(*grid.layout[2:])[0]), grid.items
    if mode == BOTH:
        piece, many = pieces(*grid.layout[2:], _VALUES)
        extent, items = (_PLANES, piece), grid.samples * -(-grid.layout[1] // _PLANES) * many
    given = blocks.reshape(-1), s, shift, diagonal.reshape(-1), rhs.reshape(-1), field.reshape(-1), omega
    _sweep(items, *given, mode, grid.layout, extent, grid.plane, sums, out.reshape(-1))


def apply_operator(
    grid: Grid, blocks: Values, s: Values, shift: Values, field: Values, out: Values, sums: Sums
) -> None:
    """Compute ``(B + Σ_b s_ab (-∂_b²) + shift) field``; `sums`, unless empty, gets <field, out> of every item."""
    _run(APPLY, grid, blocks, s, shift, s, field, field, _ZERO, out, sums)


def residual(grid: Grid, blocks: Values, s: Values, shift: Values, rhs: Values, field: Values, out: Values) -> None:
    """Compute ``rhs - (B + Σ_b s_ab (-∂_b²) + shift) field``."""
    _run(RESIDUAL, grid, blocks, s, shift, s, rhs, field, _ZERO, out)


def relax_from_zero(
    grid: Grid, blocks: Values, s: Values, diagonal: Values, rhs: Values, omega: np.float32, out: Values
) -> None:
    """Compute ``ω D⁻¹ rhs``, with D the D x D diagonal blocks of the operator."""
    _run(FROM_ZERO, grid, blocks, s, _NO_SHIFT, diagonal, rhs, rhs, omega, out)


def relax_from_zero_and_residual(
    grid: Grid, blocks: Values, s: Values, shift: Values, diagonal: Values, rhs: Values, omega: np.float32,
    field: Values, out: Values,
) -> None:  # fmt: skip
    """Compute :func:`relax_from_zero` into `field`, and its residual into `out`."""
    _run(BOTH, grid, blocks, s, shift, diagonal, rhs, field, omega, out)


def relax(
    grid: Grid, blocks: Values, s: Values, shift: Values, diagonal: Values, rhs: Values, field: Values,
    omega: np.float32, out: Values, sums: Sums,
) -> None:  # fmt: skip
    """Compute ``field + ω D⁻¹ (rhs - A field)``, with D the D x D diagonal blocks of A.

    `sums`, unless empty, gets <rhs, out> of every item.
    """
    _run(RELAX, grid, blocks, s, shift, diagonal, rhs, field, omega, out, sums)


def laplacian(grid: Grid, s: Values, field: Values, out: Values) -> None:
    """Compute ``Σ_b s_ab (-∂_b²) field``."""
    none = np.zeros(len(s), np.float32)
    _run(LAPLACIAN, grid, field, s, none, s, field, field, _ZERO, out)


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
