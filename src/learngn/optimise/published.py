"""Gauss-Newton variant of the published code, for comparison."""

from __future__ import annotations

from collections.abc import Sequence

from learngn.linearise import Analytic
from learngn.optimise.gauss_newton import GaussNewton
from learngn.optimise.step_control import StepControl
from learngn.optimise.update import Additive
from learngn.settings import Level
from learngn.solve import NormalSolver


def published_gauss_newton(levels: Sequence[Level]) -> GaussNewton:
    """Make the published optimiser, which solves ``(λ R + J_d²) δ_d = -(J_d f + λ R u_d)`` for each component alone.

    The solver takes 40 conjugate-gradient iterations without a preconditioner. Without the coupling of the components
    a step overshoots by a factor of up to D, which the momentum of 0.5 averages out; there is no step control, and
    updates are additive.

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
