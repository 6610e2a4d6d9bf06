"""Differentiable solution of the normal equations, by implicit differentiation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from learngn.kernels.reference import block_index
from learngn.regularise import Stiffness
from learngn.solve.multigrid import Multigrid
from learngn.solve.operator import NormalOperator
from learngn.solve.pcg import Preconditioner, SolveInfo, conjugate_gradients


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

    def run(self, operator: NormalOperator, rhs: Tensor, tolerance: float) -> tuple[Tensor, SolveInfo]:
        """Solve ``operator(x) = rhs`` to a relative residual, without derivative."""
        precondition = None if self.preconditioner is None else self.preconditioner(operator)
        if isinstance(precondition, Multigrid):
            solved = precondition.solve(rhs, tolerance, self.iterations)
            if solved is not None:
                return solved.x, SolveInfo(solved.status, solved.iterations, solved.residual)
        return conjugate_gradients(operator, rhs, precondition, tolerance=tolerance, iterations=self.iterations)

    def solve(
        self, blocks: Tensor, stiffness: Stiffness, rhs: Tensor, lam: Tensor, shift: Tensor
    ) -> tuple[Tensor, SolveInfo]:
        """Solve ``(B + λ R + μ I) x = rhs``; differentiable in every argument but `stiffness`.

        Parameters
        ----------
        blocks : Tensor, shape (N, K, *S)
            Upper triangles of the symmetric positive semi-definite B, row by row.
        stiffness : Stiffness
            R, without λ.
        rhs : Tensor, shape (N, D, *S)
        lam, shift : Tensor, shape (N,)
            λ and μ.

        Returns
        -------
        x : Tensor, shape (N, D, *S)
        info : SolveInfo

        Notes
        -----
        With v = A⁻¹ ∂L/∂x:  ∂L/∂rhs = v,  ∂L/∂B = -sym(v xᵀ) voxel by voxel,  ∂L/∂λ = -<v, R x>,  ∂L/∂μ = -<v, x>.
        """
        if not self.coupled:
            on_diagonal = [float(a == b) for a, b in block_index(rhs.shape[1])]
            blocks = blocks * blocks.new_tensor(on_diagonal).reshape(-1, *[1] * (rhs.ndim - 2))
        report: list[SolveInfo] = []
        x: Tensor = _Solve.apply(blocks, rhs, lam, shift, stiffness, self, report)  # type: ignore[no-untyped-call]
        return x, report[0]


class _Solve(torch.autograd.Function):
    """Function ``x = A⁻¹ rhs``; one more solve with the same (symmetric) operator gives all gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        blocks: Tensor,
        rhs: Tensor,
        lam: Tensor,
        shift: Tensor,
        stiffness: Stiffness,
        solver: NormalSolver,
        report: list[SolveInfo],
    ) -> Tensor:
        operator = NormalOperator(blocks, stiffness.scaled(lam), shift)
        x, info = solver.run(operator, rhs, solver.tolerance)
        report.append(info)
        ctx.save_for_backward(blocks, lam, shift, x)
        ctx.stiffness, ctx.solver = stiffness, solver
        return x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        blocks, lam, shift, x = ctx.saved_tensors
        operator = NormalOperator(blocks, ctx.stiffness.scaled(lam), shift)
        v, _ = ctx.solver.run(operator, grad.contiguous(), ctx.solver.backward_tolerance)
        pairs = block_index(x.shape[1])
        # An off-diagonal entry stands in the block twice.
        grad_blocks = -torch.stack(
            [v[:, a] * x[:, b] if a == b else v[:, a] * x[:, b] + v[:, b] * x[:, a] for a, b in pairs], dim=1
        )
        grad_lam = -torch.linalg.vecdot(v.flatten(1), ctx.stiffness(x).flatten(1))
        grad_shift = -torch.linalg.vecdot(v.flatten(1), x.flatten(1))
        return grad_blocks, v, grad_lam, grad_shift, None, None, None
