"""TorchIO: RAS mm, tensors (C, i, j, k), also for 2D."""

from __future__ import annotations

from typing import Any

from learngn.arrays import require_torch
from learngn.errors import ImageError
from learngn.geometry.image import Image
from learngn.interop.arrays import from_array, library, one_channel
from learngn.io.geometry import volume_affine


def from_torchio(image: Any) -> Image:
    """Convert an image of TorchIO; a ``LabelMap`` becomes a label map.

    Parameters
    ----------
    image : torchio.ScalarImage or torchio.LabelMap
        Image of one channel. A TorchIO image of one slice becomes 2D if it is axial.

    Raises
    ------
    ImageError
        If it has several channels.
    LearnGNError
        As :func:`from_array` does.
    """
    torchio = library("torchio")
    data = image.data
    if len(data) != 1:
        raise ImageError("image of TorchIO", f"{len(data)} channels", "one", "take the channel to register")
    values = data[0]
    # In TorchIO, a 2D image has one voxel along the last axis.
    axial = values.shape[-1] == 1 and not image.affine[:2, 2].any() and not image.affine[2, :2].any()
    return from_array(values[..., 0] if axial else values, image.affine, labels=isinstance(image, torchio.LabelMap))


def to_torchio(image: Image) -> Any:
    """Convert an image, (1, 1, *S), to a ``torchio.ScalarImage``, or a label map to a ``torchio.LabelMap``.

    Raises
    ------
    ShapeError
        If it has more than one sample or channel.
    """
    torch, torchio = require_torch("images of TorchIO"), library("torchio")
    values = torch.as_tensor(one_channel(image)).cpu()
    values = values[..., None] if image.grid.ndim == 2 else values
    kind = torchio.LabelMap if image.labels else torchio.ScalarImage
    return kind(tensor=values[None].clone(), affine=volume_affine(image.grid))


def subject_images(subject: Any) -> dict[str, Image]:
    """Return the images of a ``torchio.Subject`` by name, without its other entries."""
    torchio = library("torchio")
    return {name: from_torchio(value) for name, value in subject.items() if isinstance(value, torchio.Image)}
