"""Bare arrays with an affine, and what the libraries that have such images share."""

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
    """Turn an array, NumPy's or torch's, and its affine into an image.

    Parameters
    ----------
    array : array or Tensor, shape S
        Values in the order of the affine's axes, 2D or 3D. A tensor stays on its device.
    affine : array, shape (D+1, D+1)
        Index to RAS mm. For a 2D array the affine of a volume, (4, 4), is taken too, if its slice lies in the plane.
    labels : bool
        Whether the values name classes.

    Returns
    -------
    Image
        (1, 1, *S), float32; label maps of an integer type. It has a copy of the values.

    Raises
    ------
    ImageError
        If the array is neither 2D nor 3D, or complex.
    LabelError
        If a label map holds something else than whole numbers.
    GeometryError
        If the affine makes no sense.
    """
    values = array.detach() if isinstance(array, Tensor) else torch.tensor(_native(np.asarray(array)))
    if values.ndim not in (2, 3) or values.is_complex():
        what = "complex values" if values.is_complex() else f"shape {tuple(values.shape)}"
        raise ImageError("array", what, "a 2D or 3D scan", "take one channel and sample, or the magnitude")
    whole = torch.as_tensor(label_values(values.cpu().numpy())) if labels else None
    data = values.to(torch.float32) if whole is None else whole.to(values.device)
    matrix = np.asarray(affine.cpu() if isinstance(affine, Tensor) else affine, dtype=np.float64)
    data = data.clone() if isinstance(array, Tensor) and data.data_ptr() == array.data_ptr() else data
    grid, note = placed(values.shape, flat_affine(matrix, values.ndim))
    if note:
        warnings.warn(HeaderWarning("image", note), stacklevel=2)
    return Image(data.contiguous()[None, None], grid, labels)


def one_channel(image: Image) -> Tensor:
    """Values of an image without sample and channel, shape S.

    Raises
    ------
    ShapeError
        If it has several of either.
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
    """Import a library that need not be installed.

    Raises
    ------
    ImageError
        If it is not.
    """
    package = name.partition(".")[0]
    if find_spec(package) is None:
        raise ImageError(
            f"images of {package}", "no such package", "the package installed", f"run: pip install {package}"
        )
    return import_module(name)


def _native(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """An array that torch takes: of this machine's byte order, no unsigned type that it lacks, not reversed."""
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype in (np.uint16, np.uint32, np.uint64):
        array = array.astype(np.int64)
    return np.ascontiguousarray(array)
