"""Empty feature, for registrations guided by landmarks only."""

from __future__ import annotations

from dataclasses import dataclass

from learngn.arrays import channels_last, device_of, namespace
from learngn.features.base import FeatureImage, OneByOne
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image


@dataclass(frozen=True)
class Nothing(OneByOne):
    """One channel of zeros: the displacement depends on landmarks and regularisation only."""

    name: str = "none"

    def of(self, image: Image, grid: Grid) -> FeatureImage:
        """See :meth:`learngn.features.OneByOne.of`."""
        xp = namespace(image.data)
        data = xp.zeros((len(image.data), 1, *grid.shape), dtype=xp.float32, device=device_of(image.data))
        return FeatureImage(channels_last(data), grid)
