"""What happened at every step, and why the optimisation stopped."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from learngn.solve import SolveStatus


class StopReason(Enum):
    """Why a level ended; the value says it in words."""

    ITERATIONS = "all iterations done"
    SMALL_UPDATE = "the update fell below its tolerance"
    NO_DESCENT = "no step, however short, lowers the energy"
    STATIONARY = "the gradient is zero"
    SOLVER = "the linear solver broke down"


@dataclass(frozen=True)
class Iteration:
    """One step of a dense optimiser.

    Attributes
    ----------
    level : int
        0 is the coarsest.
    stride : float
        Voxel size in multiples of the fixed image's finest spacing.
    shape : tuple of int
    iteration : int
        Within the level, from 0.
    lam : float
        λ.
    energy, data_energy, regularity : float
        After the step, a mean over the voxels [feature²]: whole, ½ Σ w f², λ/2 <u, R u>.
    step : float
        Fraction of the solved step that was taken; 0 when rejected.
    update_mean, update_max : float
        Length of the update [voxel of the level].
    min_jacobian : float
        Smallest det(I + ∇u).
    solver_iterations : int
    solver_residual : float
    solver_status : SolveStatus
        A first-order step solves no system: ``CONVERGED`` after 0 iterations, to a residual of NaN.
    accepted : bool
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
