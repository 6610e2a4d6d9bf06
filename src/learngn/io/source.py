"""Content of an image file, independent of the library that reads it: header in RAS mm, and stored values."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learngn.arrays import as_numpy
from learngn.errors import HeaderWarning, ImageError, LabelError, ShapeError
from learngn.geometry.grid import FloatArray, Grid
from learngn.geometry.image import Image
from learngn.io.geometry import flat_affine, placed
from learngn.io.tiles import Part, fastest_last

AnyArray = NDArray[Any]
_LUMINANCE = (0.299, 0.587, 0.114)  # weights of red, green and blue, ITU-R BT.601
_WORK = 4  # memory for the values as float32, in addition to the file's own [bytes per voxel]


@dataclass(frozen=True, eq=False)
class Header:
    """Header of an image file, read before its voxels.

    Parameters
    ----------
    shape : tuple of int
        Sizes of all axes in array order: i, j[, k], then frames and further axes.
    affine : array, shape (D+1, D+1)
        Affine from the index of the spatial axes to RAS mm; (4, 4) also for a 2D image of NIfTI.
    dtype : dtype
        Type of the values that are returned.
    components : int
        Values per voxel: 1, or more for vectors and colours.
    intent : int
        NIfTI's intent code; vectors of code 1006 are in RAS, all others in LPS.
    step : float, optional
        Time from one frame to the next [s].
    notes : tuple of str
        Warnings for the user.
    """

    shape: tuple[int, ...]
    affine: FloatArray
    dtype: np.dtype[Any]
    components: int = 1
    intent: int = 0
    step: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def space(self) -> tuple[int, ...]:
        """Sizes of the spatial axes."""
        return self.shape[: min(3, len(self.shape))]

    @property
    def bytes(self) -> int:
        """Memory that reading the image takes: the file's values and those of the image."""
        return math.prod(self.shape) * (self.dtype.itemsize * self.components + _WORK)

    @property
    def frames(self) -> int:
        """Number of volumes."""
        return math.prod(self.shape[3:])

    def place(self, ndim: int | None = None) -> tuple[Grid, str | None]:
        """Return the grid of the spatial axes, or of the first `ndim` of them, and a warning."""
        count = len(self.space) if ndim is None else ndim
        if count not in (2, 3):
            raise ImageError("image", f"{count} axes, {self.shape}", "a 2D or 3D scan", "check the file")
        return placed(self.shape[:count], flat_affine(np.asarray(self.affine, dtype=np.float64), count))

    @property
    def grid(self) -> Grid:
        """Grid of the spatial axes."""
        return self.place()[0]

    def check_series(self) -> None:
        """Raise :class:`ImageError` if the file has more than four axes."""
        if any(n != 1 for n in self.shape[4:]):
            raise self._too_many("a series of volumes, of at most 4 axes", "split the file")

    def check_single(self) -> None:
        """Raise :class:`ImageError` if the file holds several volumes."""
        if any(n != 1 for n in self.shape[3:]):
            raise self._too_many(
                "a 2D or 3D scan",
                "write one of its volumes to a file, in Python: next(learngn.io.read_frames(FILE)).save('one.nii.gz')",
            )

    def _too_many(self, expected: str, remedy: str) -> ImageError:
        return ImageError("image", f"{len(self.shape)} dimensions, {self.shape}", expected, remedy)


@dataclass(frozen=True, eq=False)
class Source:
    """Header and stored values of an image.

    Parameters
    ----------
    header : Header
    values : array, shape (*header.shape) or (*header.shape, components)
        Values of any type and memory order; integers stay integers unless the file scales them.
    """

    header: Header
    values: AnyArray

    def image(self, labels: bool = False, what: str = "image") -> Image:
        """Make an image of the single volume; convert colours to luminance, with a :class:`HeaderWarning`.

        Parameters
        ----------
        labels : bool
            Whether the image is a label map.
        what : str
            Name of the image in warnings.

        Raises
        ------
        ImageError
            If it has vectors, complex values, colours although `labels` is set, or more than three dimensions.
        LabelError
            If a label map holds other values than whole numbers.
        GeometryError
            If the header has implausible voxel sizes or positions.
        """
        self.header.check_single()
        values = self.values.reshape((*self.header.space, *self.values.shape[len(self.header.shape) :]))
        return image_of(values, self.header, labels, what)


