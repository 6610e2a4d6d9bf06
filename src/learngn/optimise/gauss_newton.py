"""Gauss-Newton for a dense displacement, coarse to fine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from learngn.errors import SettingsError
from learngn.features import FeatureImage
from learngn.geometry import sampling
from learngn.geometry.grid import FloatArray, Grid
from learngn.geometry.transform import DisplacementField, invert
from learngn.linearise import Analytic, Lineariser, Robust, RobustLoss
from learngn.optimise.descent import Descent
from learngn.optimise.energy import Energy
from learngn.optimise.history import Iteration, StopReason
from learngn.optimise.landmarks import LandmarkPairs, LandmarkTerm, check_landmarks
from learngn.optimise.levels import first_displacement, levels_of_pair
from learngn.optimise.step_control import StepControl
from learngn.optimise.update import Compositional, Update
from learngn.regularise import Diffusion, Regulariser
from learngn.settings import Level
from learngn.solve import NormalSolver


@dataclass(frozen=True, eq=False)
class Optimised:
    """Result of :class:`GaussNewton`.

    Attributes
    ----------
    field : Tensor, shape (N, D, *S) [voxel of grid]
        Displacement into the moving image, from the fixed image, or from half-way if the update is symmetric.
    grid : Grid
        Grid of the finest level.
    history : tuple of Iteration
        All iterations.
    stop : StopReason
        Why the last level ended.
    into_fixed : Tensor, shape (N, D, *S) [voxel of grid], optional
        Displacement from half-way into the fixed image, if the update is symmetric.
    """

    field: Tensor
    grid: Grid
    history: tuple[Iteration, ...]
    stop: StopReason
    into_fixed: Tensor | None = None


# Names of the parameters of the class, which are also its attributes.
_PARTS = (
    "levels",
    "lineariser",
    "regulariser",
    "solver",
    "update",
    "control",
    "damping",
    "momentum",
    "loss",
    "overlap",
    "log_lam",
)


class GaussNewton(nn.Module):
    """Gauss-Newton optimiser of ``½ Σ w |φ_M(x + u(x)) - φ_F(x)|² + λ/2 <u, R u>``, u a displacement of the fixed grid.

    With a symmetric update both images are displaced to a half-way space, and u is the difference of the displacements.

    An optimiser is not changed after it is made; :meth:`replaced` makes another one from it. Only training changes the
    values of its parameters.

    Parameters
    ----------
    levels : sequence of Level
        Levels, coarse to fine.
    lineariser : Lineariser
        Predicts residual and Jacobian; an ``nn.Module`` is trained through the steps.
    regulariser : Regulariser
    solver : NormalSolver
    update : Update
    control : StepControl
    damping : float
        Levenberg-Marquardt damping μ, as a fraction of the mean diagonal of JᵀWJ.
    momentum : float
        Fraction of the previous step that is added to the next. The coupled system needs none.
    loss : RobustLoss, optional
        Robust loss of the residual; by default its square.
    overlap : bool
        Leave out voxels that are mapped outside the moving image, instead of comparing them with its border.
    log_lam : nn.Parameter, shape (number of levels,), optional
        Logarithms of the learned factors of the schedule's λ, level by level; by default zeros that are not trained.

    Raises
    ------
    SettingsError
        If there is not one factor of λ for each level.

    Attributes
    ----------
    factor_parameters : tuple of str
        Names of the parameters that have one number per level; training uses a separate learning rate for them.

    Notes
    -----
    Every step solves ``(JᵀWJ + λ R + μ I) δ = -(JᵀWf + λ R u)`` with the full D x D block of every voxel.

    References
    ----------
    M. P. Heinrich, "Learning Registration Models with Differentiable Gauss-Newton Optimisation", MIDL 2022.
    """

    factor_parameters: ClassVar[tuple[str, ...]] = ("log_lam",)

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
        log_lam: nn.Parameter | None = None,
    ) -> None:
        super().__init__()
        self.levels: Final = tuple(levels)
        self.lineariser: Final = Analytic() if lineariser is None else lineariser
        self.regulariser: Final = Diffusion() if regulariser is None else regulariser
        self.solver: Final = NormalSolver() if solver is None else solver
        self.update: Final = Compositional() if update is None else update
        self.control: Final = StepControl() if control is None else control
        self.damping: Final = damping
        self.momentum: Final = momentum
        self.loss: Final = loss
        self.overlap: Final = overlap
        self.log_lam: Final = _log_lam(len(self.levels)) if log_lam is None else log_lam
        if self.log_lam.shape != (len(self.levels),):
            raise SettingsError(
                "levels of the schedule",
                f"{len(self.levels)}",
                f"{self.log_lam.numel()}, one for each trained factor of λ",
                "keep the number of levels",
            )

    def replaced(self, **changes: Any) -> GaussNewton:
        """Return an optimiser with other parts; it shares all others with this one, trained parameters included.

        Parameters
        ----------
        **changes
            Parameters of the class, by name: ``levels``, ``update``, ``control``, ...

        Returns
        -------
        GaussNewton
            New optimiser; this one is not changed.

        Raises
        ------
        SettingsError
            If the number of levels differs from the number of factors of λ.
        TypeError
            If the class has no such parameter.
        """
        parts = {name: getattr(self, name) for name in _PARTS}
        other = GaussNewton(**{**parts, **changes})
        other.training = self.training
        return other

    def lam(self, index: int) -> Tensor:
        """Return the regularisation weight λ of a level, a scalar in float64."""
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
        """Register the features of two images.

        Parameters
        ----------
        fixed, moving : FeatureImage
            Features with the same channels; the grids may differ.
        world : array, shape (D+1, D+1)
            Affine applied after the displacement, fixed RAS mm to moving RAS mm.
        initial : Tensor, shape (N, D, *S) [voxel], optional
            Initial displacement, on a grid of any shape over the fixed grid's extent.
        landmarks : LandmarkPairs, optional
            Landmarks that guide the registration; for one sample only.
        voxel : float, optional
            Voxel size of stride 1 [mm]; by default the finest spacing of the fixed features.
        callback : callable, optional
            Function that is called with every :class:`Iteration`.

        Returns
        -------
        Optimised

        Raises
        ------
        LandmarkError
            If landmarks are given for several samples, or have another number of dimensions.
        """
        if landmarks is not None:
            check_landmarks(landmarks, len(fixed.data), fixed.grid.ndim)
        energies = self._energies(fixed, moving, world, voxel, landmarks)
        u = self._first(fixed, energies[0].pair.grid, initial)
        history: list[Iteration] = []

        def report(record: Iteration) -> None:
            history.append(record)
            if callback is not None:
                callback(record)

        descent, stop = self._descent(), StopReason.ITERATIONS
        for level, energy in enumerate(energies):
            u, stop = descent.run(energy, sampling.resize_field(u, energy.pair.grid.shape), level, report)
        into_moving, into_fixed = u.chunk(2) if self.update.symmetric else (u, None)
        return Optimised(into_moving, energies[-1].pair.grid, tuple(history), stop, into_fixed)

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
        """Take a given number of whole steps, differentiably, for training.

        Every step is computed again in the backward pass, so that only one displacement per step is stored. Steps are
        neither guarded nor rejected, as step control has no derivative.

        Parameters
        ----------
        fixed, moving, world, initial, voxel
            As in :meth:`forward`.
        iterations : sequence of int, optional
            Number of steps of every level; by default that of the schedule.
        last : int, optional
            Differentiate only this number of steps at the end of every level, and no level through the next one. Near
            a level's solution the derivative of a single step is nearly that of all of them, at a fraction of the
            cost; through many steps with a small λ gradients grow without bound. By default all steps are
            differentiated.

        Returns
        -------
        list of (Tensor, Grid)
            The displacement at the end of every level, shape (N, D, *S) [voxel], and its grid; with a symmetric update
            both displacements, (2N, D, *S).
        """
        descent, energies = self._descent(), self._energies(fixed, moving, world, voxel)
        u = self._first(fixed, energies[0].pair.grid, initial)
        counts = [level.iterations for level in self.levels] if iterations is None else iterations
        ends = []
        for energy, count in zip(energies, counts, strict=True):
            u = sampling.resize_field(u if last is None else u.detach(), energy.pair.grid.shape)
            velocity = torch.zeros_like(self.update.whole(u))
            for index in range(count):
                with torch.set_grad_enabled(torch.is_grad_enabled() and (last is None or index >= count - last)):
                    if torch.is_grad_enabled():
                        u, velocity = checkpoint(descent.advance, energy, u, velocity, use_reentrant=False)
                    else:
                        u, velocity = descent.advance(energy, u, velocity)
            ends.append((u, energy.pair.grid))
        return ends

    def _descent(self) -> Descent:
        return Descent(self.solver, self.control, self.damping, self.momentum)

    def _energies(
        self,
        fixed: FeatureImage,
        moving: FeatureImage,
        world: FloatArray,
        voxel: float | None,
        landmarks: LandmarkPairs | None = None,
    ) -> list[Energy]:
        """Return the energy of every level, coarse to fine."""
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
        lineariser = self.lineariser if self.loss is None else Robust(self.lineariser, self.loss)
        return [
            Energy(
                pair,
                lineariser,
                self.regulariser.stiffness(pair.grid, pair.fixed.data),
                self.lam(index),
                self.update,
                None if landmarks is None else LandmarkTerm(landmarks, pair.grid, world, fixed.data),
            )
            for index, pair in enumerate(pairs)
        ]

    def _first(self, fixed: FeatureImage, grid: Grid, initial: Tensor | None) -> Tensor:
        """Return the initial displacement; with a symmetric update those from half-way into both images."""
        u = first_displacement(fixed, grid, initial)
        if not self.update.symmetric:
            return u
        if initial is None:
            return torch.cat([u, u])
        # Point x of the fixed image is half-way at m = x + d(x)/2; both halves are d(x(m))/2, with opposite signs.
        half = -invert(DisplacementField(u / 2, grid)).field.data
        return torch.cat([half, -half])


def _log_lam(levels: int) -> nn.Parameter:
    """Return the logarithms of the initial factors of λ, which are all one."""
    return nn.Parameter(torch.zeros(levels), requires_grad=False)
