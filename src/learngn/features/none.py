"""Nothing to compare: for registrations that landmarks alone drive."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from learngn.features.base import FeatureImage, OneByOne, channels_last
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image


@dataclass(frozen=True)
class Nothing(OneByOne):
    """One channel that is zero throughout: what does not pull is left to landmarks and regulariser."""

    name: str = "none"

    def of(self, image: Image, grid: Grid) -> FeatureImage:
        """See :meth:`learngn.features.OneByOne.of`."""
        data = torch.zeros((len(image.data), 1, *grid.shape), device=image.data.device)
        return FeatureImage(channels_last(data), grid)
