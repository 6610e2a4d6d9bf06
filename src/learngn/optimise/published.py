"""The variant of the published code, for comparison."""

from __future__ import annotations

from collections.abc import Sequence

from learngn.linearise import Analytic
from learngn.optimise.gauss_newton import GaussNewton
from learngn.optimise.step_control import StepControl
from learngn.optimise.update import Additive
from learngn.settings import Level
from learngn.solve import NormalSolver


def published_gauss_newton(levels: Sequence[Level]) -> GaussNewton:
    """Every component alone, ``(λ R + J_d²) δ_d = -(J_d f + λ R u_d)``, by 40 plain conjugate-gradient iterations.

    Without the coupling a step over-shoots by up to D, hence the momentum of 0.5 that averages it out; there is no
    step control, and updates add up.

    References
    ----------
    M. P. Heinrich, "Learning Registration Models with Differentiable Gauss-Newton Optimisation", MIDL 2022.
    """
    infinite = float("inf")
    return GaussNewton(
        levels,
        lineariser=Analytic(symmetric=False),
        solver=NormalSolver(tolerance=1e-3, iterations=40, preconditioner=None, coupled=False),
        update=Additive(),
        control=StepControl(longest=infinite, min_jacobian=-infinite, memory=0, update_tolerance=0.0),
        damping=0.0,
        momentum=0.5,
    )
