"""Features that count within a mask."""

from __future__ import annotations

from dataclasses import replace

from learngn.features import FeatureImage
from learngn.features.base import working_image
from learngn.geometry.image import Image
from learngn.geometry.transform import Affine


def masked(features: FeatureImage, mask: Image | None) -> FeatureImage:
    """Let features count where a mask is one.

    Parameters
    ----------
    features : FeatureImage
    mask : Image, optional
        0 to 1, in the world of the features, on a grid of its own.
    """
    if mask is None:
        return features
    # Averaged like the features: a small mask would slip through between the voxels of a coarse grid.
    coarse = working_image(mask, mask.grid.coarsened(float(features.grid.spacing.min())))
    weight = Affine.identity(mask.grid.ndim).warp(coarse, features.grid, background=0.0).data.to(features.data)
    return replace(features, weight=weight if features.weight is None else weight * features.weight)
