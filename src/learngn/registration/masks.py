"""Features weighted by a mask."""

from __future__ import annotations

from dataclasses import replace

from learngn.features import FeatureImage
from learngn.features.base import working_image
from learngn.geometry.image import Image
from learngn.geometry.transform import Affine


def masked(features: FeatureImage, mask: Image | None) -> FeatureImage:
    """Multiply the weight of features by a mask.

    Parameters
    ----------
    features : FeatureImage
    mask : Image, optional
        Weight, 0 to 1, in the world of the features, on any grid.
    """
    if mask is None:
        return features
    # Averaged like the features: sampling could miss a small mask between the voxels of a coarse grid.
    coarse = working_image(mask, mask.grid.coarsened(float(features.grid.spacing.min())))
    weight = Affine.identity(mask.grid.ndim).warp(coarse, features.grid, background=0.0).data.to(features.data)
    return replace(features, weight=weight if features.weight is None else weight * features.weight)
