"""Compiled conjugate gradients with a multigrid cycle, for a constant stencil.

The results are those of :class:`learngn.solve.Multigrid` and :func:`learngn.solve.conjugate_gradients`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite, sqrt
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from learngn.kernels import _cpu_stencils
from learngn.kernels._cpu_lines import CHUNK, dot, pieces
from learngn.kernels._cpu_resample import Bands, resample
from learngn.kernels._cpu_threads import loop, part
from learngn.kernels._cpu_vectors import LANES, fma, load_upto, splat, total
from learngn.kernels.interface import SolveStatus

Array: TypeAlias = NDArray[np.float32]
Sums: TypeAlias = NDArray[np.float64]
_ZERO = np.float32(0)


@dataclass(frozen=True, eq=False)
class Operator:
    """Operator ``B + Σ_b s_ab (-∂_b²) + shift`` on a grid.

    Attributes
    ----------
    blocks : array, shape (N, K, X, P)
    s : array, shape (N, D, 3)
    shift : array, shape (N,)
    shape : tuple of 3 int
        Shape (X, Y, Z); P = Y * Z.
    """

    blocks: Array
    s: Array
    shift: Array
    shape: tuple[int, ...]

    @cached_property
    def _work(self) -> tuple[int, tuple[int, int, int | None]]:
        """Number of items of the loops, and their last arguments before the output."""
        size, nz = self.blocks.shape[-1], self.shape[2]
        piece, many = pieces(size, nz)
        return len(self.blocks) * self.shape[0] * many, (nz, piece, None if self.blocks.shape[1] == 6 else 0)

    @cached_property
    def _diagonal(self) -> Array:
        """Diagonal of the stencil and the shift along the axes of a plane, (N, D, P)."""
        diagonal: Array = _cpu_stencils.plane_diagonal(
            self.s, self.shift, self.s.shape[1], self.blocks.shape[-1], self.shape[2]
        )
        return diagonal

    def apply(self, x: Array, out: Array, dotted: bool = False) -> Sums:
        """Compute ``out = A x``; return <x, A x> of every sample if `dotted`."""
        items, rest = self._work
        sums = self._sums(dotted)
        _cpu_stencils.apply_operator(items, self.blocks, self.s, self.shift, x, *rest, out, sums)
        return _over_items(sums)

    def residual(self, rhs: Array, x: Array, out: Array) -> None:
        """Compute ``out = rhs - A x``."""
        items, rest = self._work
        _cpu_stencils.residual(items, self.blocks, self.s, self.shift, rhs, x, *rest, out)

    def relax_from_zero(self, rhs: Array, omega: float, out: Array) -> None:
        """Apply a damped block-Jacobi sweep, starting from zero."""
        items, rest = self._work
        factor = np.float32(omega)
        _cpu_stencils.relax_from_zero(items, self.blocks, self.s, self._diagonal, rhs, factor, *rest, out)

    def relax(self, rhs: Array, x: Array, omega: float, out: Array, dotted: bool = False) -> Sums:
        """Apply a damped block-Jacobi sweep, starting from x; return <rhs, out> of every sample if `dotted`."""
        items, rest = self._work
        sums, factor = self._sums(dotted), np.float32(omega)
        diagonal = self._diagonal
        _cpu_stencils.relax(items, self.blocks, self.s, diagonal, self.shift, rhs, x, factor, *rest, out, sums)
        return _over_items(sums)

    def _sums(self, wanted: bool) -> Sums:
        """Allocate an array for the sums of all items, by sample; empty if no sums are wanted."""
        samples = len(self.blocks)
        return np.empty((samples, self._work[0] // samples if wanted else 0))

    def coarsened(self, average: Bands, s: Array, shape: tuple[int, ...]) -> Operator:
        """Return the operator of the next coarser level."""
        blocks = np.empty((*self.blocks.shape[:2], shape[0], shape[1] * shape[2]), dtype=np.float32)
        change(self.blocks, self.shape, average, False, blocks, shape)
        return Operator(blocks, s, self.shift, shape)


@dataclass(frozen=True, eq=False)
class Step:
    """Transfer to the next coarser level: its shape, and bands for residuals, corrections and blocks."""

    shape: tuple[int, ...]
    restrict: Bands
    prolong: Bands
    average: Bands


class Cycle:
    """V-cycle of a multigrid hierarchy, with its work arrays."""

    def __init__(self, finest: Operator, s: Sequence[Array], steps: Sequence[Step], omega: float) -> None:
        self.levels, self.steps, self.omega = [finest], steps, omega
        for step, weights in zip(steps, s[1:], strict=True):
            self.levels.append(self.levels[-1].coarsened(step.average, weights, step.shape))
        batch, ndim = finest.s.shape[:2]
        room = [(batch, ndim, *level.blocks.shape[2:]) for level in self.levels]
        self.right, self.before, self.after = ([np.empty(shape, dtype=np.float32) for shape in room] for _ in range(3))

    def __call__(self, rhs: Array, out: Array) -> Sums:
        """Apply the cycle to a residual, (N, D, X, P); return <rhs, out> of every sample."""
        right, after = [rhs, *self.right[1:]], [out, *self.after[1:]]
        for depth, step in enumerate(self.steps):
            level, x, rest = self.levels[depth], self.before[depth], after[depth]
            level.relax_from_zero(right[depth], self.omega, x)
            level.residual(right[depth], x, rest)
            change(rest, level.shape, step.restrict, False, right[depth + 1], step.shape)
        self.levels[-1].relax_from_zero(right[-1], 1.0, after[-1])
        if not self.steps:
            return dots(rhs, out)
        for depth in range(len(self.steps) - 1, -1, -1):
            level, step, x = self.levels[depth], self.steps[depth], self.before[depth]
            change(after[depth + 1], step.shape, step.prolong, True, x, level.shape)
            product = level.relax(right[depth], x, self.omega, after[depth], dotted=depth == 0)
        return product


def change(source: Array, before: Sequence[int], bands: Bands, add: bool, out: Array, after: Sequence[int]) -> None:
    """Resample components (N, K, X, P) from one shape to another; overwrite the output or add to it."""
    items = out.shape[0] * out.shape[1] * after[0]
    resample(items, source.reshape(-1), tuple(before), 1, *bands, add, out.reshape(-1))


@part
def _combine(z, beta, p):  # type: ignore[no-untyped-def]
    for i in range(len(p)):
        p[i] = fma(beta, p[i], z[i])


@part
def _advance(alpha, p, x):  # type: ignore[no-untyped-def]
    for i in range(len(x)):
        x[i] = fma(alpha, p[i], x[i])


@part
def _turn_pieces(start, stop, z, beta, p):  # type: ignore[no-untyped-def]
    many = (z.shape[1] + CHUNK - 1) // CHUNK
    for item in range(start, stop):
        n, lo = item // many, item % many * CHUNK
        _combine(z[n, lo : lo + CHUNK], beta[n], p[n, lo : lo + CHUNK])


@loop
def _turn(start, stop, z, beta, p):  # type: ignore[no-untyped-def]
    """Compute ``p = z + beta p``."""
    _turn_pieces(start, stop, z, beta, p)


@part
def _advance_pieces(start, stop, p, q, alpha, x, r, sums):  # type: ignore[no-untyped-def]
    size = x.shape[1]
    many = (size + CHUNK - 1) // CHUNK
    for item in range(start, stop):
        n, lo = item // many, item % many * CHUNK
        hi = min(lo + CHUNK, size)
        _advance(alpha[n], p[n, lo:hi], x[n, lo:hi])
        _advance(-alpha[n], q[n, lo:hi], r[n, lo:hi])
        sums[n, item % many] = dot(r, r, n * size + lo, n * size + hi)


@loop
def _advanced(start, stop, p, q, alpha, x, r, sums):  # type: ignore[no-untyped-def]
    """Compute ``x += alpha p`` and ``r -= alpha q``, and write <r, r> of every piece to `sums`."""
    _advance_pieces(start, stop, p, q, alpha, x, r, sums)


@part
def _combine_pieces(start, stop, x, a, y, b, out):  # type: ignore[no-untyped-def]
    for item in range(start, stop):
        lo = item * CHUNK
        _combine_line(x[lo : lo + CHUNK], a, y[lo : lo + CHUNK], b, out[lo : lo + CHUNK])


@part
def _combine_line(x, a, y, b, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        out[i] = fma(a, x[i], b * y[i])


@loop
def _combined(start, stop, x, a, y, b, out):  # type: ignore[no-untyped-def]
    _combine_pieces(start, stop, x, a, y, b, out)


def combined(x: Array, a: float, y: Array, b: float) -> Array:
    """Return ``a x + b y`` for two arrays of the same shape."""
    out = np.empty_like(x)
    items = -(-x.size // CHUNK)
    _combined(items, x.reshape(-1), np.float32(a), y.reshape(-1), np.float32(b), out.reshape(-1))
    return out


@part
def _sum_line(a):  # type: ignore[no-untyped-def]
    s0, s1, s2, s3 = splat(_ZERO), splat(_ZERO), splat(_ZERO), splat(_ZERO)
    for i in range(0, len(a), 4 * LANES):
        left = len(a) - i
        s0 = s0 + load_upto(a, i, left)
        if left > LANES:
            s1 = s1 + load_upto(a, i + LANES, left - LANES)
        if left > 2 * LANES:
            s2 = s2 + load_upto(a, i + 2 * LANES, left - 2 * LANES)
        if left > 3 * LANES:
            s3 = s3 + load_upto(a, i + 3 * LANES, left - 3 * LANES)
    return total(s0) + total(s1) + total(s2) + total(s3)


@part
def _sum_pieces(start, stop, a, rows, sums):  # type: ignore[no-untyped-def]
    many = sums.shape[2]
    for item in range(start, stop):
        n, k, lo = item // (many * len(rows)), item // many % len(rows), item % many * CHUNK
        sums[n, k, item % many] = _sum_line(a[n, rows[k], lo : lo + CHUNK])


@loop
def _sums(start, stop, a, rows, sums):  # type: ignore[no-untyped-def]
    """Sum the pieces of some rows of an array (N, K, V)."""
    _sum_pieces(start, stop, a, rows, sums)


def mean(a: Array, rows: Sequence[int]) -> Sums:
    """Return the mean of some rows of every sample of an array (N, K, V)."""
    sums = np.empty((len(a), len(rows), -(-a.shape[2] // CHUNK)))
    _sums(sums.size, a, np.array(rows), sums)
    means: Sums = _over_items(sums.reshape(len(a), -1)) / (len(rows) * a.shape[2])
    return means


@loop
def _dots(start, stop, a, b, sums):  # type: ignore[no-untyped-def]
    size = a.shape[1]
    many = (size + CHUNK - 1) // CHUNK
    for item in range(start, stop):
        n, lo = item // many, item % many * CHUNK
        sums[n, item % many] = dot(a, b, n * size + lo, n * size + min(lo + CHUNK, size))


def dots(a: Array, b: Array) -> Sums:
    """Return ``<a[n], b[n]>`` of every sample of two arrays (N, ...)."""
    flat = (len(a), -1)
    sums = np.empty((len(a), -(-a[0].size // CHUNK)))
    _dots(sums.size, a.reshape(flat), b.reshape(flat), sums)
    return _over_items(sums)


def _over_items(sums: Sums) -> Sums:
    whole: Sums = sums.sum(1)
    return whole


def solve(
    finest: Operator,
    s: Sequence[Array],
    steps: Sequence[Step],
    omega: float,
    rhs: Array,
    tolerance: float,
    iterations: int,
) -> tuple[Array, SolveStatus, int, float]:
    """Solve ``A x = rhs`` from zero; return solution, status, number of iterations and largest relative residual."""
    flat = (len(rhs), -1)
    x = np.zeros_like(rhs)
    norm = dots(rhs, rhs)
    if not np.isfinite(norm).all():
        return x, SolveStatus.BREAKDOWN, 0, float("nan")
    if not norm.any():
        return x, SolveStatus.ZERO, 0, 0.0
    cycle = Cycle(finest, s, steps, omega)
    r, z, q = rhs.copy(), np.empty_like(rhs), np.empty_like(rhs)
    p, rz, worst = z, norm, 1.0
    for count in range(iterations):
        if count == 0:  # the first direction is the result of the cycle
            rz = cycle(r, p := np.empty_like(rhs))
        else:
            following = cycle(r, z)
            # A sample that is solved exactly has rz = 0; its direction stays zero.
            beta = np.divide(following, rz, out=np.zeros_like(rz), where=rz > 0).astype(np.float32)
            _turn(_many(p), z.reshape(flat), beta, p.reshape(flat))
            rz = following
        curvature = finest.apply(p, q, dotted=True)
        if not (np.isfinite(curvature) & (curvature >= 0)).all():
            return x, SolveStatus.BREAKDOWN, count, worst
        alpha = np.divide(rz, curvature, out=np.zeros_like(rz), where=curvature > 0).astype(np.float32)
        sums = np.empty((len(x), _many(x) // len(x)))
        _advanced(sums.size, p.reshape(flat), q.reshape(flat), alpha, x.reshape(flat), r.reshape(flat), sums)
        left = np.divide(sums.sum(1), norm, out=np.zeros_like(norm), where=norm > 0).max()
        worst = sqrt(left) if isfinite(left) else float("inf")
        if worst <= tolerance:
            return x, SolveStatus.CONVERGED, count + 1, worst
    return x, SolveStatus.MAX_ITERATIONS, iterations, worst


def _many(array: Array) -> int:
    """Return the number of pieces of an array (N, ...)."""
    return len(array) * -(-int(array[0].size) // CHUNK)