def image_of(values: AnyArray, header: Header, labels: bool, what: str = "image") -> Image:
    """Make an image of the values of one volume, shape (*S) or (*S, components); see :meth:`Source.image`."""
    if header.components > 1:
        values = _grey(values, labels, what)
    if np.iscomplexobj(values):
        raise ImageError("image", "complex values", "real ones", "take the magnitude first")
    # Copied once: the memory may belong to a SimpleITK image, which the caller may change.
    kept = label_values(values) if labels else values
    data = fastest_last(kept, kept.dtype if labels else np.float32)
    return Image(data[None, None], header.grid, labels, stored=None if labels else _stored(values.dtype))


def scan_of(header: Header, values: NDArray[np.float32]) -> Image:
    """Make an image of a scan's values of one volume, shape (*S), which have been converted from those of the file."""
    return Image(values[None, None], header.grid, stored=_stored(header.dtype))


def values_to_write(image: Image) -> AnyArray:
    """Return the values of an image for a file, shape S: label maps as integers, scans as `Image.stored` or float32.

    Raises
    ------
    ShapeError
        If the image has more than one sample or channel.
    LabelError
        If a label map holds other values than whole numbers.
    """
    dtype, part = part_to_write(image)
    return np.asarray(part((slice(None),) * image.grid.ndim), dtype)


def part_to_write(image: Image) -> tuple[np.dtype[Any], Part]:
    """Return the type of an image in a file, and its values as a function of a part of its grid.

    Raises as :func:`values_to_write` does.
    """
    if tuple(image.data.shape[:2]) != (1, 1):
        raise ShapeError(
            "image to write",
            f"{image.data.shape[0]} samples of {image.data.shape[1]} channels",
            "one of each",
            "write each channel to its own file",
        )
    values = as_numpy(image.data)[0, 0]
    if image.labels:
        values = label_values(values)
        return values.dtype, values.__getitem__
    if image.stored is None:
        return np.dtype(np.float32), values.__getitem__
    dtype = np.dtype(image.stored)
    return dtype, lambda box: _rounded(values[box], dtype)


def label_values(values: AnyArray) -> AnyArray:
    """Return whole numbers unchanged (uint8, int16), or in the smaller of int16 and int32 that holds them.

    Raises
    ------
    LabelError
        If there are other values than whole numbers, or numbers of more than 32 bits.
    """
    if values.dtype in (np.uint8, np.int16):
        return np.asarray(values, dtype=values.dtype.newbyteorder("="))
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
            return np.asarray(values, dtype=dtype)
    raise LabelError("label map", f"values from {low} to {high}", "labels of 32 bits", "number the labels anew")


def luminance(colours: AnyArray) -> NDArray[np.float32]:
    """Compute the luminance of colours by ITU-R BT.601, shape (..., 3 or 4) to (...); transparency is ignored.

    Colours whose channels are equal keep their exact value.
    """
    red, green, blue = (colours[..., channel].astype(np.float64) for channel in range(3))
    return np.asarray(green + _LUMINANCE[0] * (red - green) + _LUMINANCE[2] * (blue - green), dtype=np.float32)


def _grey(values: AnyArray, labels: bool, what: str) -> AnyArray:
    """Convert a picture to one value per voxel, shape (..., C) to (...)."""
    is_picture = values.dtype in (np.uint8, np.uint16) and values.shape[-1] <= 4
    colours = values[..., :3] if values.shape[-1] > 2 else values[..., :1]
    is_grey = is_picture and bool((colours == colours[..., :1]).all())
    if not is_picture or (labels and not is_grey):
        raise ImageError(
            "image", f"{values.shape[-1]} values a voxel", "one", "convert it to grey, or write each channel to a file"
        )
    if is_grey:
        return np.asarray(colours[..., 0])
    warnings.warn(HeaderWarning(what, "colours, of which the luminance is taken"), stacklevel=4)
    return luminance(colours)


def _stored(dtype: np.dtype[Any]) -> str | None:
    """Return the integer type in which a scan is written; integers of 64 bits, beyond float32, become 32 bits."""
    return dtype.newbyteorder("=").name.replace("64", "32") if dtype.kind in "iu" else None


def _rounded(values: AnyArray, dtype: np.dtype[Any]) -> AnyArray:
    """Round values to whole numbers of a type, clipped to its range."""
    if values.dtype == dtype:
        return values
    limits = np.iinfo(dtype)
    # Float32 holds every value of 16 bits, but would round the largest ones of 32 bits up, out of the type's range.
    whole = values.astype(np.float32 if limits.bits <= 16 else np.float64)
    np.rint(whole, out=whole)
    np.nan_to_num(whole, copy=False, nan=0.0)
    return np.asarray(whole.clip(limits.min, limits.max, out=whole).astype(dtype))
