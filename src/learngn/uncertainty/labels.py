"""What the uncertainty of the displacement means for labels."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sqrt

import numpy as np
from numpy.typing import NDArray

from learngn.geometry.grid import FloatArray

_MEAN_LENGTH = sqrt(2 / pi)  # mean of |e| for e normal with variance one


@dataclass(frozen=True)
class LabelUncertainty:
    """Uncertainty of a label.

    Attributes
    ----------
    deviation : float
        Mean standard deviation of the displacement in the label [mm].
    across : float
        Mean standard deviation of the displacement across the label's surface [mm]: what shifts its boundary.
    dice_loss : float
        Expected loss of Dice by that: mean distance across the surface times its area, over twice the volume; at most
        one.
    """

    deviation: float
    across: float
    dice_loss: float


def on_labels(
    labels: NDArray[np.integer], variances: NDArray[np.floating], spacing: FloatArray
) -> dict[int, LabelUncertainty]:
    """Return the uncertainty of every label.

    Parameters
    ----------
    labels : array, shape S
    variances : array, shape (D+1, *S) [mm²]
        Variances along the axes of the label map, then their sum.
    spacing : array, shape (D,) [mm]

    Returns
    -------
    dict
        By label, without the background.
    """
    values, codes = np.unique(labels, return_inverse=True)
    codes = codes.reshape(labels.shape)
    voxels = np.bincount(codes.ravel(), minlength=len(values))
    inside = np.bincount(codes.ravel(), np.sqrt(variances[-1]).ravel(), len(values)) / voxels
    area, moved = np.zeros(len(values)), np.zeros(len(values))
    volume = float(np.prod(spacing))
    for axis, step in enumerate(spacing):
        lower, upper = (
            tuple(part if a == axis else slice(None) for a in range(labels.ndim))
            for part in (slice(None, -1), slice(1, None))
        )
        apart = codes[lower] != codes[upper]
        deviation = np.sqrt((variances[axis][lower][apart] + variances[axis][upper][apart]) / 2)
        for side in (codes[lower][apart], codes[upper][apart]):
            area += np.bincount(side, minlength=len(values)) * (volume / step)
            moved += np.bincount(side, deviation, len(values)) * (volume / step)
    across = moved / np.maximum(area, 1e-12)
    loss = np.minimum(1.0, _MEAN_LENGTH * moved / (2 * voxels * volume))
    return {
        int(value): LabelUncertainty(float(inside[k]), float(across[k]), float(loss[k]))
        for k, value in enumerate(values)
        if value
    }
