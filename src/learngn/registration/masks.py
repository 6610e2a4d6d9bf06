"""Features weighted by a mask."""

from __future__ import annotations

from dataclasses import replace

from learngn.arrays import like, namespace
from learngn.errors import ImageError
from learngn.features import FeatureImage
from learngn.features.base import working_image
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.geometry.transform import Affine
from learngn.interop import ImageLike, as_image


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
    warped = Affine.identity(mask.grid.ndim).warp(coarse, features.grid, background=0.0)
    weight = like(warped.data, features.data)
    return replace(features, weight=weight if features.weight is None else weight * features.weight)


def read_mask(source: ImageLike | None, grid: Grid, what: str) -> Image | None:
    """Read the mask of an image, with values from 0 to 1.

    Parameters
    ----------
    source : ImageLike, optional
        The mask; a label map is used as the mask of its labels.
    grid : Grid
        Grid of the image.
    what : str
        Name for error messages: "fixed mask".

    Raises
    ------
    LearnGNError
        If it cannot be read, does not overlap with the image, or has values outside 0..1.
    """
    if source is None:
        return None
    mask = as_image(source)
    xp = namespace(mask.data)
    data = xp.astype(mask.data != 0 if mask.labels else mask.data, xp.float32, copy=False)
    if mask.grid.ndim != grid.ndim or not mask.grid.overlap(grid):
        raise ImageError(what, f"{mask.name}, {mask.grid}", "a mask of the image", "check the file")
    if float(data.min()) < 0 or float(data.max()) > 1 or not float(data.max()) > 0:
        raise ImageError(
            what,
            f"values from {float(data.min()):g} to {float(data.max()):g} ({mask.name})",
            "values from 0 to 1, not all of them 0",
            "write a mask that is 1 in the region to compare",
        )
    return Image(data, mask.grid, path=mask.path)
