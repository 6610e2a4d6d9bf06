"""Samples of a normal distribution whose precision is a normal operator."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from learngn.arrays import Array, like, namespace, narrow, zeros
from learngn.kernels.stencils import full_blocks
from learngn.regularise import Stiffness
from learngn.solve import Multigrid, NormalOperator, conjugate_gradients

_ITERATIONS = 60


def samples(operator: NormalOperator, count: int, *, tolerance: float = 1e-2, seed: int = 0) -> Array:
    """Draw samples with the covariance ``A⁻¹``, by perturbing the right side of ``A x = 0`` and solving it.

    Parameters
    ----------
    operator : NormalOperator
        A of one sample, (1, ...); its shift must be positive.
    count : int
        Number of samples, which are solved together.
    tolerance : float
        Relative residual of the solutions.
    seed : int
        Seed of the random numbers.

    Returns
    -------
    Array, shape (count, D, *S)

    Notes
    -----
    The right side is ``(B + μ I)^½ e + (λ R)^½ e'`` with white noise e, of a number for each component, and e', of a
    number for each component and face between two voxels: its covariance is A, thus that of the solution A⁻¹. The root
    of the blocks is Cholesky's; that of ``R = Σ_b ∂_bᵀ w_b c_b ∂_b`` is ``∂_bᵀ (w_b c_b)^½``, and that of ``R = L²`` L.

    References
    ----------
    Papandreou and Yuille, "Gaussian sampling by local perturbations", 2010.
    """
    blocks, xp = operator.blocks, namespace(operator.blocks)
    generator = np.random.default_rng(seed)
    rhs = _block_noise(operator, count, generator) + _elastic_noise(operator, count, generator)
    weights = operator.stiffness.weights
    weights = xp.concat([xp.reshape(weights, (1, *weights.shape[-2:]))] * count)
    batch = NormalOperator(
        xp.concat([blocks] * count),
        replace(operator.stiffness, weights=weights),
        xp.concat([operator.shift] * count),
    )
    solution, _ = conjugate_gradients(batch, rhs, Multigrid(batch), tolerance=tolerance, iterations=_ITERATIONS)
    return solution


def _noise(shape: tuple[int, ...], array: Array, generator: np.random.Generator) -> Array:
    xp = namespace(array)
    kind = np.float64 if array.dtype == xp.float64 else np.float32
    return like(generator.standard_normal(shape, dtype=kind), array)


def _block_noise(operator: NormalOperator, count: int, generator: np.random.Generator) -> Array:
    """Return noise with the covariance ``B + μ I``, voxel by voxel."""
    blocks, xp = operator.blocks, namespace(operator.blocks)
    ndim, shape = blocks.ndim - 2, tuple(blocks.shape[2:])
    rows = _cholesky(full_blocks(blocks, ndim), operator.shift[0])
    noise = _noise((count, ndim, *shape), blocks, generator)
    parts = []
    for a in range(ndim):
        total = rows[a, 0] * noise[:, 0]
        for b in range(1, a + 1):
            total = total + rows[a, b] * noise[:, b]
        parts.append(total)
    return xp.stack(parts, axis=1)


def _cholesky(matrices: Array, shift: Array) -> dict[tuple[int, int], Array]:
    """Return the entries of the lower Cholesky factor of ``matrices + shift``, (1, *S, D, D), each (1, *S)."""
    xp, ndim = namespace(matrices), matrices.shape[-1]
    least = 1e-6 * shift  # rounding may make a pivot negative
    factor: dict[tuple[int, int], Array] = {}
    for a in range(ndim):
        for b in range(a + 1):
            entry = matrices[..., a, b] + (shift if a == b else 0)
            for k in range(b):
                entry = entry - factor[a, k] * factor[b, k]
            factor[a, b] = xp.sqrt(xp.maximum(entry, least)) if a == b else entry / factor[b, b]
    return factor


def _elastic_noise(operator: NormalOperator, count: int, generator: np.random.Generator) -> Array:
    """Return noise with the covariance λ R."""
    blocks, stiffness = operator.blocks, operator.stiffness
    xp, ndim, shape = namespace(blocks), blocks.ndim - 2, tuple(blocks.shape[2:])
    if stiffness.order == 2:
        laplacian = replace(stiffness, weights=xp.reshape(stiffness.weights, (-1, ndim, ndim))[0], order=1)
        return laplacian(_noise((count, ndim, *shape), blocks, generator))
    out = zeros((count, ndim, *shape), blocks)
    for axis, n in enumerate(shape):
        if n == 1:
            continue
        faces = tuple(m - 1 if b == axis else m for b, m in enumerate(shape))
        flux = _noise((count, ndim, *faces), blocks, generator) * _roots(stiffness, axis, n)
        lower, upper = narrow(out, axis + 2, 0, n - 1), narrow(out, axis + 2, 1, n - 1)
        lower -= flux
        upper += flux
    return out


def _roots(stiffness: Stiffness, axis: int, n: int) -> Array:
    """Return the square roots of weights times conductivities of the faces along an axis."""
    ndim = stiffness.weights.shape[-1]
    xp = namespace(stiffness.weights)
    weights = xp.sqrt(xp.reshape(stiffness.weights, (-1, ndim, ndim))[0, :, axis])
    roots = xp.reshape(weights, (1, ndim, *[1] * ndim))
    if stiffness.faces is None:
        return roots
    return roots * xp.sqrt(narrow(stiffness.faces[:1, axis : axis + 1], axis + 2, 0, n - 1))
