"""Gauss-Newton for a dense displacement, coarse to fine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any

from learngn.arrays import Array, namespace
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
from learngn.optimise.levels import averaged_fields, first_displacement, levels_of_pair
from learngn.optimise.step_control import StepControl
from learngn.optimise.update import Compositional, Update, halves
from learngn.regularise import Diffusion, Regulariser
from learngn.settings import Level
from learngn.solve import NormalSolver


@dataclass(frozen=True, eq=False)
class Optimised:
    """Result of :class:`GaussNewton`.

    Attributes
    ----------
    field : Array, shape (N, D, *S) [voxel of grid]
        Displacement into the moving image, from the fixed image, or from half-way if the update is symmetric.
    grid : Grid
        Grid of the finest level.
    history : tuple of Iteration
        All iterations.
    stop : StopReason
        Why the last level ended.
    into_fixed : Array, shape (N, D, *S) [voxel of grid], optional
        Displacement from half-way into the fixed image, if the update is symmetric.
    energy : Energy, optional
        Energy of the finest level; None for a method without normal equations.
    """

    field: Array
    grid: Grid
    history: tuple[Iteration, ...]
    stop: StopReason
    into_fixed: Array | None = None
    energy: Energy | None = None


@dataclass(frozen=True, eq=False)
class GaussNewton:
    """Gauss-Newton optimiser of ``½ Σ w |φ_M(x + u(x)) - φ_F(x)|² + λ/2 <u, R u>``, u a displacement of the fixed grid.

    With a symmetric update both images are displaced to a half-way space, and u is the difference of the displacements.

    An optimiser is not changed after it is made; :meth:`replaced` makes another one from it.

    Parameters
    ----------
    levels : sequence of Level
        Levels, coarse to fine.
    lineariser : Lineariser
        Predicts residual and Jacobian; a module of PyTorch can be trained through the steps.
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
    log_lam : Array, shape (number of levels,), optional
        Logarithms of the learned factors of the schedule's λ, level by level; by default the schedule's λ is used.

    Raises
    ------
    SettingsError
        If there is not one factor of λ for each level.

    Notes
    -----
    Every step solves ``(JᵀWJ + λ R + μ I) δ = -(JᵀWf + λ R u)`` with the full D x D block of every voxel.

    References
    ----------
    M. P. Heinrich, "Learning Registration Models with Differentiable Gauss-Newton Optimisation", MIDL 2022.
    """

    levels: Sequence[Level]
    _: KW_ONLY
    lineariser: Lineariser = field(default_factory=Analytic)
    regulariser: Regulariser = field(default_factory=Diffusion)
    solver: NormalSolver = field(default_factory=NormalSolver)
    update: Update = field(default_factory=Compositional)
    control: StepControl = field(default_factory=StepControl)
    damping: float = 1e-3
    momentum: float = 0.0
    loss: RobustLoss | None = None
    overlap: bool = False
    log_lam: Array | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", tuple(self.levels))
        if self.log_lam is not None and tuple(self.log_lam.shape) != (len(self.levels),):
            raise SettingsError(
                "levels of the schedule",
                f"{len(self.levels)}",
                f"{len(self.log_lam)}, one for each trained factor of λ",
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
        return replace(self, **changes)

    def lam(self, index: int) -> Array:
        """Return the regularisation weight λ of a level: a float, or if it is learned an array of float64."""
        if self.log_lam is None:
            return self.levels[index].lam
        xp = namespace(self.log_lam)
        return self.levels[index].lam * xp.exp(xp.astype(self.log_lam, xp.float64))[index]

    def __call__(
        self,
        fixed: FeatureImage,
        moving: FeatureImage,
        world: FloatArray,
        initial: Array | None = None,
        *,
        detailed: bool = False,
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
        initial : Array, shape (N, D, *S) [voxel], optional
            Initial displacement, on a grid of any shape over the fixed grid's extent.
        detailed : bool
            Add the detail of the initial displacement that a coarse level cannot hold on the finer one, so that coarse
            levels correct it and do not smooth it. By default it is resized to the coarsest level.
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
        energies = self.energies(fixed, moving, world, voxel, landmarks)
        grids = [energy.pair.grid for energy in energies]
        given: list[Array] = []
        if initial is not None and detailed:
            given = [self.first(fixed, *part) for part in zip(grids, averaged_fields(initial, grids), strict=True)]
        u = given[0] if given else self.first(fixed, grids[0], initial)
        history: list[Iteration] = []

        def report(record: Iteration) -> None:
            history.append(record)
            if callback is not None:
                callback(record)

        descent, stop = self.descent(), StopReason.ITERATIONS
        for level, energy in enumerate(energies):
            u = sampling.resize_field(u, grids[level].shape)
            if level and given:
                u = u + (given[level] - sampling.resize_field(given[level - 1], grids[level].shape))
            u, stop = descent.run(energy, u, level, report)
        into_moving, into_fixed = halves(u) if self.update.symmetric else (u, None)
        return Optimised(into_moving, energies[-1].pair.grid, tuple(history), stop, into_fixed, energies[-1])

    def descent(self) -> Descent:
        """Return the minimisation of the energy of a level."""
        return Descent(self.solver, self.control, self.damping, self.momentum)

    def energies(
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

    def first(self, fixed: FeatureImage, grid: Grid, initial: Array | None) -> Array:
        """Return the initial displacement; with a symmetric update those from half-way into both images."""
        u = first_displacement(fixed, grid, initial)
        if not self.update.symmetric:
            return u
        if initial is None:
            return namespace(u).concat([u, u])
        # Point x of the fixed image is half-way at m = x + d(x)/2; both halves are d(x(m))/2, with opposite signs.
        half = -invert(DisplacementField(u / 2, grid)).field.data
        return namespace(u).concat([half, -half])
