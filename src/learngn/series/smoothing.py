"""Smoothing of motion in time: of displacements voxel by voxel, of linear maps by their logarithms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy
from numpy.typing import NDArray

from learngn.errors import SettingsError
from learngn.geometry.grid import FloatArray
from learngn.geometry.mean_position import logarithm

_FIXED = 1e8  # weight of the frame that does not move
_FEWEST = 3  # frames that have an acceleration


def smoother(count: int, period: float, still: int | None = None) -> FloatArray:
    """Return the matrix that smooths a series of values in time, (count, count).

    It minimises ``Σ (s_k - u_k)² + α Σ (s_{k-1} - 2 s_k + s_{k+1})²``: uniform motion is not changed, and half of the
    amplitude remains of an oscillation of the given period.

    Parameters
    ----------
    count : int
        Number of frames.
    period : float
        Period of which half is kept, at least 2 [frame].
    still : int, optional
        Frame whose value is zero and stays zero.

    Raises
    ------
    SettingsError
        If the period is too short.

    References
    ----------
    P. H. C. Eilers, "A perfect smoother", Analytical Chemistry 75(14), 2003.
    """
    if not 2 <= period < np.inf:
        raise SettingsError(
            "smoothing in time", f"{period:g} frames", "a period of 2 frames or more", "begin with 4, or leave it out"
        )
    if count < _FEWEST:
        return np.eye(count)
    second = np.diff(np.eye(count), 2, axis=0)
    alpha = (2 * np.sin(np.pi / period)) ** -4  # the response 1 / (1 + α (2 sin(ω/2))⁴) is one half
    weight = np.ones(count)
    if still is not None:
        weight[still] = _FIXED
    return np.asarray(np.linalg.solve(np.diag(weight) + alpha * second.T @ second, np.diag(weight)))


def smoothed_fields(fields: Sequence[NDArray[np.float32]], matrix: FloatArray) -> list[NDArray[np.float32]]:
    """Return smoothed displacements of one grid, frame by frame."""
    weights = matrix.astype(np.float32)
    result = []
    for row in weights:
        total = np.zeros_like(fields[0])
        for weight, field in zip(row, fields, strict=True):
            total += weight * field
        result.append(total)
    return result


def smoothed_matrices(matrices: Sequence[FloatArray], matrix: FloatArray) -> list[FloatArray]:
    """Return smoothed linear maps (D+1, D+1): rigid ones stay rigid."""
    logs = np.stack([logarithm(one) for one in matrices])
    return [np.asarray(scipy.linalg.expm(log)) for log in np.tensordot(matrix, logs, axes=1)]
