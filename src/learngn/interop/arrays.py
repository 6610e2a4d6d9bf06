"""Arrays with an affine, and functions that the conversions of several libraries share."""

from __future__ import annotations

import warnings
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from learngn.arrays import Array, as_numpy, detached, in_order, is_tensor, namespace, shared
from learngn.errors import HeaderWarning, ImageError, ShapeError
from learngn.geometry.image import Image
from learngn.io.geometry import flat_affine, placed
from learngn.io.source import label_values


def from_array(array: ArrayLike | Array, affine: ArrayLike, *, labels: bool = False) -> Image:
    """Convert an array of NumPy or PyTorch and its affine to an image.

    Parameters
    ----------
    array : array, shape S
        Values in the order of the affine's axes, 2D or 3D. A tensor of PyTorch stays one, on its device.
    affine : array, shape (D+1, D+1)
        Affine from index to RAS mm. For a 2D array it may be the affine of a volume, (4, 4), with an axial slice.
    labels : bool
        Whether the array is a label map.

    Returns
    -------
    Image
        (1, 1, *S), float32; label maps of an integer type. The values are copied.

    Raises
    ------
    ImageError
        If the array is neither 2D nor 3D, or complex.
    LabelError
        If a label map holds other values than whole numbers.
    GeometryError
        If the affine has implausible voxel sizes or positions.
    """
    values = detached(array) if is_tensor(array) else np.asarray(array)
    xp = namespace(values)
    is_complex = xp.isdtype(values.dtype, "complex floating")
    if values.ndim not in (2, 3) or is_complex:
        what = "complex values" if is_complex else f"shape {tuple(values.shape)}"
        raise ImageError("array", what, "a 2D or 3D scan", "take one channel and sample, or the magnitude")
    data: Array
    if labels:
        data = shared(np.array(label_values(as_numpy(values)), order="C"), values)
    elif is_tensor(values):
        data = in_order(xp.astype(values, xp.float32, copy=True))
    else:
        data = np.array(values, dtype=np.float32, order="C")
    matrix = np.asarray(as_numpy(affine), dtype=np.float64)
    grid, note = placed(values.shape, flat_affine(matrix, values.ndim))
    if note:
        warnings.warn(HeaderWarning("image", note), stacklevel=2)
    return Image(data[None, None], grid, labels)


def one_channel(image: Image) -> Array:
    """Return the values of an image without the axes of samples and channels, shape S.

    Raises
    ------
    ShapeError
        If the image has more than one sample or channel.
    """
    if tuple(image.data.shape[:2]) != (1, 1):
        raise ShapeError(
            "image to convert",
            f"{image.data.shape[0]} samples of {image.data.shape[1]} channels",
            "one of each",
            "convert each channel on its own",
        )
    return detached(image.data)[0, 0]


def library(name: str, distribution: str = "") -> Any:
    """Import an optional library.

    Parameters
    ----------
    name : str
        Module to import.
    distribution : str
        Name by which pip installs it, if that is another one.

    Raises
    ------
    ImageError
        If it is not installed.
    """
    package = name.partition(".")[0]
    if find_spec(package) is None:
        raise ImageError(
            f"images of {package}",
            "no such package",
            "the package installed",
            f"run: pip install {distribution or package}",
        )
    return import_module(name)
