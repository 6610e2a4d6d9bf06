"""Covariance of every voxel under a normal distribution whose precision is a normal operator."""

from __future__ import annotations

from learngn import kernels
from learngn.arrays import Array, namespace, zeros
from learngn.kernels import box_taps
from learngn.kernels.stencils import block_index
from learngn.solve import NormalOperator
from learngn.uncertainty.draws import samples


def covariance(
    operator: NormalOperator,
    count: int = 8,
    *,
    window: int = 3,
    tolerance: float = 2e-2,
    seed: int = 0,
    drawn: Array | None = None,
) -> Array:
    """Estimate the D x D blocks on the diagonal of ``A⁻¹``.

    Parameters
    ----------
    operator : NormalOperator
        A of one sample, (1, ...); its shift must be positive.
    count : int
        Number of samples.
    window : int
        Side of the windows over which the samples' part is averaged [voxel], odd; 1 for none, which has no bias.
    tolerance, seed
        See :func:`learngn.uncertainty.samples`.
    drawn : Array, shape (M, D, *S), optional
        Samples that have been drawn already, used instead.

    Returns
    -------
    Array, shape (1, K, *S)
        Upper triangles, row by row.

    Notes
    -----
    By the law of total covariance, ``cov(x_i) = A_ii⁻¹ + cov(E[x_i | all others])``. The first term is known, and one
    sweep of block Jacobi turns a sample into ``E[x_i | all others]``, whose covariance is estimated from the samples:
    only what comes from the neighbours has a sampling error.

    References
    ----------
    Sidén, Lindgren, Bolin and Villani, "Efficient covariance approximations for large sparse precision matrices", 2018.
    """
    x = samples(operator, count, tolerance=tolerance, seed=seed) if drawn is None else drawn
    count = len(x)
    xp, shape, ndim = namespace(x), x.shape[2:], x.shape[1]
    nothing = zeros((1, ndim, *shape), x)
    sums: list[Array] = [0.0] * len(block_index(ndim))
    for k in range(count):
        given = operator.smooth(nothing, x[k : k + 1], 1.0)
        for entry, (a, b) in enumerate(block_index(ndim)):
            sums[entry] = sums[entry] + given[:, a] * given[:, b]
    products = xp.stack(sums, axis=1) / count
    if window > 1:
        products = kernels.resample(products, [box_taps(n, window) for n in shape])
    return products + _given_others(operator)


def _given_others(operator: NormalOperator) -> Array:
    """Return the inverse of the diagonal blocks of A, (1, K, *S): the covariance of a voxel given all others."""
    xp, ndim = namespace(operator.blocks), operator.blocks.ndim - 2
    columns = []
    for a in range(ndim):
        unit = zeros((1, ndim, *operator.blocks.shape[2:]), operator.blocks)
        unit[:, a] = 1
        columns.append(operator.smooth(unit, None, 1.0))
    return xp.stack([columns[b][:, a] for a, b in block_index(ndim)], axis=1)
