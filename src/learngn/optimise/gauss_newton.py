"""Gauss-Newton for a dense displacement, coarse to fine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from learngn import sampling
from learngn.features import FeatureImage
from learngn.grid import FloatArray, Grid
from learngn.kernels.reference import block_index
from learngn.linearise import Analytic, Lineariser, NormalEquations
from learngn.optimise.history import Iteration, StopReason
from learngn.optimise.schedule import Level
from learngn.optimise.step import StepControl
from learngn.optimise.update import Compositional, Update
from learngn.regularise import Diffusion, Regulariser, apply_regulariser
from learngn.solve import NormalSolver, SolveInfo, SolveStatus


@dataclass(frozen=True, eq=False)
class Optimised:
    """Result of :class:`GaussNewton`.

    Attributes
    ----------
    field : Tensor, shape (N, D, *S) [voxel of grid]
    grid : Grid
        The finest level's.
    history : tuple of Iteration
    stop : StopReason
        Of the last level.
    """

    field: Tensor
    grid: Grid
    history: tuple[Iteration, ...]
    stop: StopReason


@dataclass(frozen=True, eq=False)
class _State:
    """A displacement and all that its energy needs."""

    u: Tensor
    normal: NormalEquations
    elastic: Tensor  # R u
    data: float
    regularity: float

    def energy(self) -> float:
        return self.data + self.regularity


class GaussNewton(nn.Module):
    """Minimise ``½ Σ w |φ_M(x + u(x)) - φ_F(x)|² + λ/2 <u, R u>`` over a displacement u of the fixed grid.

    Parameters
    ----------
    levels : sequence of Level
        Coarse to fine.
    lineariser : Lineariser
        Predicts residual and Jacobian; an ``nn.Module`` is trained through the steps.
    regulariser : Regulariser
    solver : NormalSolver
    update : Update
    control : StepControl
    damping : float
        μ of Levenberg and Marquardt, as a fraction of the mean diagonal of JᵀWJ.
    momentum : float
        Fraction of the previous step that is added to the next. The coupled system needs none.

    Notes
    -----
    Every step solves ``(JᵀWJ + λ R + μ I) δ = -(JᵀWf + λ R u)`` with the full D x D block of every voxel.

    References
    ----------
    M. P. Heinrich, "Learning Registration Models with Differentiable Gauss-Newton Optimisation", MIDL 2022.
    """

    def __init__(
        self,
        levels: Sequence[Level],
        *,
        lineariser: Lineariser | None = None,
        regulariser: Regulariser | None = None,
        solver: NormalSolver | None = None,
        update: Update | None = None,
        control: StepControl | None = None,
        damping: float = 1e-3,
        momentum: float = 0.0,
    ) -> None:
        super().__init__()
        self.levels = tuple(levels)
        self.lineariser = Analytic() if lineariser is None else lineariser
        self.regulariser = Diffusion() if regulariser is None else regulariser
        self.solver = NormalSolver() if solver is None else solver
        self.update = Compositional() if update is None else update
        self.control = StepControl() if control is None else control
        self.damping, self.momentum = damping, momentum

    def forward(
        self,
        fixed: FeatureImage,
        moving: FeatureImage,
        world: FloatArray,
        initial: Tensor | None = None,
        *,
        voxel: float | None = None,
        callback: Callable[[Iteration], None] | None = None,
    ) -> Optimised:
        """Register.

        Parameters
        ----------
        fixed, moving : FeatureImage
            Features with the same channels; the grids may differ.
        world : array, shape (D+1, D+1)
            Affine that follows the displacement, fixed RAS mm to moving RAS mm.
        initial : Tensor, shape (N, D, *S) [voxel], optional
            Displacement to start from, over the fixed grid's extent at any shape.
        voxel : float, optional
            What a stride of one means [mm]; by default the finest spacing of the fixed features.
        callback : callable, optional
            Called with every :class:`Iteration`.

        Returns
        -------
        Optimised
        """
        unit = float(fixed.grid.spacing.min()) if voxel is None else voxel
        grids = [fixed.grid.coarsened(level.stride * unit) for level in self.levels]
        moving_grids = [moving.grid.coarsened(level.stride * unit) for level in self.levels]
        fixed_levels = sampling.pyramid(fixed.data, grids)
        moving_levels = sampling.pyramid(moving.data, moving_grids)
        shape = (fixed.data.shape[0], fixed.grid.ndim, *grids[0].shape)
        u = fixed.data.new_zeros(shape) if initial is None else sampling.resize_field(initial, grids[0].shape)
        history: list[Iteration] = []
        stop = StopReason.ITERATIONS
        for index, level in enumerate(self.levels):
            u = sampling.resize_field(u, grids[index].shape)
            problem = _LevelProblem(
                self, index, level, grids[index], fixed_levels[index], moving_levels[index],
                grids[index].index_map(moving_grids[index], world),
            )  # fmt: skip
            u, stop = problem.run(u, history, callback)
        return Optimised(u, grids[-1], tuple(history), stop)


class _LevelProblem:
    """The minimisation on one level."""

    def __init__(
        self,
        method: GaussNewton,
        index: int,
        level: Level,
        grid: Grid,
        fixed: Tensor,
        moving: Tensor,
        to_moving: FloatArray,
    ) -> None:
        self.method, self.index, self.level, self.grid = method, index, level, grid
        self.fixed, self.moving, self.to_moving = fixed, moving, to_moving
        self.voxels = fixed.shape[0] * grid.size
        self.stiffness = method.regulariser.stiffness(grid, fixed)

    def state(self, u: Tensor) -> _State:
        """Evaluate the energy and its linearisation at `u`."""
        warped = sampling.warp(self.moving, u, self.to_moving, self.grid.shape)
        normal = self.method.lineariser.normal_equations(self.fixed, warped)
        elastic = apply_regulariser(self.method.regulariser, u, self.grid)
        with torch.no_grad():
            regularity = self.level.lam / 2 * float((u * elastic).sum(dtype=torch.float64)) / self.voxels
            data = float(normal.energy.sum()) / self.voxels
        return _State(u, normal, elastic, data, regularity)

    def step(self, state: _State) -> tuple[Tensor, SolveInfo]:
        """Solve for the update at a state."""
        n, ndim = state.u.shape[:2]
        lam = state.u.new_full((n,), self.level.lam)
        diagonal = [k for k, (a, b) in enumerate(block_index(ndim)) if a == b]
        shift = self.method.damping * state.normal.blocks.detach()[:, diagonal].flatten(1).mean(1)
        # The data term is linearised in the step itself, the regulariser in the displacement.
        elastic = self.method.update.pull_back(state.u, state.elastic)
        rhs = -(state.normal.gradient + self.level.lam * elastic)
        return self.method.solver.solve(state.normal.blocks, self.stiffness, rhs, lam, shift)

    def run(
        self, u: Tensor, history: list[Iteration], callback: Callable[[Iteration], None] | None
    ) -> tuple[Tensor, StopReason]:
        """Iterate from `u`; append to `history`."""
        control, state = self.method.control, self.state(u)
        energies, velocity = [state.energy()], torch.zeros_like(u)
        for iteration in range(self.level.iterations):
            delta, info = self.step(state)
            if info.status is SolveStatus.ZERO:
                return state.u, StopReason.STATIONARY
            if info.status is SolveStatus.BREAKDOWN:
                return state.u, StopReason.SOLVER
            velocity = control.capped(delta + self.method.momentum * velocity)
            fraction = 1.0
            for _ in range(control.halvings + 1):
                joined, taken, smallest = control.guarded(state.u, fraction * velocity, self.method.update)
                trial = self.state(joined)
                accepted = trial.energy() <= control.ceiling(energies)
                if accepted:
                    break
                fraction /= 2
            state = trial if accepted else state
            energies.append(state.energy())
            length = taken.detach().norm(dim=1)
            record = Iteration(
                self.index, self.level.stride, self.grid.shape, iteration, self.level.lam,
                state.energy(), state.data, state.regularity, fraction if accepted else 0.0,
                float(length.mean()), float(length.max()), smallest,
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
