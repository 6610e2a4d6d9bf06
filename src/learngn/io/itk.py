"""The border to ITK: from LPS mm and arrays (k, j, i) to RAS mm and tensors (i, j, k), and back."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray

from learngn.errors import GeometryError, ImageError, LabelError, ShapeError
from learngn.grid import FloatArray, Grid
from learngn.image import Image

AnyArray = NDArray[Any]

# What SimpleITK raises where ITK fails; UnicodeError where ITK quotes what it could not read.
ITK_FAILURES = (RuntimeError, MemoryError, UnicodeError)

_STDERR = 2
# What may be a scan [mm]: from molecules to landscapes. Beyond that arithmetic ends.
_FINEST, _COARSEST, _FARTHEST = 1e-7, 1e6, 1e9


def lps(ndim: int) -> FloatArray:
    """Matrix between RAS and LPS, its own inverse, shape (D, D); in 2D both axes are negated."""
    return np.diag([-1.0, -1.0, 1.0][:ndim])


def grid_of(header: Any, *, series: bool = False) -> Grid:
    """Grid of a SimpleITK image, or of a reader that has read a header.

    Raises
    ------
    GeometryError
        If the header makes no sense.
    ImageError
        If it has more than three dimensions; further axes of length 1 are left out.
    """
    size = header.GetSize()
    if any(n != 1 for n in size[4 if series else 3 :]):
        raise ImageError("image", f"{len(size)} dimensions, {size}", "a 2D or 3D scan", "extract one volume")
    ndim = min(len(size), 3)
    direction = np.asarray(header.GetDirection()).reshape(len(size), len(size))[:ndim, :ndim]
    spacing, origin = np.asarray(header.GetSpacing()[:ndim]), np.asarray(header.GetOrigin()[:ndim])
    # NaN fails.
    if not ((spacing > _FINEST) & (spacing < _COARSEST)).all() or not (np.abs(origin) < _FARTHEST).all():
        raise GeometryError(
            "image header",
            f"voxels of {' x '.join(f'{v:g}' for v in spacing)} mm at {', '.join(f'{v:g}' for v in origin)}",
            f"sizes from {_FINEST:g} to {_COARSEST:g} mm, within {_FARTHEST:g} mm",
            "repair the header (spacing, origin), or fetch the file again",
        )
    affine = np.eye(ndim + 1)
    affine[:-1, :-1] = lps(ndim) @ direction * spacing
    affine[:-1, -1] = lps(ndim) @ origin
    return Grid(tuple(size[:ndim]), affine + 0.0)  # + 0.0: no negative zeros


def place_of(grid: Grid) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Spacing, shape (D,), origin, shape (D,), and direction, shape (D, D), as ITK has them [LPS mm]."""
    flip = lps(grid.ndim)
    return grid.spacing, flip @ grid.origin + 0.0, flip @ grid.direction + 0.0


def put_on_grid(image: Any, grid: Grid) -> None:
    """Give a SimpleITK image, which has the grid's size, its place."""
    spacing, origin, direction = place_of(grid)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(origin.tolist())
    image.SetDirection(direction.ravel().tolist())


def from_sitk(image: Any, labels: bool = False) -> Image:
    """Turn a SimpleITK image into ours.

    Parameters
    ----------
    image : SimpleITK.Image
        2D or 3D, one value a voxel. Further axes of length 1 are left out; colour is taken if it is grey.
    labels : bool
        Whether the values name classes.

    Returns
    -------
    Image
        (1, 1, *S), float32; label maps uint8, int16 or, where that does not suffice, int32.

    Raises
    ------
    ImageError
        If it has colours, vectors, complex values, or more than three dimensions.
    LabelError
        If a label map holds something else than whole numbers.
    """
    while image.GetDimension() > 3 and image.GetSize()[-1] == 1:
        image = image[(slice(None),) * (image.GetDimension() - 1) + (0,)]
    if image.GetDimension() > 3:
        raise ImageError(
            "image", f"{image.GetDimension()} dimensions, {image.GetSize()}", "a 2D or 3D scan", "extract one volume"
        )
    values = np.asarray(sitk.GetArrayViewFromImage(image))
    if image.GetNumberOfComponentsPerPixel() > 1:
        values = _grey(values)
    if np.iscomplexobj(values):
        raise ImageError("image", "complex values", "real ones", "take the magnitude first")
    values = values.T
    # A copy, and no more than one: the view is of the memory of ITK.
    data = torch.tensor(label_values(values)) if labels else torch.from_numpy(np.array(values, np.float32, order="C"))
    return Image(data[None, None], grid_of(image), labels)


