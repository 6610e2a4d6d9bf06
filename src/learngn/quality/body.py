"""The body in a scan: a simple mask on a coarse grid, and the kind of scan."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from learngn.geometry.grid import FloatArray

Mask = NDArray[np.bool_]

CT_AIR = -300.0  # [HU] values this low, of air, occur in CT only
_TISSUE = -300.0  # [HU] least value of tissue
_BINS = 128
_DARK = 0.5  # of Otsu's threshold: tissue is darker than what Otsu separates from the background


def body_mask(values: FloatArray, *, is_ct: bool, labels: bool = False) -> Mask:
    """Return the body in a scan: bright voxels, and those enclosed by them along most axes.

    Parameters
    ----------
    values : array, shape S
        A scan, averaged on a coarse grid: noise and small parts are gone.
    is_ct : bool
        Hounsfield units: tissue is above -300 HU.
    labels : bool
        A label map: its labels are the body.

    Notes
    -----
    Other scans are divided by half of Otsu's threshold. Lungs and bowel are enclosed by tissue from both sides along
    at least two axes; in 2D along both.
    """
    if labels:
        return np.asarray(values != 0)
    bright = values > (_TISSUE if is_ct else _threshold(values))
    enclosed = sum(_between(bright, axis).astype(np.int8) for axis in range(values.ndim))
    return np.asarray(bright | (enclosed >= min(2, values.ndim)))


def otsu(values: FloatArray) -> float:
    """Return the threshold that separates values into two classes of least variance (Otsu, 1979)."""
    low, high = (float(v) for v in np.quantile(values, (0.0, 0.995)))
    if high <= low:
        return low
    counts, edges = np.histogram(np.minimum(values, high), _BINS, (low, high))
    centres = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)
    above, weighted = below[-1] - below, np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (weighted / below - (weighted[-1] - weighted) / above) ** 2
    return float(edges[1:][int(np.nanargmax(between))])


def _threshold(values: FloatArray) -> float:
    low = float(values.min())
    return low + _DARK * (otsu(values) - low)


def _between(mask: Mask, axis: int) -> Mask:
    """Return the voxels with voxels of a mask on both sides along an axis."""
    before = np.maximum.accumulate(mask, axis=axis)
    after = np.flip(np.maximum.accumulate(np.flip(mask, axis), axis=axis), axis)
    return np.asarray(before & after)
