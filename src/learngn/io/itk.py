"""The border to ITK: from LPS mm and arrays (k, j, i) to RAS mm and tensors (i, j, k), and back."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import SimpleITK as sitk

from learngn.geometry.grid import FloatArray, Grid
from learngn.geometry.image import Image
from learngn.io.source import Header, Source, values_to_write

# What SimpleITK raises where ITK fails; UnicodeError where ITK quotes what it could not read.
ITK_FAILURES = (RuntimeError, MemoryError, UnicodeError)

_STDERR = 2
_POINTER = re.compile(r"\w+ ?\(0x[0-9a-f]+\): ?")  # "NiftiImageIO (0x55c9e8a0): ", an address that tells a user nothing


def lps(ndim: int) -> FloatArray:
    """Matrix between RAS and LPS, its own inverse, shape (D, D); in 2D both axes are negated."""
    return np.diag([-1.0, -1.0, 1.0][:ndim])


def header_of(header: Any) -> Header:
    """What SimpleITK says of an image, or of a file whose header a reader of its has read."""
    size = tuple(int(n) for n in header.GetSize())
    ndim = min(len(size), 3)
    direction = np.asarray(header.GetDirection()).reshape(len(size), len(size))[:ndim, :ndim]
    affine = np.eye(ndim + 1)
    affine[:-1, :-1] = lps(ndim) @ direction * np.asarray(header.GetSpacing()[:ndim])
    affine[:-1, -1] = lps(ndim) @ np.asarray(header.GetOrigin()[:ndim])
    step = float(header.GetSpacing()[3]) if len(size) > 3 and size[3] > 1 else 0.0
    is_image = isinstance(header, sitk.Image)
    components = header.GetNumberOfComponentsPerPixel() if is_image else header.GetNumberOfComponents()
    return Header(size, affine, _type_of(header), max(1, int(components)), step=step if 0 < step < np.inf else None)


def source_of(image: Any) -> Source:
    """What a SimpleITK image holds; the values are a view of its memory."""
    values, header = np.asarray(_Memory(image)), header_of(image)
    axes = range(len(header.shape) - 1, -1, -1)
    return Source(header, values.transpose(*axes, *range(len(header.shape), values.ndim)))


class _Memory:
    """The values of a SimpleITK image as NumPy takes them; arrays of it keep the image alive, as its views do not."""

    def __init__(self, image: Any) -> None:
        self._image = image
        self.__array_interface__ = sitk.GetArrayViewFromImage(image).__array_interface__


def size_of(header: Any) -> int:
    """Bytes that reading an image takes whose header a reader of SimpleITK has read."""
    return header_of(header).bytes


def _type_of(header: Any) -> np.dtype[Any]:
    try:
        kind = sitk.Image([1, 1], header.GetPixelID(), 0)
    except RuntimeError:  # unknown to SimpleITK, which will refuse it
        return np.dtype(np.uint8)
    return np.asarray(_Memory(kind)).dtype


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
        2D or 3D, one value a voxel. Further axes of length 1 are left out; of colours the luminance is taken, with a
        :class:`~learngn.errors.HeaderWarning`.
    labels : bool
        Whether the values name classes.

    Returns
    -------
    Image
        (1, 1, *S), float32; label maps uint8, int16 or, where that does not suffice, int32.

    Raises
    ------
    ImageError
        If it has vectors, complex values, colours where labels are asked for, or more than three dimensions.
    LabelError
        If a label map holds something else than whole numbers.
    """
    return source_of(image).image(labels)


def to_sitk(image: Image, *, stored: bool = False) -> Any:
    """Turn an image of ours, (1, 1, *S), into a SimpleITK image: scans float32, label maps of an integer type.

    Parameters
    ----------
    image : Image
    stored : bool
        Round a scan that comes from a file of integers to their type, as when it is written.

    Raises
    ------
    ShapeError
        If it has more than one sample or channel.
    LabelError
        If a label map holds something else than whole numbers.
    """
    values = values_to_write(image if stored else replace(image, stored=None))
    result = sitk.GetImageFromArray(np.ascontiguousarray(values.T))
    put_on_grid(result, image.grid)
    return result


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
    return _POINTER.sub("", said[-1].rpartition("ERROR: ")[2].strip())
