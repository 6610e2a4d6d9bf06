"""MONAI: tensors (C, i, j, k) with an affine, in RAS mm unless their metadata say LPS; displacements in voxels."""

from __future__ import annotations

from typing import Any

import numpy as np

from learngn.arrays import Array, detached, is_tensor, namespace, require_torch
from learngn.errors import ImageError, TransformError
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.geometry.transform import Affine, Composite, DisplacementField, Transform
from learngn.interop.arrays import from_array, library, one_channel
from learngn.io.geometry import flat_affine, volume_affine
from learngn.io.itk import lps


def from_monai(image: Any, *, labels: bool = False) -> Image:
    """Convert a MetaTensor to an image.

    Parameters
    ----------
    image : monai.data.MetaTensor, shape (1, *S)
        One channel and no batch axis, as in MONAI's dictionary transforms.
    labels : bool
        Whether the image is a label map.

    Raises
    ------
    ImageError
        If it has several channels, or a batch axis.
    LearnGNError
        As :func:`from_array` does.
    """
    if image.ndim not in (3, 4) or len(image) != 1:
        raise ImageError(
            "MetaTensor", f"shape {tuple(image.shape)}", "(1, *S), 2D or 3D", "use EnsureChannelFirst, take one channel"
        )
    ndim = image.ndim - 1
    affine = flat_affine(np.asarray(image.affine.cpu(), dtype=np.float64), ndim)
    if str(image.meta.get("space", "RAS")) == "LPS":
        flip = np.eye(ndim + 1)
        flip[:-1, :-1] = lps(ndim)
        affine = flip @ affine
    return from_array(image.as_tensor()[0], affine, labels=labels)


def to_monai(image: Image) -> Any:
    """Convert an image, (1, 1, *S), to a ``monai.data.MetaTensor`` of shape (1, *S), in RAS.

    Raises
    ------
    ShapeError
        If it has more than one sample or channel.
    """
    return _meta_tensor(one_channel(image)[None], image.grid)


def field_to_monai(transform: Transform, fixed: Grid, moving: Grid) -> Any:
    """Return the displacement with which ``monai.networks.blocks.Warp`` warps the moving image.

    Parameters
    ----------
    transform : Transform
        Transform from the fixed to the moving world.
    fixed, moving : Grid
        Grids of the two images, of the same shape, as Warp requires.

    Returns
    -------
    monai.data.MetaTensor, shape (D, *S) [voxel, components in array order]
        Index in the moving image minus index in the fixed one. Add a batch dimension for Warp.

    Raises
    ------
    TransformError
        If the shapes differ.
    """
    if fixed.shape != moving.shape:
        raise TransformError(
            "field for Warp of MONAI",
            f"a fixed image of {fixed.shape} and a moving one of {moving.shape} voxels",
            "one shape",
            "resample the moving image onto the fixed grid first, or use Transform.warp",
        )
    return displacement_to_monai(transform, fixed, moving)


def displacement_to_monai(transform: Transform, fixed: Grid, moving: Grid) -> Any:
    """Return the displacement of :func:`field_to_monai` for images of any shapes."""
    return _meta_tensor(detached(transform.on(fixed).displacement(moving))[0], fixed)


def field_from_monai(field: Array, fixed: Grid, moving: Grid) -> Transform:
    """Convert a displacement of MONAI, as its registration networks return it, to a transform.

    Parameters
    ----------
    field : Array, shape (D, *S) or (1, D, *S) [voxel, components in array order]
        Index in the moving image minus index in the fixed one.
    fixed, moving : Grid
        Grids of the two images.

    Raises
    ------
    TransformError
        If the field does not have the fixed grid's shape, or is not finite.
    """
    data = detached(field) if is_tensor(field) else np.asarray(field)
    data = data.as_tensor() if hasattr(data, "as_tensor") else data
    data = data[None] if data.ndim == fixed.ndim + 1 else data
    xp = namespace(data)
    inner = DisplacementField(xp.astype(data, xp.float32, copy=False), fixed)
    if fixed.same_space(moving):
        return inner
    return Composite((inner, Affine(moving.affine @ np.linalg.inv(fixed.affine))))


def _meta_tensor(data: Array, grid: Grid) -> Any:
    """Return a copy of an array as a MetaTensor."""
    torch, monai_data = require_torch("images of MONAI"), library("monai.data")
    # Also for 2D the affine of a volume, as LoadImage returns it.
    affine = torch.as_tensor(volume_affine(grid))
    return monai_data.MetaTensor(
        torch.as_tensor(data).clone(), affine=affine, meta={"space": "RAS", "original_channel_dim": 0}
    )