def to_sitk(image: Image) -> Any:
    """Turn an image of ours, (1, 1, *S), into a SimpleITK image: scans float32, label maps of an integer type.

    Raises
    ------
    ShapeError
        If it has more than one sample or channel.
    LabelError
        If a label map holds something else than whole numbers.
    """
    if tuple(image.data.shape[:2]) != (1, 1):
        raise ShapeError(
            "image to write",
            f"{image.data.shape[0]} samples of {image.data.shape[1]} channels",
            "one of each",
            "write each channel to its own file",
        )
    values = image.data[0, 0].detach().cpu()
    array = label_values(values.numpy()) if image.labels else values.to(torch.float32).numpy()
    result = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    put_on_grid(result, image.grid)
    return result


def label_values(values: AnyArray) -> AnyArray:
    """Whole numbers as they are (uint8, int16), or in the smaller of int16 and int32 that holds them.

    Raises
    ------
    LabelError
        If there are others.
    """
    if values.dtype in (np.uint8, np.int16):
        return np.ascontiguousarray(values)
    with np.errstate(invalid="ignore"):
        whole = np.isfinite(values) & (values == np.rint(values)) if values.dtype.kind == "f" else np.True_
    if not whole.all():
        wrong = values[~whole].flat[0]
        raise LabelError(
            "label map", f"the value {wrong:g}", "whole numbers", "pass a segmentation, resampled to the nearest voxel"
        )
    low, high = int(values.min()), int(values.max())
    for dtype in (np.int16, np.int32):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return np.ascontiguousarray(values, dtype=dtype)
    raise LabelError("label map", f"values from {low} to {high}", "labels of 32 bits", "number the labels anew")


@contextmanager
def quietly() -> Iterator[None]:
    """Keep the warnings of ITK, and of the C libraries in it, from the user's terminal; errors come as exceptions.

    The libraries write to the process's standard error itself. It is turned away for as long as the block takes, unless
    another thread could have something to say there.
    """
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        with _stderr_turned_away() if threading.active_count() == 1 else nullcontext():
            yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


@contextmanager
def _stderr_turned_away() -> Iterator[None]:
    try:
        kept = os.dup(_STDERR)
    except OSError:  # closed: nobody listens
        yield
        return
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, _STDERR)
        os.close(nowhere)
        yield
    finally:
        os.dup2(kept, _STDERR)
        os.close(kept)


def reason(error: Exception) -> str:
    """What an exception of SimpleITK says, without the places in ITK's source."""
    if isinstance(error, UnicodeError):
        return "content that is no text"
    said = str(error).strip().splitlines() or ["not enough memory"]
    return said[-1].rpartition("ERROR: ")[2].strip()


def _grey(values: AnyArray) -> AnyArray:
    """The one channel of a grey picture stored as colour, shape (..., C) to (...); transparency is left out."""
    colours = values[..., :3] if values.shape[-1] > 2 else values[..., :1]
    is_picture = values.dtype in (np.uint8, np.uint16) and values.shape[-1] <= 4
    if not is_picture or not (colours == colours[..., :1]).all():
        raise ImageError(
            "image", f"{values.shape[-1]} values a voxel", "one", "convert it to grey, or write each channel to a file"
        )
    return np.asarray(colours[..., 0])
