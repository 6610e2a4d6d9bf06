"""Preconditioned conjugate gradients for a batch of symmetric positive definite systems."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from learngn.kernels import SolveStatus
from learngn.solve.operator import NormalOperator

Preconditioner = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class SolveInfo:
    """Outcome of a solve.

    Attributes
    ----------
    status : SolveStatus
        Why the solver stopped.
    iterations : int
        Number of iterations.
    residual : float
        ``|rhs - A x| / |rhs|`` by the solver's recursion, the largest of the batch.
    """

    status: SolveStatus
    iterations: int
    residual: float


class BlockJacobi:
    """Preconditioner by the inverse of the D x D diagonal blocks, for comparison with multigrid."""

    def __init__(self, operator: NormalOperator) -> None:
        self.operator = operator

    def __call__(self, residual: Tensor) -> Tensor:
        """Apply the preconditioner to a residual, shape (N, D, *S)."""
        return self.operator.smooth(residual, None, 1.0)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    product: Tensor = torch.linalg.vecdot(a.flatten(1), b.flatten(1))
    return product


def conjugate_gradients(
    operator: Callable[[Tensor], Tensor],
    rhs: Tensor,
    precondition: Preconditioner | None = None,
    *,
    tolerance: float = 1e-3,
    iterations: int = 50,
) -> tuple[Tensor, SolveInfo]:
    """Solve ``operator(x) = rhs`` by conjugate gradients, starting from zero.

    Parameters
    ----------
    operator : callable
        Symmetric positive definite map of (N, D, *S) to itself.
    rhs : Tensor, shape (N, D, *S)
    precondition : callable, optional
        Symmetric positive definite approximation of the inverse; identity by default.
    tolerance : float
        Relative residual at which to stop; every sample of the batch must reach it.
    iterations : int
        Largest number of iterations.

    Returns
    -------
    x : Tensor, shape (N, D, *S)
    info : SolveInfo

    References
    ----------
    Saad, "Iterative methods for sparse linear systems", 2nd ed., algorithm 9.1.
    """
    x = torch.zeros_like(rhs)
    norm = _dot(rhs, rhs).sqrt()
    if not bool(torch.isfinite(norm).all()):
        return x, SolveInfo(SolveStatus.BREAKDOWN, 0, float("nan"))
    if not bool(norm.any()):
        return x, SolveInfo(SolveStatus.ZERO, 0, 0.0)
    scale = torch.where(norm > 0, norm, torch.ones_like(norm))
    column = (-1, *[1] * (rhs.ndim - 1))
    r, p, rz = rhs, rhs, norm.square()
    worst = 1.0
    for count in range(iterations):
        z = r if precondition is None else precondition(r)
        rz_new = _dot(r, z)
        # A sample that is solved exactly has rz = 0; its direction stays zero.
        p = z if count == 0 else z + torch.where(rz > 0, rz_new / rz, torch.zeros_like(rz)).reshape(column) * p
        rz = rz_new
        q = operator(p)
        curvature = _dot(p, q)
        if not bool((torch.isfinite(curvature) & (curvature >= 0)).all()):
            return x, SolveInfo(SolveStatus.BREAKDOWN, count, worst)
        alpha = torch.where(curvature > 0, rz / curvature, torch.zeros_like(rz)).reshape(column)
        x = x + alpha * p
        r = r - alpha * q
        worst = float((_dot(r, r).sqrt() / scale).max())
        if worst <= tolerance:
            return x, SolveInfo(SolveStatus.CONVERGED, count + 1, worst)
    return x, SolveInfo(SolveStatus.MAX_ITERATIONS, iterations, worst)
