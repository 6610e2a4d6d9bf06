"""How smooth a deformation is: Learn2Reg's SDlogJ, and the numbers that it hides."""

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
    """Learn2Reg's SDlogJ: standard deviation of ``log(clip(det(I + ∇u) + 3, 1e-9, 1e9))``.

    Central differences in voxels; the two outermost voxels on every side are left out. The shift of 3 makes the
    logarithm exist at folds, and the number about a quarter of the standard deviation of the determinant: compare it
    with other values of the challenge alone, and see :func:`std_log_jacobian` for the quantity that its name says.

    Parameters
    ----------
    displacement : Tensor, shape (1, D, *S) [voxel, components in array order]
        The whole displacement, affine included.
    mask : array, shape S, optional
        Only voxels where it is 1 count.

    Returns
    -------
    float
        NaN if no voxel is left: an axis has fewer than five, or the mask is empty.

    Raises
    ------
    ShapeError
        If the mask has another shape.
    """
    shape = tuple(displacement.shape[2:])
    inner = (slice(_MARGIN, -_MARGIN),) * len(shape)
    # Away from the border every implementation's differences are the challenge's, whatever it takes outside.
    determinant = kernels.best(displacement).determinant(displacement)[0][inner]
    if mask is not None:
        if mask.shape != shape:
            raise ShapeError("SDlogJ", f"a mask of shape {mask.shape}", f"the field's {shape}", "mask the fixed grid")
        determinant = determinant[torch.as_tensor(mask[inner] == 1, device=determinant.device)]
    return _spread((determinant + _CHALLENGE_SHIFT).clamp_(_SMALLEST, _LARGEST).log_())


def folds_percent(determinant: Tensor) -> float:
    """Share of voxels where the map folds, that is, where its Jacobian determinant is not positive [%].

    Parameters
    ----------
    determinant : Tensor, shape (1, *S)
        :meth:`learngn.geometry.grid_map.GridMap.jacobian_determinant`.
    """
    return float(100 * (determinant <= 0).double().mean())


def std_log_jacobian(determinant: Tensor) -> float:
    """Take the standard deviation of the log Jacobian determinant, over the voxels that do not fold.

    Parameters
    ----------
    determinant : Tensor, shape (1, *S)
        :meth:`learngn.geometry.grid_map.GridMap.jacobian_determinant`.

    Returns
    -------
    float
        NaN if every voxel folds.
    """
    unfolded = determinant > 0
    kept = determinant.reshape(-1) if bool(unfolded.all()) else determinant[unfolded]
    return _spread(kept.clamp(_SMALLEST, _LARGEST).log_())


def _spread(values: Tensor) -> float:
    return float(values.double().std(correction=0)) if values.numel() else float("nan")
