"""Precision of the displacement between two images by the data term, and variance of the residual."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from learngn import kernels
from learngn.arrays import Array, by_parts, clamped, like, namespace, without_gradient, zeros
from learngn.geometry import sampling
from learngn.geometry.grid import Grid
from learngn.kernels import box_taps
from learngn.kernels.stencils import block_index, full_blocks
from learngn.linearise import Analytic, NormalEquations
from learngn.optimise import Energy
from learngn.solve import NormalOperator

VOXELS = 50_000  # largest number of voxels of the grid on which the covariance is estimated
# Constants of the model, chosen on training subjects and on phantoms (docs/numerics.md).
_PRIOR = 0.03  # λ of the prior, relative to that of the registration
_COMMON = 0.3  # part of the variance that is common to all voxels
_STRUCTURE, _RESIDUAL = 3, 5  # sides of the windows for structure and for the residual [voxel]
_SHIFT = 1e-4  # μ, relative to the mean diagonal


@dataclass(frozen=True, eq=False)
class Information:
    """Posterior precision of a displacement, ``A / variance``.

    Attributes
    ----------
    operator : NormalOperator
        A, for displacements in voxels of the finest level.
    grid : Grid
        Grid of A, over the extent of the finest level.
    variance : float
        Variance of a channel of the residual, for one voxel of this grid.
    """

    operator: NormalOperator
    grid: Grid
    variance: float


def information(energy: Energy, u: Array, voxels: int = VOXELS) -> Information:
    """Return the posterior precision at the result of a registration.

    Parameters
    ----------
    energy : Energy
        Energy of the finest level.
    u : Array, shape (1, D, *S), or (2, D, *S) of a symmetric update [voxel]
        The result.
    voxels : int
        Largest number of voxels of the grid.

    Returns
    -------
    Information
    """
    with without_gradient():
        fine = energy.pair.grid
        grid = coarse_grid(fine, voxels)
        blocks, squares, weight = _compared(energy, u, grid.shape)
        total = float(namespace(weight).sum(weight))
        variance = float(namespace(squares).sum(squares)) / max(total, 1e-12)
        blocks = blocks * (1 / _relative(squares, weight, variance))
        if energy.landmarks is not None:
            blocks, variance = _with_landmarks(energy, u, grid.shape, blocks, variance)
        lam = like([_PRIOR * float(energy.lam)], blocks)
        stiffness = energy.stiffness.coarsened(fine.shape, grid.shape).scaled(lam)
        xp = namespace(blocks)
        level = float(kernels.mean_diagonal(blocks)[0]) + float(xp.mean(stiffness.weights))
        operator = NormalOperator(blocks, stiffness, like([_SHIFT * level], blocks))
        return Information(operator, grid, max(variance, 1e-12) * grid.size / fine.size)


def coarse_grid(grid: Grid, voxels: int) -> Grid:
    """Return the finest grid over the same extent with at most `voxels` voxels."""
    spacing, coarse = float(grid.spacing.min()), grid
    while coarse.size > voxels:
        spacing *= 1.05
        coarse = grid.coarsened(spacing)
    return coarse


def _compared(energy: Energy, u: Array, shape: tuple[int, ...]) -> tuple[Array, Array, Array]:
    """Return blocks of the structure in both images, ``w |f|²`` per channel, and w, as means over coarse voxels."""
    compared = energy.pair.compared(u)
    fixed, warped, weight = compared.fixed, compared.warped, compared.weight
    features = fixed.shape[2:]

    def square(a: Array, b: Array) -> Array:
        xp = namespace(a, b)
        return xp.mean((b - a) ** 2, axis=1, keepdims=True)

    squares = by_parts(square, fixed, warped)
    known = namespace(squares).ones_like(squares) if weight is None else weight
    both = Analytic().normal_equations(fixed, warped, weight).blocks
    # With one sign changed, the mean of both gradients becomes half of their difference: the gradient of the residual.
    warped *= -1
    apart = Analytic().normal_equations(fixed, warped, weight).blocks
    blocks = sampling.pool(both - apart, shape)
    refinement = [n / m for n, m in zip(features, energy.pair.grid.shape, strict=True)]
    unit = [refinement[a] * refinement[b] for a, b in block_index(len(shape))]
    blocks = blocks * like(np.reshape(unit, (1, -1, *[1] * len(shape))), blocks)
    return _positive(_averaged(blocks, _STRUCTURE)), sampling.pool(known * squares, shape), sampling.pool(known, shape)


def _averaged(image: Array, width: int) -> Array:
    """Average an image over windows."""
    return kernels.resample(image, [box_taps(n, width) for n in image.shape[2:]])


def _positive(blocks: Array) -> Array:
    """Return the nearest positive semi-definite blocks."""
    xp, ndim = namespace(blocks), blocks.ndim - 2
    values, vectors = xp.linalg.eigh(full_blocks(blocks, ndim))
    scaled = vectors * xp.sqrt(clamped(values, 0.0))[..., None, :]
    return xp.stack([xp.sum(scaled[..., a, :] * scaled[..., b, :], axis=-1) for a, b in block_index(ndim)], axis=1)


def _relative(squares: Array, weight: Array, variance: float) -> Array:
    """Return the local variance of the residual relative to its mean, never below a part that all voxels share."""
    xp = namespace(squares)
    local = _averaged(squares, _RESIDUAL) / clamped(_averaged(weight, _RESIDUAL), 1e-3)
    local = xp.where(_averaged(weight, _RESIDUAL) > 1e-3, local, xp.ones_like(local) * variance)
    return _COMMON + (1 - _COMMON) * local / max(variance, 1e-12)


def _with_landmarks(
    energy: Energy, u: Array, shape: tuple[int, ...], blocks: Array, variance: float
) -> tuple[Array, float]:
    """Add the precision of landmarks; without features, their residual is the only one."""
    term = energy.landmarks
    if term is None:
        return blocks, variance
    ndim = len(shape)
    empty = zeros((1, len(block_index(ndim)), *energy.pair.grid.shape), blocks)
    nothing = NormalEquations(empty, zeros((1, ndim, *energy.pair.grid.shape), blocks), zeros((1,), blocks))
    normal = term.add_to(nothing, u)
    if variance == 0:
        variance = 2 * float(namespace(normal.energy).sum(normal.energy)) / prod(term.fixed.shape)
    return blocks + sampling.pool(normal.blocks, shape), variance
