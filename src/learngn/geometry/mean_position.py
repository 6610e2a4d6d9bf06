"""Mean position of several images: linear maps from it to each of them, and the logarithm of such a map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy

from learngn.errors import GeometryError
from learngn.geometry.grid import FloatArray

_ROUNDS, _EXACT = 50, 1e-12


def from_mean(maps: Sequence[FloatArray]) -> list[FloatArray]:
    """Return the maps from the mean position to each scan, from those from any common position.

    Parameters
    ----------
    maps : sequence of array, each of shape (D+1, D+1) [RAS mm to RAS mm]
        For example those from the world of one of the scans to that of each, the identity for itself.

    Returns
    -------
    list of array
        Maps whose logarithms sum to zero, whatever position the given ones start from; rigid ones stay rigid, and of
        two scans each is moved half of the way.

    Raises
    ------
    GeometryError
        See :func:`logarithm`.

    References
    ----------
    Pennec and Arsigny, "Exponential barycenters of the canonical Cartan connection and invariant means on Lie groups",
    2013.
    """
    centre = np.eye(len(maps[0]))
    for _ in range(_ROUNDS):
        mean = np.mean([logarithm(m @ centre) for m in maps], axis=0)
        centre = centre @ scipy.linalg.expm(-mean)
        if np.abs(mean).max() < _EXACT:
            break
    return [np.asarray(m @ centre) for m in maps]


def logarithm(matrix: FloatArray) -> FloatArray:
    """Return the real logarithm of a linear map (D+1, D+1): of a rigid one, its motion in unit time.

    Raises
    ------
    GeometryError
        If it turns by nearly half a circle, so that the middle is not unique.
    """
    linear = matrix[:-1, :-1]
    cosine = (np.trace(linear) - 1) / 2 if len(linear) == 3 else np.trace(linear) / 2
    if cosine < -0.99:
        raise GeometryError("mean of linear maps", "scans turned by half a circle", "less", "check their headers")
    return np.asarray(np.real(scipy.linalg.logm(matrix)))
