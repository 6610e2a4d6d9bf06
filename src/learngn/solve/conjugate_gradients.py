"""Preconditioned conjugate gradients for a batch of symmetric positive definite systems."""

from __future__ import annotations

from math import isfinite, sqrt
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from learngn.arrays import Array, namespace, without_gradient
from learngn.solve.operator import NormalOperator
from learngn.solve.status import SolveInfo, SolveStatus


class Preconditioner(Protocol):
    """Protocol: symmetric positive definite approximation of the inverse of an operator."""

    def into(self, residual: Array, out: Array) -> NDArray[np.float64]:
        """Apply the preconditioner to a residual, (N, D, *S), and write the result to `out`.

        Returns
        -------
        array, shape (N,)
            ``<residual, out>`` of every sample.
        """


class BlockJacobi:
    """Preconditioner by the inverse of the D x D diagonal blocks, for comparison with multigrid."""

    def __init__(self, operator: NormalOperator) -> None:
        self.operator = operator

    def into(self, residual: Array, out: Array) -> NDArray[np.float64]:
        """See :class:`Preconditioner`."""
        bound = self.operator.bound
        bound.relax(residual, None, 1.0, out)
        return bound.kernels.dots(residual, out)

    def __call__(self, residual: Array) -> Array:
        """Return the preconditioner applied to a residual, (N, D, *S)."""
        return self.operator.smooth(residual, None, 1.0)


class Identity:
    """No preconditioner."""

    def __init__(self, operator: NormalOperator) -> None:
        self.operator = operator

    def into(self, residual: Array, out: Array) -> NDArray[np.float64]:
        """See :class:`Preconditioner`."""
        out[...] = residual
        return self.operator.bound.kernels.dots(residual, out)


def conjugate_gradients(
    operator: NormalOperator,
    rhs: Array,
    precondition: Preconditioner | None = None,
    *,
    tolerance: float = 1e-3,
    iterations: int = 50,
) -> tuple[Array, SolveInfo]:
    """Solve ``operator(x) = rhs`` by conjugate gradients, starting from zero; not differentiable.

    Parameters
    ----------
    operator : NormalOperator
    rhs : Array, shape (N, D, *S)
    precondition : Preconditioner, optional
        By default :class:`Identity`.
    tolerance : float
        Relative residual at which to stop; every sample of the batch must reach it.
    iterations : int
        Largest number of iterations.

    Returns
    -------
    x : Array, shape (N, D, *S)
    info : SolveInfo

    References
    ----------
    Saad, "Iterative methods for sparse linear systems", 2nd ed., algorithm 9.1.
    """
    with without_gradient():
        chosen = Identity(operator) if precondition is None else precondition
        x, info = _solved(operator, operator.bound.owned(rhs), chosen, tolerance, iterations)
    return operator.bound.given_back(x, rhs), info


def _solved(
    operator: NormalOperator, rhs: Array, precondition: Preconditioner, tolerance: float, iterations: int
) -> tuple[Array, SolveInfo]:
    bound, kernels, xp = operator.bound, operator.bound.kernels, namespace(rhs)
    x = xp.zeros_like(rhs)
    norm = kernels.dots(rhs, rhs)
    if not np.isfinite(norm).all():
        return x, SolveInfo(SolveStatus.BREAKDOWN, 0, float("nan"))
    if not norm.any():
        return x, SolveInfo(SolveStatus.ZERO, 0, 0.0)
    r, q, p = xp.asarray(rhs, copy=True), xp.empty_like(rhs), xp.empty_like(rhs)
    z, rz, worst = xp.empty_like(rhs), norm, 1.0
    for count in range(iterations):
        if count == 0:  # the first direction is the preconditioned residual
            rz = precondition.into(r, p)
        else:
            following = precondition.into(r, z)
            # A sample that is solved exactly has rz = 0; its direction stays zero.
            kernels.turn(z, _ratio(following, rz), p)
            rz = following
        curvature = bound.apply(p, q)
        if not (np.isfinite(curvature) & (curvature >= 0)).all():
            return x, SolveInfo(SolveStatus.BREAKDOWN, count, worst)
        sums = kernels.advance(_ratio(rz, curvature), p, q, x, r)
        left = _ratio(sums, norm).max()
        worst = sqrt(left) if isfinite(left) else float("inf")
        if worst <= tolerance:
            return x, SolveInfo(SolveStatus.CONVERGED, count + 1, worst)
    return x, SolveInfo(SolveStatus.MAX_ITERATIONS, iterations, worst)


def _ratio(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide sums of samples; zero where the divisor is zero."""
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)
