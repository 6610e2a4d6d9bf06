"""Energy of one level of the schedule: value, linearisation, quadratic model."""

from __future__ import annotations

from dataclasses import dataclass

from learngn import kernels
from learngn.arrays import Array, full_like_shape, like, namespace, without_gradient
from learngn.linearise import Lineariser, NormalEquations
from learngn.optimise.landmarks import LandmarkTerm
from learngn.optimise.levels import PairLevel
from learngn.optimise.update import Update
from learngn.regularise import Stiffness


@dataclass(frozen=True, eq=False)
class Point:
    """Displacement with its energy.

    Attributes
    ----------
    u : Array, shape (N, D, *S), or (2N, D, *S) of a symmetric update [voxel]
    data, regularity : float
        Data term and regularisation term of the energy, each a mean over the voxels [feature²].
    covered : float
        Mean weight of the voxels at the first displacement of the level.
    """

    u: Array
    data: float
    regularity: float
    covered: float

    @property
    def total(self) -> float:
        """Total energy, a mean over the voxels [feature²]."""
        return self.data + self.regularity


@dataclass(frozen=True, eq=False)
class State(Point):
    """Displacement with its energy and the linearisation there.

    Attributes
    ----------
    normal : NormalEquations
        Normal equations of the data term, landmarks included.
    elastic : Array, shape (N, D, *S)
        R u of the displacement between the images.
    """

    normal: NormalEquations
    elastic: Array

    @property
    def point(self) -> Point:
        """The displacement and its energy alone; the linearisation takes several times their memory."""
        return Point(self.u, self.data, self.regularity, self.covered)


@dataclass(frozen=True, eq=False)
class QuadraticModel:
    """Gauss-Newton's model of the change of the energy by a step δ: ``½ <δ, (B + λ R) δ> - <rhs, δ>``.

    Attributes
    ----------
    blocks : Array, shape (N, K, *S)
        B = JᵀWJ, upper triangle row by row.
    stiffness : Stiffness
        R.
    lam : Array, shape (N,)
        λ.
    rhs : Array, shape (N, D, *S)
        Negative gradient of the energy.
    """

    blocks: Array
    stiffness: Stiffness
    lam: Array
    rhs: Array


@dataclass(frozen=True, eq=False)
class Energy:
    """``½ Σ w |φ_M(x + u(x)) - φ_F(x)|² + λ/2 <u, R u>`` on one level, as a function of the displacement u.

    Attributes
    ----------
    pair : PairLevel
        Features of both images.
    lineariser : Lineariser
        Predicts residual and Jacobian.
    stiffness : Stiffness
        Operator R of the regulariser.
    lam : float or Array of one number
        Regularisation weight λ [feature²].
    update : Update
        How a step is joined to the displacement; it determines the displacement that is regularised, and the gradient
        by the step.
    landmarks : LandmarkTerm, optional
        Landmarks that guide the registration.
    """

    pair: PairLevel
    lineariser: Lineariser
    stiffness: Stiffness
    lam: float | Array
    update: Update
    landmarks: LandmarkTerm | None = None

    def __call__(self, u: Array, covered: float | None = None) -> State:
        """Evaluate the energy and its linearisation.

        Parameters
        ----------
        u : Array, shape (N, D, *S), or (2N, D, *S) of a symmetric update [voxel]
        covered : float, optional
            :attr:`Point.covered` of the level's first state; None if this is the first state.

        Returns
        -------
        State
        """
        compared, whole = self.pair.compared(u), self.update.whole(u)
        normal = self.lineariser.normal_equations(compared.fixed, compared.warped, compared.weight)
        features = normal.energy
        if self.landmarks is not None:
            normal = self.landmarks.add_to(normal, u)
        elastic = self.stiffness(whole)
        with without_gradient():
            regularity = float(self.lam) / 2 * kernels.dot(whole, elastic) / self.pair.voxels
            # The energy of the features is scaled to the weight at the beginning of the level: moving structures out of
            # the field of view must not lower it.
            covered = compared.covered if covered is None else covered
            xp = namespace(features)
            feature_energy, data_energy = float(xp.sum(features)), float(xp.sum(normal.energy))
            data = (data_energy + (covered / compared.covered - 1) * feature_energy) / self.pair.voxels
        return State(u, data, regularity, covered, normal, elastic)

    def quadratic(self, state: State) -> QuadraticModel:
        """Return the quadratic model about a state.

        The data term is linearised by the step, the regularisation term by the displacement.
        """
        lam = like(self.lam, state.u) * full_like_shape((len(state.elastic),), 1.0, state.u)
        gradient, elastic = state.normal.gradient, self.update.pull_back(state.u, state.elastic)
        rhs = kernels.combined(gradient, -1.0, elastic, -lam[0])
        return QuadraticModel(state.normal.blocks, self.stiffness, lam, rhs)
