"""Gauss-Newton for a dense displacement, coarse to fine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from learngn import sampling
from learngn.features import FeatureImage
from learngn.grid import FloatArray, Grid
from learngn.kernels.reference import block_index
from learngn.linearise import Analytic, Lineariser, NormalEquations
from learngn.optimise.history import Iteration, StopReason
from learngn.optimise.landmarks import LandmarkPairs, LandmarkTerm
from learngn.optimise.levels import PairLevel, first_displacement, levels_of_pair
from learngn.optimise.schedule import Level
from learngn.optimise.step import StepControl
from learngn.optimise.update import Compositional, Update
from learngn.regularise import Diffusion, Regulariser, apply_regulariser
from learngn.solve import NormalSolver, SolveInfo, SolveStatus
from learngn.transform import DisplacementField, invert


@dataclass(frozen=True, eq=False)
class Optimised:
    """Result of :class:`GaussNewton`.

    Attributes
    ----------
    field : Tensor, shape (N, D, *S) [voxel of grid]
        Into the moving image; from the fixed one, or from half-way if the update is symmetric.
    grid : Grid
        The finest level's.
    history : tuple of Iteration
    stop : StopReason
        Of the last level.
    into_fixed : Tensor, shape (N, D, *S) [voxel of grid], optional
        From half-way into the fixed image, if the update is symmetric.
    """

    field: Tensor
    grid: Grid
    history: tuple[Iteration, ...]
    stop: StopReason
    into_fixed: Tensor | None = None


@dataclass(frozen=True, eq=False)
class _State:
    """A displacement and all that its energy needs."""

    u: Tensor
    normal: NormalEquations
    elastic: Tensor  # R of the whole displacement
    data: float
    regularity: float

    def energy(self) -> float:
        return self.data + self.regularity


class GaussNewton(nn.Module):
    """Minimise ``½ Σ w |φ_M(x + u(x)) - φ_F(x)|² + λ/2 <u, R u>`` over a displacement u of the fixed grid.

    With a symmetric update both images are displaced, as seen from half-way, and u is the difference of the two.

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
    overlap : bool
        Leave out what lies outside the moving image, instead of comparing it with the moving image's border.

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
        overlap: bool = False,
    ) -> None:
        super().__init__()
        self.levels = tuple(levels)
        self.lineariser = Analytic() if lineariser is None else lineariser
        self.regulariser = Diffusion() if regulariser is None else regulariser
        self.solver = NormalSolver() if solver is None else solver
        self.update = Compositional() if update is None else update
        self.control = StepControl() if control is None else control
        self.damping, self.momentum, self.overlap = damping, momentum, overlap
        # Training multiplies the schedule's λ by exp of these, level by level.
        self.log_lam = nn.Parameter(torch.zeros(len(self.levels)), requires_grad=False)

    def lam(self, index: int) -> Tensor:
        """λ of a level, a scalar in float64."""
        return self.levels[index].lam * self.log_lam[index].double().exp()

    def forward(
        self,
        fixed: FeatureImage,
        moving: FeatureImage,
        world: FloatArray,
        initial: Tensor | None = None,
        *,
        landmarks: LandmarkPairs | None = None,
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
        landmarks : LandmarkPairs, optional
            Points that pull, for one sample alone.
        voxel : float, optional
            What a stride of one means [mm]; by default the finest spacing of the fixed features.
        callback : callable, optional
            Called with every :class:`Iteration`.

        Returns
        -------
        Optimised
        """
        problems = self._problems(fixed, moving, world, voxel, landmarks)
        u = self._first(fixed, problems[0].pair.grid, initial)
        history: list[Iteration] = []
        stop = StopReason.ITERATIONS
        for problem in problems:
            u, stop = problem.run(sampling.resize_field(u, problem.pair.grid.shape), history, callback)
        into_moving, into_fixed = u.chunk(2) if self.update.symmetric else (u, None)
        return Optimised(into_moving, problems[-1].pair.grid, tuple(history), stop, into_fixed)

    def unroll(
        self,
        fixed: FeatureImage,
        moving: FeatureImage,
        world: FloatArray,
        initial: Tensor | None = None,
        *,
        iterations: Sequence[int] | None = None,
        last: int | None = None,
        voxel: float | None = None,
    ) -> list[tuple[Tensor, Grid]]:
        """Take a given number of whole steps, to be differentiated: the way of training.

        Every step is computed again in the backward pass, so that memory does not grow with their number beyond one
        displacement each. Nothing is guarded or rejected: what a step control does has no derivative.

        Parameters
        ----------
        fixed, moving, world, initial, voxel
            As in :meth:`forward`.
        iterations : sequence of int, optional
            Steps of every level; by default the schedule's.
        last : int, optional
            Differentiate the last so many steps of every level alone, and no level through the next. Near a level's
            solution a single step's derivative is nearly that of all of them, at a fraction of the price; through many
            steps with a small λ gradients grow without bound. By default all steps are differentiated.

        Returns
        -------
        list of (Tensor, Grid)
            The displacement at the end of every level, shape (N, D, *S) [voxel], and its grid; of a symmetric update
            both, (2N, D, *S).
        """
        problems = self._problems(fixed, moving, world, voxel)
        u = self._first(fixed, problems[0].pair.grid, initial)
        counts = [level.iterations for level in self.levels] if iterations is None else iterations
        ends = []
        for problem, count in zip(problems, counts, strict=True):
            u = sampling.resize_field(u if last is None else u.detach(), problem.pair.grid.shape)
            velocity = torch.zeros_like(self.update.whole(u))
            for index in range(count):
                with torch.set_grad_enabled(torch.is_grad_enabled() and (last is None or index >= count - last)):
                    if torch.is_grad_enabled():
                        u, velocity = checkpoint(problem.advance, u, velocity, use_reentrant=False)
                    else:
                        u, velocity = problem.advance(u, velocity)
            ends.append((u, problem.pair.grid))
        return ends

    def _problems(
        self,
        fixed: FeatureImage,
        moving: FeatureImage,
        world: FloatArray,
        voxel: float | None,
        landmarks: LandmarkPairs | None = None,
    ) -> list[_LevelProblem]:
        """The minimisation of every level, coarse to fine."""
        pairs = levels_of_pair(
            self.levels,
            fixed,
            moving,
            world,
            voxel,
            self.lineariser.refinement,
            symmetric=self.update.symmetric,
            overlap=self.overlap,
        )
        terms = [None if landmarks is None else LandmarkTerm(landmarks, p.grid, world, fixed.data) for p in pairs]
        return [
            _LevelProblem(self, index, pair, term) for index, (pair, term) in enumerate(zip(pairs, terms, strict=True))
        ]

    def _first(self, fixed: FeatureImage, grid: Grid, initial: Tensor | None) -> Tensor:
        """Displacement to begin with; a symmetric one is seen from half-way."""
        u = first_displacement(fixed, grid, initial)
        if not self.update.symmetric:
            return u
        if initial is None:
            return torch.cat([u, u])
        # x in the fixed image is half-way at m = x + d(x)/2: both halves are d(x(m))/2, one of them backwards.
        half = -invert(DisplacementField(u / 2, grid)).field.data
        return torch.cat([half, -half])


class _LevelProblem:
    """The minimisation on one level."""

    def __init__(self, method: GaussNewton, index: int, pair: PairLevel, landmarks: LandmarkTerm | None) -> None:
        self.method, self.index, self.pair, self.landmarks = method, index, pair, landmarks
        self.stiffness = method.regulariser.stiffness(pair.grid, pair.fixed.data)
        self.lam = method.lam(index)

    def state(self, u: Tensor) -> _State:
        """Evaluate the energy and its linearisation at `u`."""
        seen, whole = self.pair.compared(u), self.method.update.whole(u)
        normal = self.method.lineariser.normal_equations(seen.fixed, seen.warped, seen.weight)
        if self.landmarks is not None:
            normal = self.landmarks.add_to(normal, u)
        elastic = apply_regulariser(self.method.regulariser, whole, self.pair.grid)
        with torch.no_grad():
            regularity = float(self.lam) / 2 * float((whole * elastic).sum(dtype=torch.float64)) / self.pair.voxels
            # A mean over what counts: what leaves the field of view must not seem a gain.
            data = float(normal.energy.sum()) / (self.pair.voxels * seen.covered)
        return _State(u, normal, elastic, data, regularity)

    def step(self, state: _State) -> tuple[Tensor, SolveInfo]:
        """Solve for the update at a state."""
        n, ndim = state.elastic.shape[:2]
        lam = self.lam.to(state.u).expand(n)
        diagonal = [k for k, (a, b) in enumerate(block_index(ndim)) if a == b]
        shift = self.method.damping * state.normal.blocks[:, diagonal].flatten(1).mean(1)
        # The data term is linearised in the step itself, the regulariser in the displacement.
        elastic = self.method.update.pull_back(state.u, state.elastic)
        rhs = -(state.normal.gradient + lam[0] * elastic)
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
                self.index, self.pair.level.stride, self.pair.grid.shape, iteration, float(self.lam.detach()),
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
