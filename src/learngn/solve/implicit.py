"""Differentiable solution of the normal equations, by implicit differentiation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from learngn.arrays import Array, differentiable, like
from learngn.kernels.stencils import block_index
from learngn.regularise import Stiffness
from learngn.solve.conjugate_gradients import Preconditioner, conjugate_gradients
from learngn.solve.multigrid import Multigrid
from learngn.solve.operator import NormalOperator
from learngn.solve.status import SolveInfo


@dataclass(frozen=True)
class NormalSolver:
    """Preconditioned conjugate gradients for ``(B + λ R + μ I) x = rhs``, with its derivative.

    Parameters
    ----------
    tolerance : float
        Relative residual of the forward solve; 0.1 makes an inexact Gauss-Newton step as good as an exact one.
    backward_tolerance : float
        Relative residual of the adjoint solve: the error of the gradient in training.
    iterations : int
        Largest number of conjugate-gradient iterations of each solve, forward and backward.
    preconditioner : callable, optional
        Class or function that makes the preconditioner of an operator: :class:`Multigrid` (one V-cycle),
        :class:`BlockJacobi`, or None.
    coupled : bool
        Solve for all components together. False drops the off-diagonal entries of every block, and with them the
        coupling of the components, as the published code does; the step then overshoots by a factor of up to D.
    """

    tolerance: float = 0.1
    backward_tolerance: float = 1e-3
    iterations: int = 40
    preconditioner: Callable[[NormalOperator], Preconditioner] | None = Multigrid
    coupled: bool = True

    def run(self, operator: NormalOperator, rhs: Array, tolerance: float) -> tuple[Array, SolveInfo]:
        """Solve ``operator(x) = rhs`` to a relative residual, without derivative."""
        precondition = None if self.preconditioner is None else self.preconditioner(operator)
        return conjugate_gradients(operator, rhs, precondition, tolerance=tolerance, iterations=self.iterations)

    def solve(
        self, blocks: Array, stiffness: Stiffness, rhs: Array, lam: Array, shift: Array
    ) -> tuple[Array, SolveInfo]:
        """Solve ``(B + λ R + μ I) x = rhs``; differentiable in every argument but `stiffness`.

        Parameters
        ----------
        blocks : Array, shape (N, K, *S)
            Upper triangles of the symmetric positive semi-definite B, row by row.
        stiffness : Stiffness
            R, without λ.
        rhs : Array, shape (N, D, *S)
        lam, shift : Array, shape (N,)
            λ and μ.

        Returns
        -------
        x : Array, shape (N, D, *S)
        info : SolveInfo

        Notes
        -----
        With v = A⁻¹ ∂L/∂x:  ∂L/∂rhs = v,  ∂L/∂B = -sym(v xᵀ) voxel by voxel,  ∂L/∂λ = -<v, R x>,  ∂L/∂μ = -<v, x>.
        """
        if not self.coupled:
            on_diagonal = [float(a == b) for a, b in block_index(rhs.shape[1])]
            blocks = blocks * like(np.reshape(on_diagonal, (-1, *[1] * (rhs.ndim - 2))), blocks)
        if not differentiable(blocks, rhs, lam, shift):
            return self.run(NormalOperator(blocks, stiffness.scaled(lam), shift), rhs, self.tolerance)
        from learngn.solve.derivative import Solve

        report: list[SolveInfo] = []
        x = Solve.apply(blocks, rhs, lam, shift, stiffness, self, report)  # type: ignore[no-untyped-call]
        return x, report[0]
