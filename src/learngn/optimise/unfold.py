"""Removal of folds: a displacement is smoothed where its linear interpolation is not invertible."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from learngn.geometry import sampling
from learngn.kernels.reference import squared_length
from learngn.optimise.step_control import surroundings


def smallest_determinant(u: Tensor) -> Tensor:
    """Return the smallest det(I + ∇u) over the corners of every voxel's cells, for u (N, D, *S) [voxel]; (N, *S).

    Central differences miss folds between a voxel and its neighbour. Forward or backward differences along each axis,
    in all 2^D combinations, are the derivatives of linear interpolation at the corners of the cells around a voxel.

    References
    ----------
    Liu et al., "On finite difference Jacobian computation in deformable image registration", 2024.
    """
    ndim = u.shape[1]
    sides = []
    for axis in range(ndim):
        step = u.diff(dim=axis + 2) if u.shape[axis + 2] > 1 else torch.zeros_like(u)
        if u.shape[axis + 2] > 1:
            first, last = step.narrow(axis + 2, 0, 1), step.narrow(axis + 2, step.shape[axis + 2] - 1, 1)
            sides.append((torch.cat([step, last], dim=axis + 2), torch.cat([first, step], dim=axis + 2)))
        else:
            sides.append((step, step))
    smallest = torch.full_like(u[:, 0], float("inf"))
    for corner in itertools.product((0, 1), repeat=ndim):
        smallest = torch.minimum(smallest, _determinant([sides[axis][side] for axis, side in enumerate(corner)]))
    return smallest


def _determinant(columns: list[Tensor]) -> Tensor:
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


def unfolded(u: Tensor, *, smallest: float = 0.01, rounds: int = 8) -> Tensor:
    """Smooth a displacement around its folds until there are none; elsewhere it is not changed.

    Parameters
    ----------
    u : Tensor, shape (1, D, *S) [voxel]
    smallest : float
        Lower bound of the determinant at every corner of every cell.
    rounds : int
        Largest number of rounds at every reach of 1, 2, 4, ... voxels around the folds, up to the whole grid.

    Returns
    -------
    Tensor, shape (1, D, *S) [voxel]
        Displacement without folds; scaled down as a whole if all rounds did not suffice.
    """
    reach = 1
    while reach < max(u.shape[2:]):
        for _ in range(rounds):
            folded = smallest_determinant(u) < smallest
            if not bool(folded.any()):
                return u
            smooth, width = u, reach
            while width:  # long strides first: short ones then smooth away the pattern that these leave
                smooth, width = _smooth(smooth, width), width // 2
            u = u + surroundings(folded, 2 * reach) * (smooth - u)
        reach *= 2
    while bool((smallest_determinant(u) < smallest).any()):
        u = 0.9 * u
    return u


def _smooth(u: Tensor, stride: int) -> Tensor:
    """Average over 3^D voxels, `stride` apart, with binomial weights.

    For a stride of one the field is extrapolated linearly beyond the border, so that an affine field is preserved. For
    longer strides the border is repeated: extrapolation would preserve folds at the border.
    """
    for axis in range(2, u.ndim):
        n = u.shape[axis]
        d = min(stride, n - 1)
        if d == 0:
            continue
        first, last = u.narrow(axis, 0, 1), u.narrow(axis, n - 1, 1)
        if stride == 1:
            low, high = 2 * first - u.narrow(axis, 1, 1), 2 * last - u.narrow(axis, n - 2, 1)
        else:
            repeats = [d if a == axis else 1 for a in range(u.ndim)]
            low, high = first.repeat(repeats), last.repeat(repeats)
        before = torch.cat([low, u.narrow(axis, 0, n - d)], dim=axis)
        after = torch.cat([u.narrow(axis, d, n - d), high], dim=axis)
        u = u / 2 + (before + after) / 4
    return u


def inverse_error(forward: Tensor, inverse: Tensor, weight: Tensor | None = None) -> float:
    """Return the mean length of ``v + u(x + v)`` [voxel] over the voxels where x + v stays inside the grid.

    Parameters
    ----------
    forward, inverse : Tensor, shape (1, D, *S) [voxel]
        u and v on one grid.
    weight : Tensor, shape (1, 1, *S), optional
        Weight of each voxel, for example a mask of the body.
    """
    shape, identity = forward.shape[2:], sampling.identity_map(forward.shape[1])
    length = squared_length(sampling.compose(forward, inverse)).sqrt()
    counts = sampling.inside(shape, inverse, identity, shape, forward).to(length.dtype)
    if weight is not None:
        counts = counts * weight
    return float((length * counts).sum(dtype=torch.float64) / counts.sum(dtype=torch.float64).clamp_min(1e-9))
