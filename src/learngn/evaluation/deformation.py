"""Smoothness of a deformation: Learn2Reg's SDlogJ, folding, and the spread of the log Jacobian determinant."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from learngn import kernels
from learngn.arrays import Array, as_numpy
from learngn.errors import ShapeError

_MARGIN = 2
_CHALLENGE_SHIFT = 3.0
_SMALLEST = 1e-9
_LARGEST = 1e9


def sdlogj(displacement: Array, mask: NDArray[np.generic] | None = None) -> float:
    """Compute Learn2Reg's SDlogJ: the standard deviation of ``log(clip(det(I + ∇u) + 3, 1e-9, 1e9))``.

    It uses central differences in voxels, without the two outermost voxels on every side. The shift of 3 makes the
    logarithm finite at folds, and the result about a quarter of the standard deviation of the determinant: compare it
    only with other values of the challenge. :func:`std_log_jacobian` is the quantity that the name describes.

    Parameters
    ----------
    displacement : Array, shape (1, D, *S) [voxel, components in array order]
        The whole displacement, affine included.
    mask : array, shape S, optional
        Voxels to include, those of value 1.

    Returns
    -------
    float
        NaN if no voxel remains: an axis has fewer than five voxels, or the mask is empty.

    Raises
    ------
    ShapeError
        If the mask has another shape.
    """
    shape = tuple(displacement.shape[2:])
    inner = (slice(_MARGIN, -_MARGIN),) * len(shape)
    # Away from the border, the differences do not depend on the values that an implementation assumes outside.
    determinant = as_numpy(kernels.determinant(displacement))[0][inner]
    if mask is not None:
        if mask.shape != shape:
            raise ShapeError("SDlogJ", f"a mask of shape {mask.shape}", f"the field's {shape}", "mask the fixed grid")
        determinant = determinant[mask[inner] == 1]
    return _spread_of_log(determinant + determinant.dtype.type(_CHALLENGE_SHIFT))


def folds_percent(determinant: Array) -> float:
    """Compute the percentage of voxels with folding (det J ≤ 0).

    Parameters
    ----------
    determinant : Array, shape (1, *S)
        :meth:`learngn.geometry.grid_map.GridMap.jacobian_determinant`.
    """
    values = as_numpy(determinant)
    return 100 * int(np.count_nonzero(values <= 0)) / values.size


def std_log_jacobian(determinant: Array) -> float:
    """Compute the standard deviation of the log Jacobian determinant over the voxels without folding.

    Parameters
    ----------
    determinant : Array, shape (1, *S)
        :meth:`learngn.geometry.grid_map.GridMap.jacobian_determinant`.

    Returns
    -------
    float
        NaN if every voxel has folding.
    """
    values = as_numpy(determinant)
    unfolded = values > 0
    return _spread_of_log(values.copy() if unfolded.all() else values[unfolded])


def _spread_of_log(values: NDArray[Any]) -> float:
    """Compute the standard deviation of the logarithm of clipped values, which are overwritten."""
    if not values.size:
        return float("nan")
    np.log(values.clip(_SMALLEST, _LARGEST, out=values), out=values)
    return float(values.std(dtype=np.float64))
