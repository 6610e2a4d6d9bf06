"""Conversion of any supported image type, without importing libraries that are not in use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from learngn.errors import ImageError
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.interop.ants import from_ants
from learngn.interop.arrays import from_array
from learngn.interop.monai import from_monai
from learngn.interop.nibabel import from_nibabel
from learngn.interop.simpleitk import from_simpleitk
from learngn.interop.torchio import from_torchio
from learngn.interop.types import ImageLike
from learngn.io import read_grid, read_image

_CONVERSIONS: dict[str, Callable[..., Image]] = {
    "SimpleITK": from_simpleitk,
    "nibabel": from_nibabel,
    "ants": from_ants,
    "monai": from_monai,
}
# Class of the images of each library, by the package that defines it.
_CLASSES = {
    "SimpleITK": "Image",
    "nibabel": "SpatialImage",
    "ants": "ANTsImage",
    "monai": "MetaTensor",
    "torchio": "Image",
}


def as_image(source: ImageLike, *, labels: bool = False) -> Image:
    """Convert a path or an image of another library to an :class:`Image`.

    Parameters
    ----------
    source : ImageLike
        A path, an :class:`Image`, an image of SimpleITK, nibabel, ANTs, TorchIO or MONAI, or ``(array, affine)`` with
        an array of NumPy or PyTorch of the grid's shape and its affine to RAS mm.
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
    convert = _CONVERSIONS.get(family)
    if convert is None:
        raise ImageError(
            "image",
            f"a {type(source).__module__}.{type(source).__name__}",
            "a path, an Image, an image of SimpleITK, nibabel, ANTs, TorchIO or MONAI, or (array, affine)",
            "convert it to one of these; a bare array needs its affine",
        )
    return convert(source, labels=labels)


def as_grid(source: Grid | ImageLike) -> Grid:
    """Return a grid, or that of an image; of a file only the header is read.

    Parameters
    ----------
    source : Grid or ImageLike
        A grid, or an image as :func:`as_image` takes it.

    Raises
    ------
    LearnGNError
        If it cannot be read or converted.
    """
    if isinstance(source, Grid):
        return source
    if isinstance(source, str | Path):
        return read_grid(source)
    return as_image(source).grid


def is_label_map(source: ImageLike) -> bool:
    """Whether the type of a source says that it is a label map: an Image of labels, or a TorchIO ``LabelMap``."""
    if isinstance(source, Image):
        return source.labels
    return any(base.__name__ == "LabelMap" for base in type(source).__mro__) and _family(source) == "torchio"


def _family(source: object) -> str:
    """Return the library of an image, by the module of its class or of a base class."""
    for base in type(source).__mro__:
        package = base.__module__.partition(".")[0]
        if _CLASSES.get(package) == base.__name__:
            return package
    return ""
