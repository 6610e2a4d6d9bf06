"""Intensities, robustly scaled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from learngn.features.base import FeatureImage, OneByOne, Traits, working_image
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image

# HU below which no voxel of another modality lies: air in CT.
_AIR = -500.0
# Lung and soft tissue, HU: bone and metal are clipped so that they do not outweigh the rest.
_CT_WINDOW = (-1000.0, 400.0)


@dataclass(frozen=True)
class Intensity(OneByOne):
    """Intensity clipped and scaled to 0..1, one channel.

    CT (values below -500 HU on both sides) is clipped to one window of HU; any other image between its own quantiles,
    which forgives scanners their arbitrary units.

    Attributes
    ----------
    quantiles : (float, float)
        Lower and upper quantile that become 0 and 1.
    """

    quantiles: tuple[float, float] = (0.005, 0.995)
    name: str = "intensity"
    traits: ClassVar[Traits] = Traits(reads_intensities=True)

    def of(self, image: Image, grid: Grid) -> FeatureImage:
        """See :meth:`learngn.features.OneByOne.of`: what looks like CT is scaled in both ways, one channel each."""
        image = working_image(image, grid)
        ways = {"quantiles": _range(image.data, self.quantiles)}
        if float(image.data.min()) < _AIR:
            ways["ct"] = _CT_WINDOW
        data = torch.cat([_scaled(image.data, low, high) for low, high in ways.values()], dim=1)
        return FeatureImage(data, image.grid, names=tuple(ways))

    def together(self, fixed: FeatureImage, moving: FeatureImage) -> tuple[FeatureImage, FeatureImage]:
        """See :meth:`learngn.features.OneByOne.together`: both in HU, or each by its own quantiles."""
        way = "ct" if "ct" in fixed.names and "ct" in moving.names else "quantiles"
        return fixed.channels([way]), moving.channels([way])


def _range(data: Tensor, quantiles: tuple[float, float]) -> tuple[float, float]:
    """Quantiles of the values, from at most a million of them (torch.quantile takes no more than 2^24)."""
    values = data.flatten()
    values = values[:: max(1, values.numel() // 1_000_000)]
    low, high = torch.quantile(values, torch.tensor(quantiles, dtype=values.dtype, device=values.device)).tolist()
    return (low, high) if high > low else (float(data.min()), float(data.max()))


def _scaled(data: Tensor, low: float, high: float) -> Tensor:
    if high <= low:  # one value once it is pooled: nothing to tell apart
        return torch.zeros_like(data)
    return (data.clamp(low, high) - low) / (high - low)
