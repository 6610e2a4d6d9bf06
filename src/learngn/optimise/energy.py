"""Energy of one level of the schedule: its value, its linearisation, its quadratic model."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from learngn import kernels
from learngn.linearise import Lineariser, NormalEquations
from learngn.optimise.landmarks import LandmarkTerm
from learngn.optimise.levels import PairLevel
from learngn.optimise.update import Update
from learngn.regularise import Stiffness


@dataclass(frozen=True, eq=False)
class State:
    """A displacement with its energy and the linearisation there.

    Attributes
    ----------
    u : Tensor, shape (N, D, *S), or (2N, D, *S) of a symmetric update [voxel]
    normal : NormalEquations
        Of the data term, landmarks included.
    elastic : Tensor, shape (N, D, *S)
        R u of the whole displacement.
    data, regularity : float
        Both parts of the energy, each a mean over the voxels [feature²].
    covered : float
        Mean weight of the voxels in the state that the level began with.
    """

    u: Tensor
    normal: NormalEquations
    elastic: Tensor
    data: float
    regularity: float
    covered: float

    @property
    def total(self) -> float:
        """Whole energy, a mean over the voxels [feature²]."""
        return self.data + self.regularity


@dataclass(frozen=True, eq=False)
class QuadraticModel:
    """Gauss-Newton's model ``½ <δ, (B + λ R) δ> - <rhs, δ>`` of how the energy changes with a step δ.

    Attributes
    ----------
    blocks : Tensor, shape (N, K, *S)
        B = JᵀWJ, upper triangle row by row.
    stiffness : Stiffness
        R.
    lam : Tensor, shape (N,)
        λ.
    rhs : Tensor, shape (N, D, *S)
        Negative gradient of the energy.
    """

    blocks: Tensor
    stiffness: Stiffness
    lam: Tensor
    rhs: Tensor


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
        R.
    lam : Tensor, a scalar in float64
        λ [feature²].
    update : Update
        How a step joins the displacement: decides what the regulariser sees, and the gradient by the step.
    landmarks : LandmarkTerm, optional
        Points that pull.
    """

    pair: PairLevel
    lineariser: Lineariser
    stiffness: Stiffness
    lam: Tensor
    update: Update
    landmarks: LandmarkTerm | None = None

    def __call__(self, u: Tensor, covered: float | None = None) -> State:
        """Evaluate the energy and its linearisation.

        Parameters
        ----------
        u : Tensor, shape (N, D, *S), or (2N, D, *S) of a symmetric update [voxel]
        covered : float, optional
            :attr:`State.covered` of the level's first state; by default `u` is the first.

        Returns
        -------
        State
        """
        seen, whole = self.pair.compared(u), self.update.whole(u)
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

    def quadratic(self, state: State) -> QuadraticModel:
        """Return the quadratic model about a state.

        The data term is linearised in the step itself, the regulariser in the displacement.
        """
        lam = self.lam.to(state.u).expand(len(state.elastic))
        gradient, elastic = state.normal.gradient, self.update.pull_back(state.u, state.elastic)
        best = kernels.best(gradient, elastic, lam)
        rhs = best.combined(gradient, -torch.ones_like(lam[0]), elastic, -lam[0])
        return QuadraticModel(state.normal.blocks, self.stiffness, lam, rhs)
