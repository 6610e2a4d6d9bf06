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
from learngn.linearise import Analytic, Lineariser, RobustLoss
from learngn.optimise.history import Iteration, StopReason
from learngn.optimise.landmarks import LandmarkPairs, LandmarkTerm, check_landmarks
from learngn.optimise.levels import first_displacement, levels_of_pair
from learngn.optimise.problem import LevelProblem
from learngn.optimise.schedule import Level
from learngn.optimise.step import StepControl
from learngn.optimise.update import Compositional, Update
from learngn.regularise import Diffusion, Regulariser
from learngn.solve import NormalSolver
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
    loss : RobustLoss, optional
        What becomes of the residual; by default its square.
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
        loss: RobustLoss | None = None,
        overlap: bool = False,
    ) -> None:
        super().__init__()
        self.levels = tuple(levels)
        self.lineariser = Analytic() if lineariser is None else lineariser
        self.regulariser = Diffusion() if regulariser is None else regulariser
        self.solver = NormalSolver() if solver is None else solver
        self.update = Compositional() if update is None else update
        self.control = StepControl() if control is None else control
        self.damping, self.momentum, self.loss, self.overlap = damping, momentum, loss, overlap
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
        if landmarks is not None:
            check_landmarks(landmarks, len(fixed.data), fixed.grid.ndim)
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
    ) -> list[LevelProblem]:
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
            LevelProblem(self, index, pair, term) for index, (pair, term) in enumerate(zip(pairs, terms, strict=True))
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
