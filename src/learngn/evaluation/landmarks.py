"""Distances between corresponding landmarks."""

from __future__ import annotations

import numpy as np
import scipy  # SciPy imports its subpackages when they are used
from numpy.typing import ArrayLike, NDArray

from learngn.errors import LandmarkError
from learngn.geometry.grid import FloatArray


def tre(
    displacement: NDArray[np.floating], fixed: ArrayLike, moving: ArrayLike, moving_spacing: ArrayLike
) -> FloatArray:
    """Compute the target registration error of every landmark as Learn2Reg does: ``|(f + u(f) - m) * spacing|``.

    The displacement is interpolated by a cubic spline; it is zero for a landmark outside the fixed image.

    Parameters
    ----------
    displacement : array, shape (D, *S) [voxel, components in array order]
        Index in the moving image minus index in the fixed one.
    fixed, moving : array, shape (M, D) [voxel]
        Corresponding landmarks.
    moving_spacing : array, shape (D,) [mm]
        Voxel size of the moving image.

    Returns
    -------
    array, shape (M,) [mm]

    Raises
    ------
    LandmarkError
        If the lists differ in their number of points, or the points do not have the displacement's dimension.
    """
    ndim = displacement.ndim - 1
    first, second = np.asarray(fixed, dtype=np.float64), np.asarray(moving, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 2 or first.shape[1] != ndim:
        raise LandmarkError(
            "landmarks",
            f"{first.shape} fixed and {second.shape} moving coordinates",
            f"as many in both, {ndim} coordinates each",
            "check that the files belong together",
        )
    moved = [
        scipy.ndimage.map_coordinates(component, first.T, output=np.float64, order=3) for component in displacement
    ]
    return distances(first + np.stack(moved, axis=1), second, moving_spacing)


def distances(first: ArrayLike, second: ArrayLike, spacing: ArrayLike) -> FloatArray:
    """Compute the distances [mm] of corresponding points of one image, both of shape (M, D) [voxel]."""
    return np.asarray(np.linalg.norm((np.asarray(first) - np.asarray(second)) * np.asarray(spacing), axis=1))
