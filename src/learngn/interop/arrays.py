"""Arrays with an affine, and functions that the conversions of several libraries share."""

from __future__ import annotations

import warnings
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from learngn.errors import HeaderWarning, ImageError, ShapeError
from learngn.geometry.image import Image
from learngn.io.geometry import flat_affine, placed
from learngn.io.source import label_values


def from_array(array: ArrayLike | Tensor, affine: ArrayLike, *, labels: bool = False) -> Image:
    """Convert an array of NumPy or torch and its affine to an image.

    Parameters
    ----------
    array : array or Tensor, shape S
        Values in the order of the affine's axes, 2D or 3D. A tensor stays on its device.
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
    values = array.detach() if isinstance(array, Tensor) else torch.tensor(_native(np.asarray(array)))
    if values.ndim not in (2, 3) or values.is_complex():
        what = "complex values" if values.is_complex() else f"shape {tuple(values.shape)}"
        raise ImageError("array", what, "a 2D or 3D scan", "take one channel and sample, or the magnitude")
    integers = torch.as_tensor(label_values(values.cpu().numpy())) if labels else None
    data = values.to(torch.float32) if integers is None else integers.to(values.device)
    matrix = np.asarray(affine.cpu() if isinstance(affine, Tensor) else affine, dtype=np.float64)
    data = data.clone() if isinstance(array, Tensor) and data.data_ptr() == array.data_ptr() else data
    grid, note = placed(values.shape, flat_affine(matrix, values.ndim))
    if note:
        warnings.warn(HeaderWarning("image", note), stacklevel=2)
    return Image(data.contiguous()[None, None], grid, labels)


def one_channel(image: Image) -> Tensor:
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
    return image.data[0, 0].detach()


def library(name: str) -> Any:
    """Import an optional library.

    Raises
    ------
    ImageError
        If it is not installed.
    """
    package = name.partition(".")[0]
    if find_spec(package) is None:
        raise ImageError(
            f"images of {package}", "no such package", "the package installed", f"run: pip install {package}"
        )
    return import_module(name)


def _native(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Convert an array for torch: native byte order, no unsigned type that torch lacks, no negative strides."""
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype in (np.uint16, np.uint32, np.uint64):
        array = array.astype(np.int64)
    return np.ascontiguousarray(array)
