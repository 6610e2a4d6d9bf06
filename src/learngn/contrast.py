"""Which way round a scan's contrast is: bright for dark, compared with the other scan."""

from __future__ import annotations

from dataclasses import replace

import torch

from learngn.features import Combined, Feature, Intensity, LocalIntensity
from learngn.image import Image
from learngn.optimise import AffineGaussNewton, translation_starts

_COARSE = 1 / 12  # of the fixed scan's longest side: the voxels on which both ways are tried
# Scans of one modality come to 0.3 at the least the right way round, and to 3 the other way (docs/results.md); where
# neither way explains the other scan, nothing is gained by turning one.
_CLEARLY = 0.5


@torch.no_grad()
def comparable(fixed: Image, moving: Image, feature: Feature) -> Image:
    """The moving scan as its intensities can be compared: itself, or its negative.

    Both are aligned with the fixed scan on a coarse grid. The negative is taken if its residual is clearly the smaller.
    Features that do not read intensities as such, and CT, whose unit leaves nothing to decide, need no answer.

    Parameters
    ----------
    fixed, moving : Image
    feature : Feature
        What the registration compares.

    Returns
    -------
    Image
        `moving`, or another on its grid; for features alone.
    """
    parts = feature.parts if isinstance(feature, Combined) else ((feature, 1.0),)
    reading = tuple((part, weight) for part, weight in parts if isinstance(part, (Intensity, LocalIntensity)))
    if not reading or fixed.labels or moving.labels or _both_ct(fixed, moving):
        return moving
    data = moving.data.to(torch.float32)
    negative = replace(moving, data=data.amax() + data.amin() - data)
    straight, turned = (_residual(fixed, image, Combined(reading)) for image in (moving, negative))
    return negative if turned < _CLEARLY * straight else moving


def _both_ct(fixed: Image, moving: Image) -> bool:
    spacing = _COARSE * float(fixed.grid.extent.max())
    return all("ct" in Intensity().of(image, spacing).names for image in (fixed, moving))


def _residual(fixed: Image, moving: Image, feature: Feature) -> float:
    """Mean residual when aligned, coarsely."""
    pair = feature(fixed, moving, _COARSE * float(fixed.grid.extent.max()))
    centres = fixed.grid.centre, moving.grid.centre
    stage = AffineGaussNewton(spacings=(_COARSE,))
    return stage(*pair, translation_starts(fixed.grid, moving.grid, centres)).energy
