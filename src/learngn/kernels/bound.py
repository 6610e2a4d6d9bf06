"""Operations prepared for a grid, by the operations of any back end: what a solver and step control call many times."""

from __future__ import annotations

from collections.abc import Callable

from learngn.arrays import (
    Array,
    clamped,
    detached,
    device_of,
    in_order,
    largest_of_neighbours,
    namespace,
    shared,
    without_gradient,
)
from learngn.kernels.interface import Coarsening, Kernels, Sums
from learngn.kernels.stencils import stencil_diagonal
from learngn.kernels.taps import area_taps, linear_taps


class ReferenceOperator:
    """Implementation of :class:`learngn.kernels.interface.BoundOperator` by the operations of any back end."""

    def __init__(
        self, kernels: Kernels, blocks: Array, stiffness: Array, shift: Array, faces: Array | None, order: int
    ) -> None:
        self.kernels, self.blocks, self.shift, self.faces, self.order = kernels, blocks, shift, faces, order
        n, ndim = blocks.shape[0], blocks.ndim - 2
        self.stiffness = namespace(stiffness).broadcast_to(stiffness, (n, ndim, ndim))
        self._plain = faces is None and order == 1
        self._diagonal = None if self._plain else stencil_diagonal(self.stiffness, blocks.shape[2:], faces, order)

    def owned(self, field: Array) -> Array:
        """See :class:`BoundOperator`."""
        return in_order(shared(detached(field), self.blocks))

    def given_back(self, field: Array, like: Array) -> Array:
        """See :class:`BoundOperator`."""
        return shared(field, like)

    def room(self) -> Array:
        """See :class:`BoundOperator`."""
        xp, shape = namespace(self.blocks), self.blocks.shape
        ndim = len(shape) - 2
        return xp.empty((shape[0], ndim, *shape[2:]), dtype=self.blocks.dtype, device=device_of(self.blocks))

    def _elastic(self, x: Array) -> Array:
        for _ in range(self.order):
            x = self.kernels.elastic(self.stiffness, x, self.faces)
        return x

    def _product(self, x: Array) -> Array:
        if self._plain:
            return self.kernels.apply_operator(self.blocks, self.stiffness, self.shift, x)
        return self.kernels.apply_blocks(self.blocks, self.shift, x, self._elastic(x))

    def apply(self, x: Array, out: Array) -> Sums:
        """See :class:`BoundOperator`."""
        out[...] = self._product(x)
        return self.kernels.dots(x, out)

    def residual(self, rhs: Array, x: Array, out: Array) -> None:
        """See :class:`BoundOperator`."""
        out[...] = rhs - self._product(x)

    def relax(self, rhs: Array, x: Array | None, omega: float, out: Array, dotted: bool = False) -> Sums | None:
        """See :class:`BoundOperator`."""
        if self._diagonal is None:
            out[...] = self.kernels.smooth(self.blocks, self.stiffness, self.shift, rhs, x, omega)
        else:
            elastic = None if x is None else self._elastic(x)
            out[...] = self.kernels.relax(self.blocks, self._diagonal, self.shift, rhs, x, elastic, omega)
        return self.kernels.dots(rhs, out) if dotted else None

    def relax_from_zero_and_residual(self, rhs: Array, omega: float, x: Array, out: Array) -> None:
        """See :class:`BoundOperator`."""
        self.relax(rhs, None, omega, x)
        self.residual(rhs, x, out)


class ReferenceTransfer:
    """Implementation of :class:`learngn.kernels.interface.BoundTransfer` by the operations of any back end."""

    def __init__(self, kernels: Kernels, step: Coarsening) -> None:
        self._kernels, self._step = kernels, step

    def restrict(self, source: Array, out: Array) -> None:
        """See :class:`BoundTransfer`."""
        out[...] = self._kernels.resample(source, self._step.restrict)

    def prolong(self, source: Array, out: Array) -> None:
        """See :class:`BoundTransfer`."""
        out += self._kernels.resample(source, self._step.prolong)


class ReferenceGuard:
    """Implementation of :class:`learngn.kernels.interface.Guard`.

    Parameters
    ----------
    kernels : Kernels
        Back end of the operations.
    u : Array, shape (M, D, *S)
    step : Array, shape (N, D, *S)
    join : callable
        Joins a step to the displacements.
    bound : float
        Lower bound of det(I + ∇u).
    reach : int
        Side of the cells in which the step is shortened [voxel].
    """

    def __init__(
        self, kernels: Kernels, u: Array, step: Array, join: Callable[[Array, Array], Array], bound: float, reach: int
    ) -> None:
        self.u, self.step, self._before = u, step, u
        self._kernels, self._join, self._bound, self._reach = kernels, join, bound, reach

    def join(self) -> float:
        """See :class:`Guard`."""
        self.u = self._join(self._before, self.step)
        with without_gradient():
            self._determinant = self._kernels.determinant(self.u)
            return float(namespace(self.u).min(self._determinant))

    def shorten(self) -> None:
        """See :class:`Guard`."""
        xp, step = namespace(self.step), self.step
        with without_gradient():
            folds = xp.reshape(self._determinant < self._bound, (-1, step.shape[0], *step.shape[2:]))
            near = surroundings(self._kernels, xp.any(folds, axis=0), self._reach)
        self.step = step * (1 - 0.5 * near)


def surroundings(kernels: Kernels, mask: Array, reach: int) -> Array:
    """Return a weight of one at and near the voxels of a mask, (N, *S), that falls to zero over `reach`; (N, 1, *S)."""
    xp, shape = namespace(mask), mask.shape[1:]
    coarse = [max(1, n // reach) for n in shape]
    pairs = list(zip(shape, coarse, strict=True))
    part = kernels.resample(xp.astype(mask[:, None], xp.float32), [area_taps(n, m) for n, m in pairs])
    touched = largest_of_neighbours(xp.astype(part > 0, xp.float32), len(shape))
    return clamped(kernels.resample(touched, [linear_taps(m, n) for n, m in pairs]), 0, 1)
