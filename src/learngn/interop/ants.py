"""ANTs (antspyx): LPS mm as in ITK, arrays (i, j, k)."""

from __future__ import annotations

from typing import Any

import numpy as np

from learngn.arrays import as_numpy
from learngn.errors import ImageError
from learngn.geometry.image import Image
from learngn.interop.arrays import from_array, library, one_channel
from learngn.io.itk import affine_at, place_of
from learngn.io.source import label_values


def from_ants(image: Any, *, labels: bool = False) -> Image:
    """Convert an image of ANTs.

    Parameters
    ----------
    image : ants.ANTsImage
        2D or 3D, one value a voxel.
    labels : bool
        Whether the image is a label map.

    Raises
    ------
    ImageError
        If it has several components, or more than three dimensions.
    LearnGNError
        As :func:`from_array` does.
    """
    if int(getattr(image, "components", 1)) != 1:
        raise ImageError(
            "image of ANTs", f"{image.components} components", "one value a voxel", "take one by ants.split_channels"
        )
    affine = affine_at(image.spacing, image.origin, np.asarray(image.direction))
    return from_array(image.numpy(), affine, labels=labels)


def to_ants(image: Image) -> Any:
    """Convert an image, (1, 1, *S), to an ``ants.ANTsImage``: scans float32, label maps of an unsigned integer type.

    Raises
    ------
    ShapeError
        If it has more than one sample or channel.
    ImageError
        If antspyx is not installed.
    """
    ants = library("ants", "antspyx")
    values = as_numpy(one_channel(image))
    values = label_values(values) if image.labels else values.astype(np.float32)
    if image.labels and values.dtype != np.uint8:  # the other types that ANTs has
        values = values.astype(np.uint32 if values.min(initial=0) >= 0 else np.float32)
    spacing, origin, direction = place_of(image.grid)
    return ants.from_numpy(np.array(values), origin.tolist(), spacing.tolist(), np.array(direction))
