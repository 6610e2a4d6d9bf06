"""What an image file holds, whatever library reads it: a header in our conventions, and values as they are stored."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from learngn.errors import ImageError, LabelError, ShapeError
from learngn.grid import FloatArray, Grid
from learngn.image import Image
from learngn.io.geometry import flat_affine, placed

AnyArray = NDArray[Any]
_WORK = 4  # bytes a voxel that reading needs beside the file's own: the values as float32


@dataclass(frozen=True, eq=False)
class Header:
    """What a file says of an image before its voxels are read.

    Parameters
    ----------
    shape : tuple of int
        Sizes of all axes in array order: i, j[, k], then frames and whatever follows.
    affine : array, shape (D+1, D+1)
        Index of the spatial axes to RAS mm; (4, 4) also for a 2D image of NIfTI.
    dtype : dtype
        Of the values as they are returned.
    components : int
        Values a voxel: 1, or more for vectors and colours.
    intent : int
        NIfTI's intent code; 1006 has vectors in RAS, all others in LPS.
    step : float, optional
        Time from one frame to the next [s].
    notes : tuple of str
        What a user should know about the header.
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
        """Memory that reading the image takes, the file's values and ours together."""
        return math.prod(self.shape) * (self.dtype.itemsize * self.components + _WORK)

    @property
    def frames(self) -> int:
        """Number of volumes."""
        return math.prod(self.shape[3:])

    def place(self, ndim: int | None = None) -> tuple[Grid, str | None]:
        """Return the grid of the spatial axes, of the first `ndim` of them, and what to warn about."""
        count = len(self.space) if ndim is None else ndim
        if count not in (2, 3):
            raise ImageError("image", f"{count} axes, {self.shape}", "a 2D or 3D scan", "check the file")
        return placed(self.shape[:count], flat_affine(np.asarray(self.affine, dtype=np.float64), count))

    @property
    def grid(self) -> Grid:
        """Grid of the spatial axes."""
        return self.place()[0]

    def check_series(self) -> None:
        """Raise :class:`ImageError` where there are axes beyond that of the frames."""
        if any(n != 1 for n in self.shape[4:]):
            raise self._too_many("a series of volumes, of at most 4 axes", "split the file")

    def check_single(self) -> None:
        """Raise :class:`ImageError` where a file holds several volumes."""
        if any(n != 1 for n in self.shape[3:]):
            raise self._too_many(
                "a 2D or 3D scan",
                "write one of its volumes to a file, in Python: next(learngn.io.read_frames(FILE)).save('one.nii.gz')",
            )

    def _too_many(self, expected: str, remedy: str) -> ImageError:
        return ImageError("image", f"{len(self.shape)} dimensions, {self.shape}", expected, remedy)


@dataclass(frozen=True, eq=False)
class Source:
    """An image as its file has it.

    Parameters
    ----------
    header : Header
    values : array, shape (*header.shape) or (*header.shape, components)
        Of any type and order in memory; integers stay integers unless the file scales them.
    """

    header: Header
    values: AnyArray

    def image(self, labels: bool = False) -> Image:
        """Make an image of the single volume.

        Raises
        ------
        ImageError
            If it has colours, vectors, complex values, or more than three dimensions.
        LabelError
            If a label map holds something else than whole numbers.
        GeometryError
            If the header makes no sense.
        """
        self.header.check_single()
        values = self.values.reshape((*self.header.space, *self.values.shape[len(self.header.shape) :]))
        return image_of(values, self.header, labels)


def image_of(values: AnyArray, header: Header, labels: bool) -> Image:
    """Make an image of the values of one volume, shape (*S) or (*S, components); see :meth:`Source.image`."""
    if header.components > 1:
        values = _grey(values)
    if np.iscomplexobj(values):
        raise ImageError("image", "complex values", "real ones", "take the magnitude first")
    # A copy, and no more than one: the memory may be that of an image of SimpleITK, which others may change.
    data = torch.tensor(label_values(values)) if labels else torch.from_numpy(np.array(values, np.float32, order="C"))
    return Image(data[None, None], header.grid, labels)


def values_to_write(image: Image) -> AnyArray:
    """Values of an image as files hold them, shape S: scans float32, label maps of an integer type.

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
    return label_values(values.numpy()) if image.labels else values.to(torch.float32).numpy()


def label_values(values: AnyArray) -> AnyArray:
    """Whole numbers as they are (uint8, int16), or in the smaller of int16 and int32 that holds them.

    Raises
    ------
    LabelError
        If there are others.
    """
    if values.dtype in (np.uint8, np.int16):
        return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
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


def _grey(values: AnyArray) -> AnyArray:
    """The one channel of a grey picture stored as colour, shape (..., C) to (...); transparency is left out."""
    colours = values[..., :3] if values.shape[-1] > 2 else values[..., :1]
    is_picture = values.dtype in (np.uint8, np.uint16) and values.shape[-1] <= 4
    if not is_picture or not (colours == colours[..., :1]).all():
        raise ImageError(
            "image", f"{values.shape[-1]} values a voxel", "one", "convert it to grey, or write each channel to a file"
        )
    return np.asarray(colours[..., 0])
