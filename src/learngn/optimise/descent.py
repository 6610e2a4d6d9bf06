"""Minimisation of the energy of one level by Gauss-Newton steps, with or without step control."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from learngn import kernels
from learngn.arrays import Array, detached, like, namespace
from learngn.optimise.energy import Energy, Point, State
from learngn.optimise.history import Iteration, StopReason
from learngn.optimise.step_control import StepControl
from learngn.solve import NormalSolver, SolveInfo, SolveStatus


@dataclass(frozen=True, eq=False)
class _Trial:
    """Outcome of a line search: the last state that was tried, and whether it is accepted."""

    state: State
    accepted: bool
    fraction: float  # fraction of the solved step
    update_mean: float
    update_max: float
    min_jacobian: float


@dataclass(frozen=True)
class Descent:
    """Gauss-Newton minimisation of an :class:`learngn.optimise.Energy`.

    Attributes
    ----------
    solver : NormalSolver
    control : StepControl
    damping : float
        Levenberg-Marquardt damping μ, as a fraction of the mean diagonal of JᵀWJ.
    momentum : float
        Fraction of the previous step that is added to the next.
    """

    solver: NormalSolver
    control: StepControl
    damping: float
    momentum: float

    def step(self, energy: Energy, state: State) -> tuple[Array, SolveInfo]:
        """Solve for the step at a state, (N, D, *S) [voxel], without step control."""
        model = energy.quadratic(state)
        shift = self.damping * like(kernels.mean_diagonal(model.blocks), model.rhs)
        return self.solver.solve(model.blocks, model.stiffness, model.rhs, model.lam, shift)

    def advance(self, energy: Energy, u: Array, velocity: Array) -> tuple[Array, Array]:
        """Take one whole step, differentiably: it is neither guarded nor rejected.

        Parameters
        ----------
        energy : Energy
        u : Array, shape (N, D, *S), or (2N, D, *S) of a symmetric update [voxel]
        velocity : Array, shape (N, D, *S) [voxel]
            The previous step; zero at first.

        Returns
        -------
        u, velocity : Array
            The new displacement, and the step taken.
        """
        solved, _ = self.step(energy, energy(u))
        velocity = self._velocity(solved, velocity)
        return energy.update(u, velocity), velocity

    def run(
        self, energy: Energy, u: Array, level: int, report: Callable[[Iteration], None]
    ) -> tuple[Array, StopReason]:
        """Iterate with step control.

        Parameters
        ----------
        energy : Energy
        u : Array, shape (N, D, *S), or (2N, D, *S) of a symmetric update [voxel]
            Initial displacement.
        level : int
            Number of the level, for the history.
        report : callable
            Function that is called with every :class:`Iteration`.

        Returns
        -------
        u : Array
            The last accepted displacement.
        stop : StopReason
            Why the level ended.
        """
        state = energy(u)
        energies, velocity = [state.total], namespace(state.elastic).zeros_like(state.elastic)
        for iteration in range(energy.pair.level.iterations):
            solved, info = self.step(energy, state)
            before = state.point
            if info.status is SolveStatus.ZERO:
                return before.u, StopReason.STATIONARY
            if info.status is SolveStatus.BREAKDOWN:
                return before.u, StopReason.SOLVER
            velocity = self._velocity(solved, velocity)
            del state, solved  # their memory is used for those of the next displacement
            trial = self._search(energy, before, velocity, self.control.ceiling(energies))
            state = trial.state
            after = state.point if trial.accepted else before
            energies.append(after.total)
            report(_record(energy, level, iteration, after, info, trial))
            if not trial.accepted:
                return before.u, StopReason.NO_DESCENT
            if trial.update_mean < self.control.update_tolerance:
                return state.u, StopReason.SMALL_UPDATE
        return state.u, StopReason.ITERATIONS

    def _velocity(self, solved: Array, previous: Array) -> Array:
        """Return a solved step with momentum, capped voxel by voxel."""
        return self.control.capped(solved + self.momentum * previous if self.momentum else solved)

    def _search(self, energy: Energy, before: Point, velocity: Array, ceiling: float) -> _Trial:
        """Halve a step until its energy does not exceed a ceiling, or the largest number of halvings is reached."""
        for halving in range(self.control.halvings):
            trial = self._try(energy, before, velocity, 0.5**halving, ceiling)
            if trial.accepted:
                return trial
            del trial  # its memory is used for the next one
        return self._try(energy, before, velocity, 0.5**self.control.halvings, ceiling)

    def _try(self, energy: Energy, before: Point, velocity: Array, fraction: float, ceiling: float) -> _Trial:
        """Take a fraction of a step."""
        step = velocity if fraction == 1 else fraction * velocity
        u, taken, smallest = self.control.guarded(before.u, step, energy.update)
        reached = energy(u, before.covered)
        mean, longest = kernels.lengths(detached(taken))
        return _Trial(reached, reached.total <= ceiling, fraction, mean, longest, smallest)


def _record(energy: Energy, level: int, iteration: int, point: Point, info: SolveInfo, trial: _Trial) -> Iteration:
    """Return the record of an iteration that ended in a state."""
    return Iteration(
        level=level,
        stride=energy.pair.level.stride,
        shape=energy.pair.grid.shape,
        iteration=iteration,
        lam=float(detached(energy.lam)),
        energy=point.total,
        data_energy=point.data,
        regularity=point.regularity,
        step=trial.fraction if trial.accepted else 0.0,
        update_mean=trial.update_mean,
        update_max=trial.update_max,
        min_jacobian=trial.min_jacobian,
        solver_iterations=info.iterations,
        solver_residual=info.residual,
        solver_status=info.status,
        accepted=trial.accepted,
    )
