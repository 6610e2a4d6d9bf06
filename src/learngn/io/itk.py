"""Conversion from ITK's LPS mm and arrays (k, j, i) to RAS mm and arrays (i, j, k), and back."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np

from learngn.geometry.grid import FloatArray, Grid
from learngn.geometry.image import Image
from learngn.io.simpleitk import sitk
from learngn.io.source import Header, Source, values_to_write

# Exceptions of SimpleITK when ITK fails; UnicodeError when ITK's message quotes bytes of the file.
ITK_FAILURES = (RuntimeError, MemoryError, UnicodeError)

_STDERR = 2
_POINTER = re.compile(r"\w+ ?\(0x[0-9a-f]+\): ?")  # "NiftiImageIO (0x55c9e8a0): ", an address in memory


def lps(ndim: int) -> FloatArray:
    """Return the matrix between RAS and LPS, its own inverse, shape (D, D); in 2D both axes are negated."""
    return np.diag([-1.0, -1.0, 1.0][:ndim])


def header_of(header: Any) -> Header:
    """Return the header of a SimpleITK image, or of a SimpleITK reader that has read a file's header."""
    size = tuple(int(n) for n in header.GetSize())
    ndim = min(len(size), 3)
    direction = np.asarray(header.GetDirection()).reshape(len(size), len(size))[:ndim, :ndim]
    affine = affine_at(header.GetSpacing()[:ndim], header.GetOrigin()[:ndim], direction)
    step = float(header.GetSpacing()[3]) if len(size) > 3 and size[3] > 1 else 0.0
    is_image = isinstance(header, sitk.Image)
    components = header.GetNumberOfComponentsPerPixel() if is_image else header.GetNumberOfComponents()
    return Header(size, affine, _type_of(header), max(1, int(components)), step=step if 0 < step < np.inf else None)


def source_of(image: Any) -> Source:
    """Return header and values of a SimpleITK image; the values are a view of its memory."""
    values, header = np.asarray(_Memory(image)), header_of(image)
    axes = range(len(header.shape) - 1, -1, -1)
    return Source(header, values.transpose(*axes, *range(len(header.shape), values.ndim)))


class _Memory:
    """Array interface to the values of a SimpleITK image, which keeps the image alive; SimpleITK's views do not."""

    def __init__(self, image: Any) -> None:
        self._image = image
        self.__array_interface__ = sitk.GetArrayViewFromImage(image).__array_interface__


def size_of(header: Any) -> int:
    """Return the memory that reading an image takes [bytes], from a SimpleITK reader that has read its header."""
    return header_of(header).bytes


def _type_of(header: Any) -> np.dtype[Any]:
    try:
        kind = sitk.Image([1, 1], header.GetPixelID(), 0)
    except RuntimeError:  # a type that SimpleITK does not know; reading will fail with its message
        return np.dtype(np.uint8)
    return np.asarray(_Memory(kind)).dtype


def place_of(grid: Grid) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return spacing, shape (D,), origin, shape (D,), and direction, shape (D, D), in ITK's convention [LPS mm]."""
    flip = lps(grid.ndim)
    return grid.spacing, flip @ grid.origin + 0.0, flip @ grid.direction + 0.0


def affine_at(spacing: Sequence[float], origin: Sequence[float], direction: FloatArray) -> FloatArray:
    """Return the affine from index to RAS mm, shape (D+1, D+1), of a position as :func:`place_of` returns it."""
    ndim = len(direction)
    affine = np.eye(ndim + 1)
    affine[:-1, :-1] = lps(ndim) @ direction * np.asarray(spacing)
    affine[:-1, -1] = lps(ndim) @ np.asarray(origin)
    return affine


def put_on_grid(image: Any, grid: Grid) -> None:
    """Set the position of a SimpleITK image, which has the grid's size."""
    spacing, origin, direction = place_of(grid)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(origin.tolist())
    image.SetDirection(direction.ravel().tolist())


def from_sitk(image: Any, labels: bool = False) -> Image:
    """Convert a SimpleITK image.

    Parameters
    ----------
    image : SimpleITK.Image
        2D or 3D, one value a voxel. Further axes of length 1 are dropped; colours are converted to their luminance,
        with a :class:`~learngn.errors.HeaderWarning`.
    labels : bool
        Whether the image is a label map.

    Returns
    -------
    Image
        (1, 1, *S), float32; label maps uint8 or int16, or int32 if their values need it.

    Raises
    ------
    ImageError
        If it has vectors, complex values, colours although `labels` is set, or more than three dimensions.
    LabelError
        If a label map holds other values than whole numbers.
    """
    return source_of(image).image(labels)


def to_sitk(image: Image, *, stored: bool = False) -> Any:
    """Convert an image, (1, 1, *S), to a SimpleITK image: scans float32, label maps of an integer type.

    Parameters
    ----------
    image : Image
    stored : bool
        Whether to round a scan that comes from a file of integers to their type, as when it is written.

    Raises
    ------
    ShapeError
        If the image has more than one sample or channel.
    LabelError
        If a label map holds other values than whole numbers.
    """
    values = values_to_write(image if stored else replace(image, stored=None))
    result = sitk.GetImageFromArray(np.ascontiguousarray(values.T))
    put_on_grid(result, image.grid)
    return result


@contextmanager
def quietly() -> Iterator[None]:
    """Hide the warnings of ITK and of its C libraries; errors are raised as exceptions.

    The libraries write to the process's standard error directly. It is redirected to the null device while the block
    runs, unless there are other threads, whose messages would be lost.
    """
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        with _stderr_discarded() if threading.active_count() == 1 else nullcontext():
            yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


@contextmanager
def _stderr_discarded() -> Iterator[None]:
    try:
        saved = os.dup(_STDERR)
    except OSError:  # standard error is closed
        yield
        return
    try:
        null_device = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null_device, _STDERR)
        os.close(null_device)
        yield
    finally:
        os.dup2(saved, _STDERR)
        os.close(saved)


def reason(error: Exception) -> str:
    """Return the message of a SimpleITK exception, without the lines that refer to ITK's source."""
    if isinstance(error, UnicodeError):
        return "content that is no text"
    lines = str(error).strip().splitlines() or ["not enough memory"]
    return _POINTER.sub("", lines[-1].rpartition("ERROR: ")[2].strip())
