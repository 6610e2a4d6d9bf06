"""Outcome of a solve."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class SolveStatus(Enum):
    """Reason why the solver stopped; the value explains it and gives a remedy."""

    CONVERGED = "the residual fell below the tolerance"
    ZERO = "the right side is zero, and so is the solution"
    MAX_ITERATIONS = "the residual is still above the tolerance; allow more iterations or loosen the tolerance"
    BREAKDOWN = "the operator is not positive definite or not finite; check the Jacobian for NaN, raise λ or μ"


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
