"""Background of a scan: its value outside of the body."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from learngn.arrays import as_numpy
from learngn.geometry.image import Image

Values: TypeAlias = NDArray[Any]

_NO_CT = -300.0  # [HU]: only CT has values this low
_AIR = (-1100.0, -900.0)  # [HU]: air and its noise, without the padding of the field of view (-2000, -3024)
_SOME = 1e-3  # least fraction of voxels that must be air
_UNIFORM = 0.02  # of the range of values: half-width of a uniform background
_MOSTLY = 0.5  # least fraction of the border that a uniform background covers
_LOW = 0.25  # of the range: largest value of an empty border in a scan without negative values
_NEAR = 0.1  # of the range: 0 is among the lowest values
_ENOUGH = 1 << 20  # largest number of values examined


def background_of(image: Image) -> float:
    """Find the background value of an image, which a warped image takes outside of it.

    Parameters
    ----------
    image : Image

    Returns
    -------
    float
        - Label maps: 0.
        - CT, recognised by values of -300 HU and less: the median of air (-1100 to -900 HU), or the minimum if there is
          no air, as in a scan with clipped values.
        - Other scans whose outermost lines of voxels have about one value: this value, or 0 if the value is close to 0
          or, in a scan without negative values, low (the noise of MR and PET).
        - All others: 0 if it is among the lowest values, else the minimum.
    """
    data = as_numpy(image.data)
    if image.labels or not data.size:
        return 0.0
    low, high = _extremes(data)
    if not low <= high:  # no finite value
        return 0.0
    if low <= _NO_CT:
        return _air(data, low)
    width = high - low
    border = _finite(_edges(data))
    if border.size:
        common = _median(border)
        if float((np.abs(border - common) <= _UNIFORM * width).mean()) >= _MOSTLY:
            noise = low == 0 and common <= _LOW * width
            return 0.0 if noise or (low <= 0 <= high and abs(common) <= _UNIFORM * width) else common
    return 0.0 if low <= 0 <= low + _NEAR * width else low


def _extremes(data: Values) -> tuple[float, float]:
    low, high = float(data.min()), float(data.max())
    if np.isfinite([low, high]).all():
        return low, high
    finite = _finite(data)
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, -1.0)


def _median(values: Values) -> float:
    """Return the lower median: a value that occurs, such as the integer of a scanner."""
    middle = (values.size - 1) // 2
    return float(np.partition(values, middle)[middle])


def _air(data: Values, low: float) -> float:
    values = data.reshape(-1)
    values = values[:: max(1, values.size // _ENOUGH)]
    air = values[(values >= _AIR[0]) & (values <= _AIR[1])]
    return _median(air) if air.size > _SOME * values.size else low


def _edges(data: Values) -> Values:
    """Return the values on the edges of a volume, or on the sides of a plane, as a flat array.

    The faces of a volume are not used: the first and the last slice of a scan often lie in the body, their outermost
    lines do not.
    """
    ndim = data.ndim - 2
    if ndim == 2:
        return np.concatenate([data.take(end, axis).reshape(-1) for axis in (2, 3) for end in (0, -1)])
    return np.concatenate(
        [
            data.take(end, second).take(start, first).reshape(-1)
            for first, second in ((2, 3), (2, 4), (3, 4))
            for start in (0, -1)
            for end in (0, -1)
        ]
    )


def _finite(values: Values) -> Values:
    values = values.astype(np.float32, copy=False).reshape(-1)
    return values[np.isfinite(values)]
