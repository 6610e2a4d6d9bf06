"""Empty feature, for registrations guided by landmarks only."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from learngn.features.base import FeatureImage, OneByOne, channels_last
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image


@dataclass(frozen=True)
class Nothing(OneByOne):
    """One channel of zeros: the displacement depends on landmarks and regularisation only."""

    name: str = "none"

    def of(self, image: Image, grid: Grid) -> FeatureImage:
        """See :meth:`learngn.features.OneByOne.of`."""
        data = torch.zeros((len(image.data), 1, *grid.shape), device=image.data.device)
        return FeatureImage(channels_last(data), grid)
