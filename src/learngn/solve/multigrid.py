"""Geometric multigrid: one cycle as a preconditioner of the normal operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from learngn import kernels
from learngn.kernels import Taps
from learngn.regularise import Stiffness
from learngn.sampling import area_taps
from learngn.solve.operator import NormalOperator

# Both by the regulariser's order. One sweep damped by 6/7 is optimal for the 3D Laplacian. The spectrum of its square
# is wider: the two roots of Chebyshev's polynomial from 0.36 to 3.6 (the largest eigenvalue, by Jacobi, is 3.43 in 3D).
_RELAXATIONS = {1: (6 / 7,), 2: (0.32, 1.2)}
_TWICE = {1: 0, 2: 2}


@dataclass(frozen=True, eq=False)
class _Level:
    operator: NormalOperator
    restrict: list[Taps]
    prolong: list[Taps]


class Multigrid:
    """A cycle for :class:`NormalOperator`: symmetric and positive definite, hence fit for conjugate gradients.

    Parameters
    ----------
    operator : NormalOperator
    relaxations : sequence of float, optional
        Factors of the damped block-Jacobi sweeps before the coarse correction; after it the same backwards. By default
        those that suit the regulariser's order: one sweep, or two whose factors are Chebyshev's.
    twice : int, optional
        How many levels below the finest are visited twice: a W-cycle there, a V-cycle further down. By default none,
        and two for a regulariser of second order, whose coarse corrections must be better.

    Notes
    -----
    Cells are merged two by two, along the axes of strongest coupling only while the grid is anisotropic
    (semi-coarsening), down to one cell, where the D x D system is solved exactly. Of an odd number of cells the new
    ones are a bit less than twice as large: every level has the same extent. Prolongation is linear between cell
    centres, restriction its adjoint (to scale).

    The coarse operator keeps the unit of the displacement, so that the regulariser's weight along a merged axis falls
    by about four; conductivities are joined in series along an axis and side by side across it; curvature is
    coarsened as the Laplacian of which it is the square. Blocks are averaged. Where levels are visited twice, they are
    averaged with the weights of the restriction: by Jensen's inequality a coarse displacement then costs at least what
    its interpolation costs, so that no correction is too long and the cycle stays definite.

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
        self.levels: list[_Level] = []
        while True:
            shape = tuple(operator.blocks.shape[2:])
            merged = _axes_to_merge(shape, operator.stiffness)
            if not any(merged):
                break
            coarse = tuple((n + 1) // 2 if m else n for n, m in zip(shape, merged, strict=True))
            prolong = [_linear(n, m) for n, m in zip(shape, coarse, strict=True)]
            restrict = [_adjoint(n, m) for n, m in zip(shape, coarse, strict=True)]
            self.levels.append(_Level(operator, restrict, prolong))
            average = restrict if self.twice else [area_taps(n, m) for n, m in zip(shape, coarse, strict=True)]
            blocks = kernels.best(operator.blocks).resample(operator.blocks, average)
            operator = NormalOperator(blocks, operator.stiffness.coarsened(shape, coarse), operator.shift)
        self.coarsest = operator

    def __call__(self, residual: Tensor) -> Tensor:
        """Apply the cycle to a residual, shape (N, D, *S)."""
        return self._cycle(0, residual)

    def _cycle(self, depth: int, rhs: Tensor) -> Tensor:
        if depth == len(self.levels):
            return self.coarsest.smooth(rhs, None, 1.0)
        level = self.levels[depth]
        fast = kernels.best(level.operator.blocks, rhs)
        x: Tensor | None = None
        for omega in self.relaxations:
            x = level.operator.smooth(rhs, x, omega)
        x = x if x is not None else rhs * 0
        for _ in range(2 if 0 < depth <= self.twice else 1):
            coarse = fast.resample(rhs - level.operator(x), level.restrict)
            x = x + fast.resample(self._cycle(depth + 1, coarse), level.prolong)
        for omega in reversed(self.relaxations):
            x = level.operator.smooth(rhs, x, omega)
        return x


def _axes_to_merge(shape: tuple[int, ...], stiffness: Stiffness) -> list[bool]:
    """Axes longer than one voxel whose coupling is within a factor of four of the strongest."""
    weights = stiffness.weights.detach().reshape(-1, *stiffness.weights.shape[-2:])[0, 0]
    coupling = (weights**stiffness.order).tolist()
    long = [n > 1 for n in shape]
    strongest = max((c for c, keep in zip(coupling, long, strict=True) if keep), default=0.0)
    return [keep and c > 0.25 * strongest for c, keep in zip(coupling, long, strict=True)]


def _interpolation(n: int, m: int) -> NDArray[np.float64]:
    """From `m` cells to `n` over the same extent, clamped at the border; shape (n, m)."""
    position = np.clip((np.arange(n) + 0.5) * (m / n) - 0.5, 0, m - 1)
    return np.asarray(np.maximum(0.0, 1 - np.abs(position[:, None] - np.arange(m))), dtype=np.float64)


@lru_cache(maxsize=256)
def _linear(n: int, m: int) -> Taps:
    return Taps.from_matrix(_interpolation(n, m))


@lru_cache(maxsize=256)
def _adjoint(n: int, m: int) -> Taps:
    return Taps.from_matrix(_interpolation(n, m).T * (m / n))
