"""Robustly scaled intensities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from learngn.arrays import Array, by_parts, clamped, namespace, quantile
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
    window : (float, float), optional
        Intensities mapped to 0 and 1 instead, for images of one brightness.
    """

    quantiles: tuple[float, float] = (0.005, 0.995)
    window: tuple[float, float] | None = None
    name: str = "intensity"
    traits: ClassVar[Traits] = Traits(reads_intensities=True, searchable=True)

    def of(self, image: Image, grid: Grid) -> FeatureImage:
        """See :meth:`learngn.features.OneByOne.of`: an image that looks like CT gets one channel for each scaling."""
        image = working_image(image, grid)
        ranges = {"quantiles": self.window or _range(image.data, self.quantiles)}
        if _extremes(image.data)[0] < _AIR:
            ranges["ct"] = _CT_WINDOW
        data = namespace(image.data).concat([_scaled(image.data, low, high) for low, high in ranges.values()], axis=1)
        return FeatureImage(data, image.grid, names=tuple(ranges))

    def together(self, fixed: FeatureImage, moving: FeatureImage) -> tuple[FeatureImage, FeatureImage]:
        """See :meth:`learngn.features.OneByOne.together`: both scaled by HU, or each by its own quantiles."""
        scaling = "ct" if "ct" in fixed.names and "ct" in moving.names else "quantiles"
        return fixed.channels([scaling]), moving.channels([scaling])


def _range(data: Array, quantiles: tuple[float, float]) -> tuple[float, float]:
    low, high = quantile(data, quantiles).tolist()
    return (low, high) if high > low else _extremes(data)


def _extremes(data: Array) -> tuple[float, float]:
    xp = namespace(data)
    return float(xp.min(data)), float(xp.max(data))


def _scaled(data: Array, low: float, high: float) -> Array:
    if high <= low:  # constant after pooling
        return namespace(data).zeros_like(data)
    return by_parts(lambda values: (clamped(values, low, high) - low) / (high - low), data)
