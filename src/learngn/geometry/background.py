"""Background of a scan: the value that it takes where it shows nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from learngn.geometry.image import Image

_NO_CT = -300.0  # [HU]: no scanner but CT writes lower values for air
_AIR = (-1100.0, -900.0)  # [HU]: air with its noise, without what pads the field of view (-2000, -3024)
_SOME = 1e-3  # share of the voxels that have to be air for it to count
_UNIFORM = 0.02  # of the range of values: half-width of what counts as one value
_MOSTLY = 0.5  # share of the border that a uniform background takes, at least
_LOW = 0.25  # of the range: what an empty border of a scan without negative values may measure
_NEAR = 0.1  # of the range: 0 is among the lowest values
_ENOUGH = 1 << 20  # values looked at


def background_of(image: Image) -> float:
    """Find the value that stands for nothing in an image: what a warped image has outside of it.

    Parameters
    ----------
    image : Image

    Returns
    -------
    float
        - Label maps: 0.
        - CT, known by values of -300 HU and less: the median of what is air (-1100 to -900 HU), or the minimum where
          nothing is, as in a scan that was cut off at some value.
        - Other scans whose outermost lines of voxels hold about one value: this value, or 0 where it is close to it or,
          in a scan without negative values, anywhere low (the noise of MR and PET).
        - All others: 0 if it is among the lowest of the values, else the minimum.
    """
    if image.labels or not image.data.numel():
        return 0.0
    data = image.data.detach()
    low, high = _extremes(data)
    if not low <= high:  # no finite value
        return 0.0
    if low <= _NO_CT:
        return _air(data, low)
    width = high - low
    border = _finite(_edges(data))
    if border.numel():
        common = float(border.median())
        if float(((border - common).abs() <= _UNIFORM * width).float().mean()) >= _MOSTLY:
            noise = low == 0 and common <= _LOW * width
            return 0.0 if noise or (low <= 0 <= high and abs(common) <= _UNIFORM * width) else common
    return 0.0 if low <= 0 <= low + _NEAR * width else low


def _extremes(data: Tensor) -> tuple[float, float]:
    low, high = (float(value) for value in torch.aminmax(data))
    if torch.isfinite(torch.tensor([low, high])).all():
        return low, high
    finite = _finite(data)
    return (float(finite.min()), float(finite.max())) if finite.numel() else (0.0, -1.0)


def _air(data: Tensor, low: float) -> float:
    values = data.reshape(-1)
    values = values[:: max(1, values.numel() // _ENOUGH)]
    air = values[(values >= _AIR[0]) & (values <= _AIR[1])]
    return float(air.median()) if air.numel() > _SOME * values.numel() else low


def _edges(data: Tensor) -> Tensor:
    """Values on the edges of a volume, on the sides of a plane; flat.

    Not on the faces: the first and the last slice of a scan often lie in the body, their outermost lines do not.
    """
    ndim = data.ndim - 2
    if ndim == 2:
        return torch.cat([data.select(axis, end).reshape(-1) for axis in (2, 3) for end in (0, -1)])
    return torch.cat(
        [
            data.select(second, end).select(first, start).reshape(-1)
            for first, second in ((2, 3), (2, 4), (3, 4))
            for start in (0, -1)
            for end in (0, -1)
        ]
    )


def _finite(values: Tensor) -> Tensor:
    values = values.float().reshape(-1)
    return values[torch.isfinite(values)]
