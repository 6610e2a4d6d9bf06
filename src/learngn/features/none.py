"""Nothing to compare: for registrations that landmarks alone drive."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from learngn.features.base import FeatureImage, channels_last
from learngn.grid import Grid
from learngn.image import Image


@dataclass(frozen=True)
class Nothing:
    """One channel that is zero throughout: what does not pull is left to landmarks and regulariser."""

    name: str = "none"
    labels: bool = False

    def __call__(self, fixed: Image, moving: Image, spacing: float) -> tuple[FeatureImage, FeatureImage]:
        """See :class:`learngn.features.Feature`."""
        first, second = (_zero(image, image.grid.coarsened(spacing)) for image in (fixed, moving))
        return first, second


def _zero(image: Image, grid: Grid) -> FeatureImage:
    data = torch.zeros((len(image.data), 1, *grid.shape), device=image.data.device)
    return FeatureImage(channels_last(data), grid)
