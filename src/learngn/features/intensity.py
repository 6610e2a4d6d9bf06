"""Intensities, robustly scaled."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from learngn.features.base import FeatureImage, working_image
from learngn.image import Image

# HU below which no voxel of another modality lies: air in CT.
_AIR = -500.0
# Lung and soft tissue, HU: bone and metal are clipped so that they do not outweigh the rest.
_CT_WINDOW = (-1000.0, 400.0)


@dataclass(frozen=True)
class Intensity:
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
    labels: bool = False

    def __call__(self, fixed: Image, moving: Image, spacing: float) -> tuple[FeatureImage, FeatureImage]:
        """See :class:`learngn.features.Feature`."""
        pair = working_image(fixed, spacing), working_image(moving, spacing)
        ct = all(float(image.data.min()) < _AIR for image in pair)
        first, second = (
            FeatureImage(_scaled(i.data, *(_CT_WINDOW if ct else _range(i.data, self.quantiles))), i.grid) for i in pair
        )
        return first, second


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
