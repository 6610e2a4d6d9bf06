"""Conductivities between neighbouring voxels, and their coarsening: in series along an axis, in parallel across it.

`faces` has shape (1 or N, D, *S): entry b at x lies between x and its next neighbour along axis b; the last entry
along an axis is zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from learngn import kernels
from learngn.arrays import Array, clamped, namespace, narrow, zeros
from learngn.kernels import Taps, area_taps

# Smallest conductivity, instead of zero: its reciprocal is finite in single precision.
_LEAST = 1e-6


def between(data: Array, rule: Callable[[Array, Array, int], Array]) -> Array:
    """Compute faces (N, D, *S) from voxels (N, 1, *S): ``rule(voxel, next voxel, axis)``."""
    xp, ndim = namespace(data), data.ndim - 2
    faces = []
    for axis in range(ndim):
        n = data.shape[axis + 2]
        face = rule(narrow(data, axis + 2, 0, n - 1), narrow(data, axis + 2, 1, n - 1), axis)
        last = xp.zeros_like(narrow(data, axis + 2, 0, 1), dtype=face.dtype)
        faces.append(xp.concat([face, last], axis=axis + 2))
    return xp.concat(faces, axis=1)


def pool_faces(faces: Array, shape: Sequence[int]) -> Array:
    """Compute the faces between larger cells over the same extent, (N, D, *S) to (N, D, *shape).

    References
    ----------
    Alcouffe, Brandt, Dendy and Painter, "The multi-grid method for the diffusion equation with strongly discontinuous
    coefficients", 1981.
    """
    old = tuple(faces.shape[2:])
    if old == tuple(shape):
        return faces
    xp, pooled = namespace(faces), []
    for axis, (n, m) in enumerate(zip(old, shape, strict=True)):
        if m == 1:
            pooled.append(zeros((len(faces), 1, *shape), faces))
            continue
        along = clamped(narrow(faces[:, axis : axis + 1], axis + 2, 0, n - 1), _LEAST)
        series = [_series(n, m) if b == axis else area_taps(k, k) for b, k in enumerate(old)]
        parallel = [
            area_taps(*((m - 1, m - 1) if b == axis else pair)) for b, pair in enumerate(zip(old, shape, strict=True))
        ]
        face = kernels.resample(1 / kernels.resample(1 / along, series), parallel)
        pooled.append(xp.concat([face, xp.zeros_like(narrow(face, axis + 2, 0, 1))], axis=axis + 2))
    return xp.concat(pooled, axis=1)


@lru_cache(maxsize=256)
def _series(n: int, m: int) -> Taps:
    """Return the average over those of `n` - 1 faces that lie between each of `m` cell centres and the next."""
    start = (np.arange(m - 1) + 0.5) * (n / m) - 0.5
    face = np.arange(n - 1)
    covered = np.minimum(start[:, None] + n / m, face + 1) - np.maximum(start[:, None], face)
    return Taps.from_matrix(np.where(covered > 1e-9, covered, 0.0) * (m / n))
