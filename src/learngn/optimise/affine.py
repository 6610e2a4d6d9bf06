"""Linear pre-alignment: robust start, then Gauss-Newton on 6 to 12 parameters."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from scipy.linalg import expm
from torch import Tensor

from learngn import sampling
from learngn.features import FeatureImage
from learngn.grid import FloatArray, Grid
from learngn.kernels.reference import block_index
from learngn.linearise import Analytic, NormalEquations

_FARTHEST = 10.0  # parameter of a step: once the extent, or a scale of e^10


@dataclass(frozen=True)
class AffineResult:
    """Outcome of :class:`AffineGaussNewton`.

    Attributes
    ----------
    matrix : array, shape (D+1, D+1)
        Fixed RAS mm to moving RAS mm.
    energy : float
        Mean of ½ |f|² over the voxels that both images cover.
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
    spacings : sequence of float
        Voxel sizes of the levels, coarse to fine, as fractions of the fixed image's longest side.
    iterations : int
        At most so many steps a level.
    smallest_overlap : float
        A transform that leaves a smaller part of the smaller image covered is refused: two images that barely touch
        agree well.
    max_scale : float
        Largest stretch along any axis, or shrinkage by its inverse.

    Notes
    -----
    A step is ``T <- T exp(Σ_k p_k E_k)`` with the generators E_k of translations and of all linear maps about the
    fixed image's centre. The normal equations of p follow from the blocks and gradients that a dense displacement
    would have: a displacement linear in x needs only their moments up to second order.
    """

    spacings: tuple[float, ...] = (1 / 12, 1 / 24, 1 / 48)
    iterations: int = 20
    smallest_overlap: float = 0.3
    max_scale: float = 2.0

    def __call__(self, fixed: FeatureImage, moving: FeatureImage, starts: dict[str, FloatArray]) -> AffineResult:
        """Refine every start on the coarsest level, and the best of them on all.

        Parameters
        ----------
        fixed, moving : FeatureImage
        starts : dict of arrays, shape (D+1, D+1)
            Named first guesses, fixed RAS mm to moving RAS mm.
        """
        extent = float(fixed.grid.extent.max())
        levels = [
            (fixed.on(fixed.grid.coarsened(part * extent)), moving.on(moving.grid.coarsened(part * extent)))
            for part in self.spacings
        ]
        best: AffineResult | None = None
        for name, start in starts.items():
            matrix, energy = self._refine(*levels[0], start)
            if best is None or energy < best.energy:
                best = AffineResult(matrix, energy, name)
        if best is None:
            return AffineResult(np.eye(fixed.grid.ndim + 1), float("inf"), "none")
        matrix, energy = best.matrix, best.energy
        for level in levels[1:]:
            matrix, energy = self._refine(*level, matrix)
        return AffineResult(matrix, energy, best.start)

    def _refine(self, fixed: FeatureImage, moving: FeatureImage, matrix: FloatArray) -> tuple[FloatArray, float]:
        """Levenberg-Marquardt from `matrix`."""
        generators = _generators(fixed.grid)
        state, energy = _evaluate(fixed, moving, matrix, self.smallest_overlap)
        damping = 1e-3
        for _ in range(self.iterations):
            hessian, gradient = _project(state, fixed.grid, generators)
            step = -np.linalg.solve(hessian + damping * np.diag(np.diag(hessian) + 1e-12), gradient)
            # Scans that contradict each other, one its own negative for example: a step out of all bounds has no image.
            trial = matrix @ expm(np.einsum("k,kab->ab", step.clip(-_FARTHEST, _FARTHEST), generators))
            trial_state, trial_energy = _evaluate(fixed, moving, trial, self.smallest_overlap)
            stretch = np.linalg.svd(trial[:-1, :-1], compute_uv=False)
            if trial_energy < energy and stretch.max() < self.max_scale and stretch.min() > 1 / self.max_scale:
                settled = energy - trial_energy < 1e-4 * energy
                matrix, state, energy, damping = trial, trial_state, trial_energy, damping / 4
                if settled:
                    break
            else:
                damping *= 8
                if damping > 1e4:
                    break
        return matrix, energy


def _evaluate(
    fixed: FeatureImage, moving: FeatureImage, matrix: FloatArray, smallest_overlap: float
) -> tuple[NormalEquations, float]:
    """Normal equations of a dense displacement, and the mean energy over the overlap."""
    shape = fixed.grid.shape
    to_moving = fixed.grid.index_map(moving.grid, matrix)
    warped = sampling.warp(moving.data, None, to_moving, shape)
    within = sampling.inside(moving.data.shape[2:], None, to_moving, shape, warped).to(torch.float32)
    normal = Analytic().normal_equations(fixed.data, warped, within)
    covered = float(within.mean())
    # Of the smaller image: a scan of the liver alone cannot cover one of the trunk.
    smaller = min(1.0, float(np.prod(moving.grid.extent) / np.prod(fixed.grid.extent)))
    energy = float(normal.energy.sum()) / fixed.grid.size
    return normal, energy / covered if covered >= smallest_overlap * smaller else float("inf")


def _generators(grid: Grid) -> FloatArray:
    """Translations [10 % of the extent] and linear maps about the centre, shape (D + D², D+1, D+1) [RAS mm]."""
    ndim, size = grid.ndim, float(grid.extent.max())
    generators = []
    for axis in range(ndim):
        shift = np.zeros((ndim + 1, ndim + 1))
        shift[axis, -1] = 0.1 * size
        generators.append(shift)
    for row, column in product(range(ndim), repeat=2):
        linear = np.zeros((ndim + 1, ndim + 1))
        linear[row, column] = 1
        linear[:-1, -1] = -linear[:-1, :-1] @ grid.centre
        generators.append(linear)
    return np.stack(generators)


def _project(normal: NormalEquations, grid: Grid, generators: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Hessian, shape (P, P), and gradient, shape (P,), for the generators' parameters."""
    ndim = grid.ndim
    inverse = np.linalg.inv(grid.affine)
    # A generator's displacement in voxels at index x is (own @ [x, 1])[:D].
    own = np.stack([inverse @ g @ grid.affine for g in generators])[:, :ndim]
    device = normal.blocks.device
    axes = [torch.arange(n, dtype=torch.float64, device=device) for n in grid.shape]
    lattice = torch.meshgrid(*axes, indexing="ij")
    index = torch.stack([*lattice, torch.ones_like(lattice[0])])
    x = index.flatten(1)
    gradient = np.einsum("kai,ai->k", own, (normal.gradient[0].double().flatten(1) @ x.T).cpu().numpy())
    hessian = np.zeros((len(own), len(own)))
    blocks = normal.blocks[0].double().flatten(1)
    for k, (a, b) in enumerate(block_index(ndim)):
        moments = ((x * blocks[k]) @ x.T).cpu().numpy()
        part = np.einsum("ki,ij,lj->kl", own[:, a], moments, own[:, b])
        hessian += part if a == b else part + part.T
    return hessian, gradient


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
