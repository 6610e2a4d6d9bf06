"""History of an optimisation: a record of every iteration, and the reason to stop."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from learngn.solve import SolveStatus


class StopReason(Enum):
    """Reason why a level ended; the value is a description."""

    ITERATIONS = "all iterations done"
    SMALL_UPDATE = "the update fell below its tolerance"
    NO_DESCENT = "no step, however short, lowers the energy"
    STATIONARY = "the gradient is zero"
    SOLVER = "the linear solver broke down"


@dataclass(frozen=True)
class Iteration:
    """Record of one iteration of a dense optimiser.

    Attributes
    ----------
    level : int
        Number of the level; 0 is the coarsest.
    stride : float
        Voxel size in multiples of the fixed image's finest spacing.
    shape : tuple of int
        Shape of the level's grid.
    iteration : int
        Number of the iteration within the level, from 0.
    lam : float
        Regularisation weight λ.
    energy, data_energy, regularity : float
        Total energy, data term ½ Σ w f² and regularisation term λ/2 <u, R u> after the step, means over the voxels
        [feature²].
    step : float
        Fraction of the solved step that was taken; 0 if it was rejected.
    update_mean, update_max : float
        Mean and largest length of the update [voxel of the level].
    min_jacobian : float
        Smallest det(I + ∇u).
    solver_iterations : int
        Number of iterations of the linear solver.
    solver_residual : float
        Relative residual of the linear solver.
    solver_status : SolveStatus
        Why the linear solver stopped. A first-order optimiser has none: ``CONVERGED`` after 0 iterations, with a
        residual of NaN.
    accepted : bool
        Whether the step was accepted.
    """

    level: int
    stride: float
    shape: tuple[int, ...]
    iteration: int
    lam: float
    energy: float
    data_energy: float
    regularity: float
    step: float
    update_mean: float
    update_max: float
    min_jacobian: float
    solver_iterations: int
    solver_residual: float
    solver_status: SolveStatus
    accepted: bool
