"""Operator and transfers of the solver, by compiled loops that write to given arrays."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from learngn.arrays import as_numpy, shared
from learngn.kernels import _cpu_resample, _cpu_stencils
from learngn.kernels.interface import Coarsening, Kernels, Sums
from learngn.kernels.layouts import Values, axis_weights, bands, contiguous, is_plane, planes, scalars, solid


def stencil_grid(array: Values) -> _cpu_stencils.Grid:
    """Return what the loops over stencils are told about the grid of an array (N, K, *S)."""
    ndim = array.ndim - 2
    x, y, z = solid(array.shape[2:])
    return _cpu_stencils.Grid((ndim, x, y * z, z), is_plane(ndim), len(array))


class CompiledOperator:
    """Implementation of :class:`learngn.kernels.interface.BoundOperator` for a constant stencil; writes in place."""

    def __init__(self, kernels: Kernels, blocks: Values, stiffness: Values, shift: Values) -> None:
        self.kernels, self._blocks = kernels, planes(blocks)
        self._stiffness, self._shift = (
            axis_weights(np.broadcast_to(stiffness, (len(blocks), *stiffness.shape[-2:]))),
            scalars(shift),
        )
        self.layout = (len(blocks), blocks.ndim - 2, *self._blocks.shape[2:])
        self._grid = stencil_grid(blocks)

    def owned(self, field: Values) -> Values:
        return contiguous(as_numpy(field)).reshape(self.layout)

    def given_back(self, field: Values, like: Any) -> Any:
        return shared(field.reshape(like.shape), like)

    def room(self) -> Values:
        return np.empty(self.layout, dtype=np.float32)

    @cached_property
    def _diagonal(self) -> Values:
        """Diagonal of the stencil and the shift along the axes of a plane, (N, D, P)."""
        s, (ndim, _, size, nz) = self._stiffness, self._grid.layout
        diagonal: Values = _cpu_stencils.plane_diagonal(s, self._shift, ndim, size, nz)
        return diagonal

    def apply(self, x: Values, out: Values) -> Sums:
        sums = self._sums(True)
        _cpu_stencils.apply_operator(self._grid, self._blocks, self._stiffness, self._shift, x, out, sums)
        return _over_items(sums)

    def residual(self, rhs: Values, x: Values, out: Values) -> None:
        _cpu_stencils.residual(self._grid, self._blocks, self._stiffness, self._shift, rhs, x, out)

    def relax(self, rhs: Values, x: Values | None, omega: float, out: Values, dotted: bool = False) -> Sums | None:
        factor, given = np.float32(omega), (self._grid, self._blocks, self._stiffness)
        if x is None:
            _cpu_stencils.relax_from_zero(*given, self._diagonal, rhs, factor, out)
            return self.kernels.dots(rhs, out) if dotted else None
        sums = self._sums(dotted)
        _cpu_stencils.relax(*given, self._shift, self._diagonal, rhs, x, factor, out, sums)
        return _over_items(sums) if dotted else None

    def relax_from_zero_and_residual(self, rhs: Values, omega: float, x: Values, out: Values) -> None:
        given = self._grid, self._blocks, self._stiffness, self._shift, self._diagonal
        _cpu_stencils.relax_from_zero_and_residual(*given, rhs, np.float32(omega), x, out)

    def _sums(self, wanted: bool) -> Sums:
        """Allocate an array for the sums of all items, by sample; empty if no sums are wanted."""
        return np.empty((self._grid.samples, self._grid.items // self._grid.samples if wanted else 0))


class CompiledTransfer:
    """Implementation of :class:`learngn.kernels.interface.BoundTransfer`; writes in place."""

    def __init__(self, step: Coarsening) -> None:
        self._fine, self._coarse = solid(step.fine), solid(step.coarse)
        self._down, self._up = bands(step.restrict), bands(step.prolong)

    def restrict(self, source: Values, out: Values) -> None:
        items = out.shape[0] * out.shape[1] * self._coarse[0]
        _cpu_resample.resample(items, source.reshape(-1), self._fine, 1, *self._down, False, out.reshape(-1))

    def prolong(self, source: Values, out: Values) -> None:
        items = out.shape[0] * out.shape[1] * self._fine[0]
        _cpu_resample.resample(items, source.reshape(-1), self._coarse, 1, *self._up, True, out.reshape(-1))


@lru_cache(maxsize=256)
def transfer(step: Coarsening) -> CompiledTransfer:
    """Return the transfer between two levels; it is kept for the next solver on the same grids."""
    return CompiledTransfer(step)


def _over_items(sums: Sums) -> Sums:
    whole: Sums = sums.sum(1)
    return whole
