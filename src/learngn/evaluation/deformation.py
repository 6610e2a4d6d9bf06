"""Smoothness of a deformation: Learn2Reg's SDlogJ, folding, and the spread of the log Jacobian determinant."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learngn import kernels
from learngn.errors import ShapeError

_MARGIN = 2
_CHALLENGE_SHIFT = 3.0
_SMALLEST = 1e-9
_LARGEST = 1e9


def sdlogj(displacement: Tensor, mask: NDArray[np.generic] | None = None) -> float:
    """Compute Learn2Reg's SDlogJ: the standard deviation of ``log(clip(det(I + ∇u) + 3, 1e-9, 1e9))``.

    It uses central differences in voxels, without the two outermost voxels on every side. The shift of 3 makes the
    logarithm finite at folds, and the result about a quarter of the standard deviation of the determinant: compare it
    only with other values of the challenge. :func:`std_log_jacobian` is the quantity that the name describes.

    Parameters
    ----------
    displacement : Tensor, shape (1, D, *S) [voxel, components in array order]
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
    determinant = kernels.determinant(displacement)[0][inner]
    if mask is not None:
        if mask.shape != shape:
            raise ShapeError("SDlogJ", f"a mask of shape {mask.shape}", f"the field's {shape}", "mask the fixed grid")
        determinant = determinant[torch.as_tensor(mask[inner] == 1, device=determinant.device)]
    return _spread((determinant + _CHALLENGE_SHIFT).clamp_(_SMALLEST, _LARGEST).log_())


def folds_percent(determinant: Tensor) -> float:
    """Compute the percentage of voxels with folding (det J ≤ 0).

    Parameters
    ----------
    determinant : Tensor, shape (1, *S)
        :meth:`learngn.geometry.grid_map.GridMap.jacobian_determinant`.
    """
    return float(100 * (determinant <= 0).double().mean())


def std_log_jacobian(determinant: Tensor) -> float:
    """Compute the standard deviation of the log Jacobian determinant over the voxels without folding.

    Parameters
    ----------
    determinant : Tensor, shape (1, *S)
        :meth:`learngn.geometry.grid_map.GridMap.jacobian_determinant`.

    Returns
    -------
    float
        NaN if every voxel has folding.
    """
    unfolded = determinant > 0
    positive = determinant.reshape(-1) if bool(unfolded.all()) else determinant[unfolded]
    return _spread(positive.clamp(_SMALLEST, _LARGEST).log_())


def _spread(values: Tensor) -> float:
    return float(values.double().std(correction=0)) if values.numel() else float("nan")
