"""The minimisation on one level: its energy, its step, its iterations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from learngn import kernels
from learngn.linearise import NormalEquations, Robust
from learngn.optimise.history import Iteration, StopReason
from learngn.optimise.landmarks import LandmarkTerm
from learngn.optimise.levels import PairLevel
from learngn.solve import SolveInfo, SolveStatus

if TYPE_CHECKING:
    from learngn.optimise.gauss_newton import GaussNewton


@dataclass(frozen=True, eq=False)
class State:
    """A displacement and all that its energy needs."""

    u: Tensor
    normal: NormalEquations
    elastic: Tensor  # R of the whole displacement
    data: float
    regularity: float
    covered: float  # part of the voxels that counted when the level began

    def energy(self) -> float:
        """Whole energy, a mean over the voxels [feature²]."""
        return self.data + self.regularity


class LevelProblem:
    """The minimisation on one level."""

    def __init__(self, method: GaussNewton, index: int, pair: PairLevel, landmarks: LandmarkTerm | None) -> None:
        self.method, self.index, self.pair, self.landmarks = method, index, pair, landmarks
        self.stiffness = method.regulariser.stiffness(pair.grid, pair.fixed.data)
        self.lineariser = method.lineariser if method.loss is None else Robust(method.lineariser, method.loss)
        self.lam = method.lam(index)

    def state(self, u: Tensor, covered: float | None = None) -> State:
        """Evaluate the energy and its linearisation at `u`; `covered` is that of the level's first state."""
        seen, whole = self.pair.compared(u), self.method.update.whole(u)
        normal = self.lineariser.normal_equations(seen.fixed, seen.warped, seen.weight)
        features = normal.energy
        if self.landmarks is not None:
            normal = self.landmarks.add_to(normal, u)
        elastic = self.stiffness(whole)
        with torch.no_grad():
            regularity = float(self.lam) / 2 * kernels.best(whole, elastic).dot(whole, elastic) / self.pair.voxels
            # As if as much counted as in the beginning: what leaves the field of view must not seem a gain.
            covered = seen.covered if covered is None else covered
            shown, all_ = float(features.sum()), float(normal.energy.sum())
            data = (all_ + (covered / seen.covered - 1) * shown) / self.pair.voxels
        return State(u, normal, elastic, data, regularity, covered)

    def step(self, state: State) -> tuple[Tensor, SolveInfo]:
        """Solve for the update at a state."""
        lam = self.lam.to(state.u).expand(len(state.elastic))
        # The data term is linearised in the step itself, the regulariser in the displacement.
        elastic = self.method.update.pull_back(state.u, state.elastic)
        best = kernels.best(state.normal.blocks, state.normal.gradient, elastic, lam)
        shift = self.method.damping * best.mean_diagonal(state.normal.blocks).to(state.u)
        rhs = best.combined(state.normal.gradient, -torch.ones_like(lam[0]), elastic, -lam[0])
        return self.method.solver.solve(state.normal.blocks, self.stiffness, rhs, lam, shift)

    def advance(self, u: Tensor, velocity: Tensor) -> tuple[Tensor, Tensor]:
        """One whole step and its velocity, differentiable."""
        delta, _ = self.step(self.state(u))
        velocity = self.method.control.capped(delta + self.method.momentum * velocity)
        return self.method.update(u, velocity), velocity

    def run(
        self, u: Tensor, history: list[Iteration], callback: Callable[[Iteration], None] | None
    ) -> tuple[Tensor, StopReason]:
        """Iterate from `u`; append to `history`."""
        control, state = self.method.control, self.state(u)
        energies, velocity = [state.energy()], torch.zeros_like(state.elastic)
        for iteration in range(self.pair.level.iterations):
            delta, info = self.step(state)
            if info.status is SolveStatus.ZERO:
                return state.u, StopReason.STATIONARY
            if info.status is SolveStatus.BREAKDOWN:
                return state.u, StopReason.SOLVER
            momentum, fraction = self.method.momentum, 1.0
            velocity = control.capped(delta + momentum * velocity if momentum else delta)
            for _ in range(control.halvings + 1):
                joined, taken, smallest = control.guarded(
                    state.u, velocity if fraction == 1 else fraction * velocity, self.method.update
                )
                trial = self.state(joined, state.covered)
                accepted = trial.energy() <= control.ceiling(energies)
                if accepted:
                    break
                fraction /= 2
            state = trial if accepted else state
            energies.append(state.energy())
            mean, longest = kernels.best(taken).lengths(taken.detach())
            record = Iteration(
                self.index, self.pair.level.stride, self.pair.grid.shape, iteration, float(self.lam.detach()),
                state.energy(), state.data, state.regularity, fraction if accepted else 0.0,
                mean, longest, smallest,
                info.iterations, info.residual, info.status, accepted,
            )  # fmt: skip
            history.append(record)
            if callback is not None:
                callback(record)
            if not accepted:
                return state.u, StopReason.NO_DESCENT
            if record.update_mean < control.update_tolerance:
                return state.u, StopReason.SMALL_UPDATE
        return state.u, StopReason.ITERATIONS
