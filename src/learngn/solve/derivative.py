"""Derivative of the solution of the normal equations, for PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from learngn.kernels.stencils import block_index
from learngn.solve.operator import NormalOperator
from learngn.solve.status import SolveInfo

if TYPE_CHECKING:
    from learngn.regularise import Stiffness
    from learngn.solve.implicit import NormalSolver


class Solve(torch.autograd.Function):
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
        """Solve, and keep what the derivative needs."""
        operator = NormalOperator(blocks, stiffness.scaled(lam), shift)
        x, info = solver.run(operator, rhs, solver.tolerance)
        report.append(info)
        ctx.save_for_backward(blocks, lam, shift, x)
        ctx.stiffness, ctx.solver = stiffness, solver
        solution: Tensor = x
        return solution

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients; see :meth:`NormalSolver.solve`."""
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
