"""Conversion of any supported image type, without importing libraries that are not in use."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

from learngn.errors import ImageError
from learngn.geometry.image import Image
from learngn.interop.arrays import from_array
from learngn.interop.monai import from_monai
from learngn.interop.nibabel import from_nibabel
from learngn.interop.simpleitk import from_simpleitk
from learngn.interop.torchio import from_torchio
from learngn.io import read_image

# A path, an Image, an image of SimpleITK, nibabel, TorchIO or MONAI, or a pair (array, affine). It is Any because the
# libraries, and so their types, are optional.
ImageLike: TypeAlias = Any


def as_image(source: ImageLike, *, labels: bool = False) -> Image:
    """Convert a path or an image of another library to an :class:`Image`.

    Parameters
    ----------
    source : ImageLike
        A path, an :class:`Image`, an image of SimpleITK, nibabel, TorchIO or MONAI, or ``(array, affine)`` with an
        array of NumPy or PyTorch of the grid's shape and its affine to RAS mm.
    labels : bool
        Whether the source is a label map; ignored for an Image or a TorchIO image, whose type says so.

    Raises
    ------
    ImageError
        If the source has another type.
    LearnGNError
        If it cannot be read or converted.
    """
    if isinstance(source, Image):
        return source
    if isinstance(source, str | Path):
        return read_image(Path(source), labels=labels)
    if isinstance(source, tuple) and len(source) == 2:
        return from_array(*source, labels=labels)
    family = _family(source)
    if family == "torchio":
        return from_torchio(source)
    convert = {"SimpleITK": from_simpleitk, "nibabel": from_nibabel, "monai": from_monai}.get(family)
    if convert is None:
        raise ImageError(
            "image",
            f"a {type(source).__module__}.{type(source).__name__}",
            "a path, an Image, an image of SimpleITK, nibabel, TorchIO or MONAI, or (array, affine)",
            "convert it to one of these; a bare array needs its affine",
        )
    return convert(source, labels=labels)


def is_label_map(source: ImageLike) -> bool:
    """Whether the type of a source says that it is a label map: an Image of labels, or a TorchIO ``LabelMap``."""
    if isinstance(source, Image):
        return source.labels
    return any(base.__name__ == "LabelMap" for base in type(source).__mro__) and _family(source) == "torchio"


def _family(source: object) -> str:
    """Return the library of an image, by the module of its class or of a base class."""
    members = {
        "SimpleITK": "Image",
        "nibabel": "SpatialImage",
        "monai": "MetaTensor",
        "torchio": "Image",
    }
    for base in type(source).__mro__:
        package = base.__module__.partition(".")[0]
        if members.get(package) == base.__name__:
            return package
    return ""
