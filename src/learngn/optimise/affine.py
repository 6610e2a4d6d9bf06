"""Linear pre-alignment: a search for the pose, then Gauss-Newton on the few parameters of a family of maps."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from learngn.features import FeatureImage, common_grids
from learngn.geometry.grid import FloatArray, Grid
from learngn.optimise.families import AFFINE, RIGID, Family
from learngn.optimise.levels import on_grids
from learngn.optimise.linear_problem import LinearLimits, LinearProblem
from learngn.optimise.pose import PoseSearch, quality

_BETTER = 2e-3  # concordance


@dataclass(frozen=True)
class AffineResult:
    """Outcome of :class:`AffineGaussNewton`.

    Attributes
    ----------
    matrix : array, shape (D+1, D+1)
        Fixed RAS mm to moving RAS mm.
    energy : float
        Mean of ½ w |f|² over the voxels that both images cover.
    start : str
        Which start led there.
    """

    matrix: FloatArray
    energy: float
    start: str


@dataclass(frozen=True)
class AffineGaussNewton:
    """Minimise the mean residual over the overlap, coarse to fine.

    Parameters
    ----------
    family : Family
        Which linear maps.
    spacings : sequence of float
        Voxel sizes of the levels, coarse to fine, as fractions of the fixed image's longest side.
    iterations : int
        At most so many steps a level.
    search : PoseSearch, optional
        Finds further starts; None for those that are given alone.
    limits : LinearLimits

    Notes
    -----
    A step is ``T <- T exp(Σ_k p_k E_k)`` with the generators E_k of the family. The normal equations of p follow from
    the blocks and gradients that a dense displacement would have: a displacement linear in x needs only their moments
    up to second order. Starts are refined as rigid maps on the coarsest level, where those are compared by concordance
    and overlap: the residual of two maps over different overlaps says little.
    """

    family: Family = AFFINE
    spacings: tuple[float, ...] = (1 / 12, 1 / 24, 1 / 48)
    iterations: int = 20
    search: PoseSearch | None = None
    limits: LinearLimits = field(default_factory=LinearLimits)

    def __call__(self, fixed: FeatureImage, moving: FeatureImage, starts: dict[str, FloatArray]) -> AffineResult:
        """Refine every start on the coarsest level, and the best of them on all.

        Parameters
        ----------
        fixed, moving : FeatureImage
            Their weights, if they have any, weigh the residual.
        starts : dict of arrays, shape (D+1, D+1)
            Named first guesses, fixed RAS mm to moving RAS mm: rigid ones, unless the family has more.
        """
        extent = float(fixed.grid.extent.max())
        pairs = [common_grids(fixed.grid, moving.grid, part * extent) for part in self.spacings]
        ours, theirs = (
            on_grids(image, grids) for image, grids in zip((fixed, moving), zip(*pairs, strict=True), strict=True)
        )
        levels = [LinearProblem(*pair, self.limits) for pair in zip(ours, theirs, strict=True)]
        candidates = list(starts.items())
        if self.search is not None:
            candidates += [("search", matrix) for matrix in self.search(ours[0], theirs[0])]
        best, name, height = None, "none", -np.inf
        for label, start in candidates:
            state = levels[0].refine(start, RIGID, self.iterations)
            score = float(quality(*map(np.asarray, levels[0].agreement(state.matrix))))
            # Of starts that lead to the same place the first: those that were given.
            if score > height + _BETTER and np.isfinite(state.energy):
                best, name, height = state, label, score
        if best is None:
            return AffineResult(np.eye(fixed.grid.ndim + 1), float("inf"), "none")
        for level in levels:
            best = level.refine(best.matrix, self.family, self.iterations)
        return AffineResult(best.matrix, best.data, name)


def centre_of_mass(weights: Tensor, grid: Grid) -> FloatArray:
    """Centre of mass of non-negative weights, shape (1, 1, *S), in RAS mm; the grid's centre when they vanish."""
    total = float(weights.sum(dtype=torch.float64))
    if total <= 0:
        return grid.centre
    index = []
    for axis, n in enumerate(grid.shape):
        profile = weights[0, 0].sum(dim=[a for a in range(grid.ndim) if a != axis], dtype=torch.float64)
        index.append(float((profile * torch.arange(n, device=profile.device)).sum()) / total)
    return grid.index_to_world(index)


def translation_starts(fixed: Grid, moving: Grid, masses: tuple[FloatArray, FloatArray]) -> dict[str, FloatArray]:
    """First guesses: as the headers say, centre on centre, centre of mass on centre of mass."""
    starts = {"header": np.eye(fixed.ndim + 1)}
    for name, ours, theirs in (("centre", fixed.centre, moving.centre), ("mass", *masses)):
        matrix = np.eye(fixed.ndim + 1)
        matrix[:-1, -1] = theirs - ours
        starts[name] = matrix
    return starts
