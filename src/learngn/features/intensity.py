"""Robustly scaled intensities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from learngn.features.base import FeatureImage, OneByOne, Traits, working_image
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image

# [HU] Air in CT; voxels of other modalities do not have values below this.
_AIR = -500.0
# [HU] Lung and soft tissue; bone and metal are clipped so that they do not dominate.
_CT_WINDOW = (-1000.0, 400.0)


@dataclass(frozen=True)
class Intensity(OneByOne):
    """Intensity clipped and scaled to 0..1, one channel.

    CT (values below -500 HU in both images) is clipped to a fixed window of HU; any other image to its own quantiles,
    since the units of other scanners are arbitrary.

    Attributes
    ----------
    quantiles : (float, float)
        Lower and upper quantile, mapped to 0 and 1.
    """

    quantiles: tuple[float, float] = (0.005, 0.995)
    name: str = "intensity"
    traits: ClassVar[Traits] = Traits(reads_intensities=True, searchable=True)

    def of(self, image: Image, grid: Grid) -> FeatureImage:
        """See :meth:`learngn.features.OneByOne.of`: an image that looks like CT gets one channel for each scaling."""
        image = working_image(image, grid)
        ranges = {"quantiles": _range(image.data, self.quantiles)}
        if float(image.data.min()) < _AIR:
            ranges["ct"] = _CT_WINDOW
        data = torch.cat([_scaled(image.data, low, high) for low, high in ranges.values()], dim=1)
        return FeatureImage(data, image.grid, names=tuple(ranges))

    def together(self, fixed: FeatureImage, moving: FeatureImage) -> tuple[FeatureImage, FeatureImage]:
        """See :meth:`learngn.features.OneByOne.together`: both scaled by HU, or each by its own quantiles."""
        scaling = "ct" if "ct" in fixed.names and "ct" in moving.names else "quantiles"
        return fixed.channels([scaling]), moving.channels([scaling])


def _range(data: Tensor, quantiles: tuple[float, float]) -> tuple[float, float]:
    """Return two quantiles, computed from at most a million of the values (torch.quantile accepts at most 2^24)."""
    values = data.flatten()
    values = values[:: max(1, values.numel() // 1_000_000)]
    low, high = torch.quantile(values, torch.tensor(quantiles, dtype=values.dtype, device=values.device)).tolist()
    return (low, high) if high > low else (float(data.min()), float(data.max()))


def _scaled(data: Tensor, low: float, high: float) -> Tensor:
    if high <= low:  # constant after pooling
        return torch.zeros_like(data)
    return (data.clamp(low, high) - low) / (high - low)
