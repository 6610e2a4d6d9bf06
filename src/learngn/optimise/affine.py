"""Linear pre-alignment: a pose search, then Gauss-Newton for the parameters of a family of linear maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from learngn.arrays import Array, as_numpy, namespace
from learngn.features import FeatureImage, common_grids
from learngn.geometry.grid import FloatArray, Grid, apply_affine
from learngn.optimise.families import AFFINE, RIGID, TRANSLATION, Family
from learngn.optimise.levels import on_grids
from learngn.optimise.linear_problem import LinearLimits, LinearProblem
from learngn.optimise.pose import PoseSearch, quality

_BETTER = 2e-3  # least gain in concordance by which a start replaces an earlier one
_SAME = 0.1  # distance within which two starts are the same [voxel of the coarsest level]


@dataclass(frozen=True)
class AffineResult:
    """Result of :class:`AffineGaussNewton`.

    Attributes
    ----------
    matrix : array, shape (D+1, D+1)
        Linear map, fixed RAS mm to moving RAS mm.
    energy : float
        Mean of ½ w |f|² over the voxels that both images cover.
    start : str
        Name of the start that led to it.
    score : float
        Concordance and overlap on the finest level, comparable between maps; see :func:`learngn.optimise.pose.quality`.
    """

    matrix: FloatArray
    energy: float
    start: str
    score: float = -np.inf


@dataclass(frozen=True)
class AffineGaussNewton:
    """Gauss-Newton optimiser of a linear map: minimises the mean residual over the overlap, coarse to fine.

    Parameters
    ----------
    family : Family
        Family of linear maps.
    spacings : sequence of float
        Voxel sizes of the levels, coarse to fine, as fractions of the fixed image's longest side.
    iterations : int
        Largest number of steps per level.
    search : PoseSearch, optional
        Search for further starts; None to use only the given ones.
    limits : LinearLimits

    Notes
    -----
    A step is ``T <- T exp(Σ_k p_k E_k)`` with the generators E_k of the family. The normal equations of p follow from
    the blocks and gradients of a dense displacement: a displacement linear in x needs only their moments up to second
    order. Starts are refined as rigid maps, or translations, on the coarsest level and compared there by concordance
    and overlap, since the residuals of two maps over different overlaps are not comparable.
    """

    family: Family = AFFINE
    spacings: tuple[float, ...] = (1 / 12, 1 / 24, 1 / 48)
    iterations: int = 20
    search: PoseSearch | None = None
    limits: LinearLimits = field(default_factory=LinearLimits)

    def __call__(self, fixed: FeatureImage, moving: FeatureImage, starts: dict[str, FloatArray]) -> AffineResult:
        """Refine every start on the coarsest level, and the best of them on all levels.

        Parameters
        ----------
        fixed, moving : FeatureImage
            Features; their weights, if any, weight the residual.
        starts : dict of arrays, shape (D+1, D+1)
            Initial maps by name, fixed RAS mm to moving RAS mm; rigid ones, unless the family has more.
        """
        extent = float(fixed.grid.extent.max())
        pairs = [common_grids(fixed.grid, moving.grid, part * extent) for part in self.spacings]
        fixed_levels, moving_levels = (
            on_grids(image, grids) for image, grids in zip((fixed, moving), zip(*pairs, strict=True), strict=True)
        )
        levels = [LinearProblem(*pair, self.limits) for pair in zip(fixed_levels, moving_levels, strict=True)]
        candidates = list(starts.items())
        if self.search is not None:
            candidates += [("search", matrix) for matrix in self.search(fixed_levels[0], moving_levels[0])]
        best, name, best_score = None, "none", -np.inf
        first = self.family if self.family is TRANSLATION else RIGID
        seen: list[FloatArray] = []  # starts, and the maps to which they have led
        for label, start in candidates:
            if any(_distance(start, other, levels[0].grid) < _SAME for other in seen):
                continue
            state = levels[0].refine(start, first, self.iterations)
            seen += [start, state.matrix]
            score = float(quality(*map(np.asarray, levels[0].agreement(state.matrix))))
            # Of starts that lead to the same map the first is kept: the given ones come first.
            if score > best_score + _BETTER and np.isfinite(state.energy):
                best, name, best_score = state, label, score
        if best is None:
            return AffineResult(np.eye(fixed.grid.ndim + 1), float("inf"), "none")
        for level in levels:
            best = level.refine(best.matrix, self.family, self.iterations)
        score = float(quality(*map(np.asarray, levels[-1].agreement(best.matrix))))
        return AffineResult(best.matrix, best.data, name, score)


def _distance(first: FloatArray, second: FloatArray, grid: Grid) -> float:
    """Return the largest distance between two maps of a grid's corners [voxel]."""
    corners = grid.index_to_world(list(product(*[(-0.5, n - 0.5) for n in grid.shape])))
    apart = np.linalg.norm(apply_affine(first, corners) - apply_affine(second, corners), axis=1)
    return float(apart.max() / grid.spacing.min())


def centre_of_mass(image: Array, grid: Grid, weight: Callable[[Array], Array] | None = None) -> FloatArray:
    """Return the centre of mass in RAS mm; the grid's centre if all weights are zero.

    Parameters
    ----------
    image : Array, shape (1, 1, *S)
    grid : Grid
    weight : callable, optional
        Returns the weights, ≥ 0, of a plane of the image; by default the image's values are the weights.
    """
    xp, first, plane = namespace(image), [], None
    for values in image[0, 0]:  # without weights of the whole image
        weights = xp.astype(values if weight is None else weight(values), xp.float64)
        first.append(xp.sum(weights))
        if plane is None:
            plane = weights
        else:
            plane += weights
    profiles = [as_numpy(xp.stack(first))]
    total = float(profiles[0].sum())
    if plane is None or total <= 0:
        return grid.centre
    for axis in range(plane.ndim):
        others = tuple(a for a in range(plane.ndim) if a != axis)
        profiles.append(as_numpy(xp.sum(plane, axis=others) if others else plane))
    return grid.index_to_world([float(profile @ np.arange(len(profile))) / total for profile in profiles])


def translation_starts(fixed: Grid, moving: Grid, masses: tuple[FloatArray, FloatArray]) -> dict[str, FloatArray]:
    """Return initial maps: the identity, that of centre to centre, and that of centre of mass to centre of mass."""
    starts = {"header": np.eye(fixed.ndim + 1)}
    for name, fixed_point, moving_point in (("centre", fixed.centre, moving.centre), ("mass", *masses)):
        matrix = np.eye(fixed.ndim + 1)
        matrix[:-1, -1] = moving_point - fixed_point
        starts[name] = matrix
    return starts
