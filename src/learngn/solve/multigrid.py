"""Geometric multigrid: one cycle as a preconditioner of the normal operator."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from learngn import kernels
from learngn.arrays import Array, as_numpy, namespace
from learngn.kernels import BoundOperator, BoundTransfer, Coarsening, Taps, area_taps
from learngn.regularise import Stiffness
from learngn.solve.operator import NormalOperator

Sums: TypeAlias = NDArray[np.float64]

# Damping factors of the sweeps, and number of levels visited twice, by the regulariser's order. One sweep damped by 6/7
# is optimal for the 3D Laplacian. The spectrum of its square is wider: the factors are the reciprocal roots of
# Chebyshev's polynomial on 0.36 to 3.6 (the largest eigenvalue after Jacobi scaling is 3.43 in 3D).
_RELAXATIONS = {1: (6 / 7,), 2: (0.32, 1.2)}
_TWICE = {1: 0, 2: 2}


class Multigrid:
    """Multigrid cycle for :class:`NormalOperator`; symmetric and positive definite, as conjugate gradients require.

    Parameters
    ----------
    operator : NormalOperator
    relaxations : sequence of float, optional
        Damping factors of the block-Jacobi sweeps before the coarse correction; after it they are used in reverse
        order. By default those that suit the regulariser's order: one sweep, or two with Chebyshev's factors.
    twice : int, optional
        Number of levels below the finest that are visited twice: a W-cycle there, a V-cycle on coarser levels. By
        default none, and two for a regulariser of second order, which needs more accurate coarse corrections.

    Notes
    -----
    Coarsening merges pairs of cells, only along the axes of strongest coupling while the grid is anisotropic
    (semi-coarsening), down to one cell, where the D x D system is solved exactly. An odd number of cells gives coarse
    cells a bit less than twice as large: every level has the same extent. Prolongation is linear between cell
    centres, restriction its adjoint (up to a factor).

    The coarse operator keeps the unit of the displacement, so that the regulariser's weight along a merged axis falls
    by about four; conductances are combined in series along an axis and in parallel across it; curvature is
    coarsened as the Laplacian of which it is the square. Blocks are averaged. If levels are visited twice, blocks are
    averaged with the weights of the restriction: by Jensen's inequality the energy of a coarse displacement is then at
    least that of its interpolation, so that no correction is too long and the cycle stays definite.

    References
    ----------
    Trottenberg, Oosterlee and Schüller, "Multigrid", 2001, chapters 2, 5 and 7.
    Tatebe, "The multigrid preconditioned conjugate gradient method", 1993.
    """

    def __init__(
        self, operator: NormalOperator, *, relaxations: Sequence[float] | None = None, twice: int | None = None
    ) -> None:
        order = operator.stiffness.order
        self.relaxations = tuple(_RELAXATIONS[order] if relaxations is None else relaxations)
        self.twice = _TWICE[order] if twice is None else twice
        shape = tuple(operator.blocks.shape[2:])
        self.steps, self.stiffness = _hierarchy(shape, operator.stiffness, blocks_as_residuals=bool(self.twice))
        self.finest = operator

    @cached_property
    def levels(self) -> tuple[NormalOperator, ...]:
        """Operators of all levels, fine to coarse."""
        levels = [self.finest]
        for step, stiffness in zip(self.steps, self.stiffness[1:], strict=True):
            blocks = kernels.resample(levels[-1].blocks, step.average)
            levels.append(NormalOperator(blocks, stiffness, self.finest.shift))
        return tuple(levels)

    def into(self, residual: Array, out: Array) -> Sums:
        """Apply the cycle to a residual, (N, D, *S), and write the result to `out`; return <residual, out>."""
        product = self._cycle(0, residual, out)
        return self.finest.bound.kernels.dots(residual, out) if product is None else product

    def __call__(self, residual: Array) -> Array:
        """Return the cycle applied to a residual, shape (N, D, *S)."""
        own = self.finest.bound.owned(residual)
        out = namespace(own).empty_like(own)
        self.into(own, out)
        return self.finest.bound.given_back(out, residual)

    @cached_property
    def _work(self) -> list[_Level]:
        transfers = [self.finest.bound.kernels.between(step) for step in self.steps]
        return [_Level(level.bound, transfer) for level, transfer in zip(self.levels, [*transfers, None], strict=True)]

    def _cycle(self, depth: int, rhs: Array, out: Array) -> Sums | None:
        """Solve approximately on a level; on the finest return <rhs, out> where the last sweep gives it."""
        operator, transfer, x = self._work[depth].operator, self._work[depth].transfer, self._work[depth].x
        if transfer is None:  # one cell
            operator.relax(rhs, None, 1.0, out)
            return None
        coarse, other, product = self._work[depth + 1], out, None
        if len(self.relaxations) == 1:
            operator.relax_from_zero_and_residual(rhs, self.relaxations[0], x, other)
        else:
            operator.relax(rhs, None, self.relaxations[0], x)
            for omega in self.relaxations[1:]:
                operator.relax(rhs, x, omega, other)
                x, other = other, x
            operator.residual(rhs, x, other)
        for visit in range(2 if 0 < depth <= self.twice else 1):
            if visit:
                operator.residual(rhs, x, other)
            transfer.restrict(other, coarse.rhs)
            self._cycle(depth + 1, coarse.rhs, coarse.out)
            transfer.prolong(coarse.out, x)
        for count, omega in enumerate(reversed(self.relaxations), start=1):
            # An odd number of sweeps follows the first one, so that the last one writes to `out`.
            product = operator.relax(rhs, x, omega, other, depth == 0 and count == len(self.relaxations))
            x, other = other, x
        return product


class _Level:
    """Operator of a level, the transfer to the next one, and arrays: right side, solution, and its other state."""

    def __init__(self, operator: BoundOperator, transfer: BoundTransfer | None) -> None:
        self.operator, self.transfer = operator, transfer

    @cached_property
    def rhs(self) -> Array:
        return self.operator.room()

    @cached_property
    def x(self) -> Array:
        return self.operator.room()

    @cached_property
    def out(self) -> Array:
        return self.operator.room()


def _hierarchy(
    shape: tuple[int, ...], stiffness: Stiffness, *, blocks_as_residuals: bool
) -> tuple[tuple[Coarsening, ...], tuple[Stiffness, ...]]:
    """Return the coarsenings of a grid down to one cell, and the regulariser of every level."""
    steps: list[Coarsening] = []
    levels = [stiffness]
    while True:
        merged = _axes_to_merge(shape, levels[-1])
        if not any(merged):
            return tuple(steps), tuple(levels)
        coarse = tuple((n + 1) // 2 if m else n for n, m in zip(shape, merged, strict=True))
        steps.append(_coarsening(shape, coarse, blocks_as_residuals))
        levels.append(levels[-1].coarsened(shape, coarse))
        shape = coarse


@lru_cache(maxsize=256)
def _coarsening(fine: tuple[int, ...], coarse: tuple[int, ...], blocks_as_residuals: bool) -> Coarsening:
    pairs = list(zip(fine, coarse, strict=True))
    restrict = tuple(_adjoint(n, m) for n, m in pairs)
    average = restrict if blocks_as_residuals else tuple(area_taps(n, m) for n, m in pairs)
    return Coarsening(fine, coarse, restrict, tuple(_linear(n, m) for n, m in pairs), average)


def _axes_to_merge(shape: tuple[int, ...], stiffness: Stiffness) -> list[bool]:
    """Return which axes are longer than one voxel, with a coupling within a factor of four of the strongest."""
    weights = as_numpy(stiffness.weights).reshape(-1, *stiffness.weights.shape[-2:])[0, 0]
    coupling = (weights**stiffness.order).tolist()
    long = [n > 1 for n in shape]
    strongest = max((c for c, keep in zip(coupling, long, strict=True) if keep), default=0.0)
    return [keep and c > 0.25 * strongest for c, keep in zip(coupling, long, strict=True)]


def _interpolation(n: int, m: int) -> NDArray[np.float64]:
    """Return the interpolation matrix from `m` cells to `n` over the same extent, clamped at the border; (n, m)."""
    position = np.clip((np.arange(n) + 0.5) * (m / n) - 0.5, 0, m - 1)
    return np.asarray(np.maximum(0.0, 1 - np.abs(position[:, None] - np.arange(m))), dtype=np.float64)


def _linear(n: int, m: int) -> Taps:
    return Taps.from_matrix(_interpolation(n, m))


def _adjoint(n: int, m: int) -> Taps:
    return Taps.from_matrix(_interpolation(n, m).T * (m / n))
