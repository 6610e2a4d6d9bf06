"""Numba kernels for float32 on the CPU: adaptors from arrays of NumPy to the compiled loops."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from learngn.kernels import _cpu_cycle, _cpu_elastic, _cpu_guard, _cpu_linearise, _cpu_stencils
from learngn.kernels.bound import ReferenceOperator
from learngn.kernels.compiled_guard import CompiledGuard
from learngn.kernels.compiled_images import CompiledImageKernels
from learngn.kernels.compiled_operator import CompiledOperator, stencil_grid, transfer
from learngn.kernels.interface import BoundOperator, BoundTransfer, Coarsening, Guard, Sums
from learngn.kernels.layouts import (
    Values,
    axis_weights,
    contiguous,
    is_plane,
    row_count,
    scalars,
    solid,
    volumes,
    volumes_or_none,
)
from learngn.kernels.stencils import diagonal


class CompiledKernels(CompiledImageKernels):
    """Numba implementation of :class:`learngn.kernels.interface.Kernels`; float32 on the CPU, no autograd."""

    name = "numba"

    def normal_equations(
        self, fixed: Values, warped: Values, weight: Values | None, symmetric: bool
    ) -> tuple[Values, Values, Values]:
        ours, theirs, shape, ndim = volumes(fixed), volumes(warped), solid(fixed.shape[2:]), fixed.ndim - 2
        n, size = len(ours), math.prod(shape)
        blocks = np.empty((n, ndim * (ndim + 1) // 2, size), dtype=np.float32)
        gradient = np.empty((n, ndim, size), dtype=np.float32)
        energy = np.empty((n, _cpu_linearise.tiles(shape, fixed.shape[1])), dtype=np.float64)
        confidence = volumes_or_none(weight)
        _cpu_linearise.normal_equations(
            energy.size, ours, theirs, confidence, None if symmetric else 0, shape, energy, blocks, gradient
        )
        both = [a.reshape(n, -1, *fixed.shape[2:]) for a in (blocks, gradient)]
        return both[0], both[1], energy.sum(1)

    def apply_operator(self, blocks: Values, stiffness: Values, shift: Values, x: Values) -> Values:
        out = np.empty(x.shape, dtype=np.float32)
        operator = CompiledOperator(self, blocks, stiffness, shift)
        operator.apply(operator.owned(x), out.reshape(operator.layout))
        return out

    def smooth(
        self, blocks: Values, stiffness: Values, shift: Values, rhs: Values, x: Values | None, omega: float
    ) -> Values:
        out = np.empty(rhs.shape, dtype=np.float32)
        operator = CompiledOperator(self, blocks, stiffness, shift)
        start = None if x is None else operator.owned(x)
        operator.relax(operator.owned(rhs), start, omega, out.reshape(operator.layout))
        return out

    def bind(self, blocks: Values, stiffness: Values, shift: Values, faces: Values | None, order: int) -> BoundOperator:
        if faces is None and order == 1:
            return CompiledOperator(self, blocks, stiffness, shift)
        return ReferenceOperator(self, blocks, stiffness, shift, faces, order)

    def dots(self, a: Values, b: Values) -> Sums:
        return _cpu_cycle.dots(a, b)

    def turn(self, z: Values, beta: Sums, p: Values) -> None:
        _cpu_cycle.turn(z, beta, p)

    def advance(self, alpha: Sums, p: Values, q: Values, x: Values, r: Values) -> Sums:
        return _cpu_cycle.advance(alpha, p, q, x, r)

    def between(self, step: Coarsening) -> BoundTransfer:
        return transfer(step)

    def elastic(self, stiffness: Values, x: Values, faces: Values | None) -> Values:
        out = np.empty(x.shape, dtype=np.float32)
        weights = axis_weights(stiffness)
        if faces is None:
            _cpu_stencils.laplacian(stencil_grid(x), weights, contiguous(x), out)
        else:
            shape, given = solid(x.shape[2:]), (weights, volumes(faces), volumes(x))
            _cpu_elastic.diffusion(row_count(len(x), x.shape[2:]), *given, shape, volumes(out))
        return out

    def apply_blocks(self, blocks: Values, shift: Values, x: Values, elastic: Values) -> Values:
        out = np.empty(x.shape, dtype=np.float32)
        given = volumes(blocks), scalars(shift), volumes(x), volumes(elastic)
        _cpu_elastic.apply_blocks(_cpu_elastic.pieces(out), *given, volumes(out))
        return out

    def relax(
        self,
        blocks: Values,
        diagonal: Values,
        shift: Values,
        rhs: Values,
        x: Values | None,
        elastic: Values | None,
        omega: float,
    ) -> Values:
        out = np.empty(rhs.shape, dtype=np.float32)
        given = volumes(blocks), volumes(diagonal), scalars(shift), volumes(rhs)
        start, product = volumes_or_none(x), volumes_or_none(elastic)
        _cpu_elastic.relax(_cpu_elastic.pieces(out), *given, start, product, np.float32(omega), volumes(out))
        return out

    def dot(self, a: Values, b: Values) -> float:
        return float(_cpu_cycle.dots(volumes(a), volumes(b)).sum())

    def combined(self, x: Values, a: Values, y: Values, b: Values) -> Values:
        out = _cpu_cycle.combined(volumes(x), float(a), volumes(y), float(b))
        return out.reshape(x.shape)

    def mean_diagonal(self, blocks: Values) -> Values:
        return _cpu_cycle.mean(volumes(blocks), diagonal(blocks))

    def lengths(self, field: Values) -> tuple[float, float]:
        return _cpu_guard.lengths(volumes(field))

    def capped(self, field: Values, longest: float) -> Values:
        values = volumes(field)
        if _cpu_guard.lengths(values)[1] <= longest:
            return field
        return _cpu_guard.capped(values, longest).reshape(field.shape)

    def pull_back(self, u: Values, gradient: Values) -> Values:
        values = volumes(gradient)
        out = np.empty_like(values)
        shape = solid(u.shape[2:])
        _cpu_linearise.pull_back(row_count(len(values), u.shape[2:]), volumes(u), values, shape, out)
        return out.reshape(gradient.shape)

    def determinant(self, field: Values) -> Values:
        source = volumes(field)
        out = np.empty((len(source), source.shape[2]), dtype=np.float32)
        shape = solid(field.shape[2:])
        _cpu_guard.determinant(row_count(len(out), shape), source, shape, is_plane(field.shape[1]), out)
        return out.reshape(field.shape[0], *field.shape[2:])

    def guard(self, u: Values, step: Values, shares: Sequence[float], bound: float, reach: int) -> Guard:
        return CompiledGuard(u, step, shares, bound, reach)


COMPILED = CompiledKernels()
