"""Removal of folds: a displacement is smoothed where its linear interpolation is not invertible."""

from __future__ import annotations

import itertools

from learngn import kernels
from learngn.arrays import Array, full_like_shape, namespace, narrow
from learngn.geometry import sampling
from learngn.kernels.bound import surroundings
from learngn.kernels.stencils import squared_length


def smallest_determinant(u: Array) -> Array:
    """Return the smallest det(I + ∇u) over the corners of every voxel's cells, for u (N, D, *S) [voxel]; (N, *S).

    Central differences miss folds between a voxel and its neighbour. Forward or backward differences along each axis,
    in all 2^D combinations, are the derivatives of linear interpolation at the corners of the cells around a voxel.

    References
    ----------
    Liu et al., "On finite difference Jacobian computation in deformable image registration", 2024.
    """
    xp, ndim = namespace(u), u.shape[1]
    sides = []
    for axis in range(2, ndim + 2):
        n = u.shape[axis]
        if n > 1:
            step = narrow(u, axis, 1, n - 1) - narrow(u, axis, 0, n - 1)
            first, last = narrow(step, axis, 0, 1), narrow(step, axis, n - 2, 1)
            sides.append((xp.concat([step, last], axis=axis), xp.concat([first, step], axis=axis)))
        else:
            sides.append((xp.zeros_like(u), xp.zeros_like(u)))
    smallest = full_like_shape(u[:, 0].shape, float("inf"), u)
    for corner in itertools.product((0, 1), repeat=ndim):
        smallest = xp.minimum(smallest, _determinant([sides[axis][side] for axis, side in enumerate(corner)]))
    return smallest


def _determinant(columns: list[Array]) -> Array:
    """Compute ``det(I + G)`` from the columns of G, each (N, D, *S), much faster than by LU decompositions."""
    ndim = len(columns)
    g = [[columns[b][:, a] + (1 if a == b else 0) for b in range(ndim)] for a in range(ndim)]
    if ndim == 2:
        return g[0][0] * g[1][1] - g[0][1] * g[1][0]
    return (
        g[0][0] * (g[1][1] * g[2][2] - g[1][2] * g[2][1])
        - g[0][1] * (g[1][0] * g[2][2] - g[1][2] * g[2][0])
        + g[0][2] * (g[1][0] * g[2][1] - g[1][1] * g[2][0])
    )


def unfolded(u: Array, *, smallest: float = 0.01, rounds: int = 8) -> Array:
    """Smooth a displacement around its folds until there are none; elsewhere it is not changed.

    Parameters
    ----------
    u : Array, shape (1, D, *S) [voxel]
    smallest : float
        Lower bound of the determinant at every corner of every cell.
    rounds : int
        Largest number of rounds at every reach of 1, 2, 4, ... voxels around the folds, up to the whole grid.

    Returns
    -------
    Array, shape (1, D, *S) [voxel]
        Displacement without folds; scaled down as a whole if all rounds did not suffice.
    """
    reach = 1
    while reach < max(u.shape[2:]):
        for _ in range(rounds):
            folded = smallest_determinant(u) < smallest
            if not bool(namespace(folded).any(folded)):
                return u
            smooth, width = u, reach
            while width:  # long strides first: short ones then smooth away the pattern that these leave
                smooth, width = _smooth(smooth, width), width // 2
            u = u + surroundings(kernels.backend(u), folded, 2 * reach) * (smooth - u)
        reach *= 2
    while float(namespace(u).min(smallest_determinant(u))) < smallest:
        u = 0.9 * u
    return u


def _smooth(u: Array, stride: int) -> Array:
    """Average over 3^D voxels, `stride` apart, with binomial weights.

    For a stride of one the field is extrapolated linearly beyond the border, so that an affine field is preserved. For
    longer strides the border is repeated: extrapolation would preserve folds at the border.
    """
    xp = namespace(u)
    for axis in range(2, u.ndim):
        n = u.shape[axis]
        d = min(stride, n - 1)
        if d == 0:
            continue
        first, last = narrow(u, axis, 0, 1), narrow(u, axis, n - 1, 1)
        if stride == 1:
            low, high = 2 * first - narrow(u, axis, 1, 1), 2 * last - narrow(u, axis, n - 2, 1)
        else:
            low, high = (xp.concat([border] * d, axis=axis) for border in (first, last))
        before = xp.concat([low, narrow(u, axis, 0, n - d)], axis=axis)
        after = xp.concat([narrow(u, axis, d, n - d), high], axis=axis)
        u = u / 2 + (before + after) / 4
    return u


def inverse_error(forward: Array, inverse: Array, weight: Array | None = None) -> float:
    """Return the mean length of ``v + u(x + v)`` [voxel] over the voxels where x + v stays inside the grid.

    Parameters
    ----------
    forward, inverse : Array, shape (1, D, *S) [voxel]
        u and v on one grid.
    weight : Array, shape (1, 1, *S), optional
        Weight of each voxel, for example a mask of the body.
    """
    shape, identity = forward.shape[2:], sampling.identity_map(forward.shape[1])
    xp = namespace(forward)
    length = xp.sqrt(squared_length(sampling.compose(forward, inverse)))
    counts = xp.astype(sampling.inside(shape, inverse, identity, shape, forward), length.dtype)
    if weight is not None:
        counts = counts * weight
    total, count = (float(xp.sum(values, dtype=xp.float64)) for values in (length * counts, counts))
    return total / max(count, 1e-9)
