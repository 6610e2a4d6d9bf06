"""Image: an array and its grid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from learngn.arrays import Array, as_numpy, finite, is_tensor, namespace, require_torch
from learngn.errors import ImageError, ShapeError
from learngn.geometry.grid import Grid


@dataclass(frozen=True, eq=False)
class Image:
    """Image on a grid: a scan, a label map or several feature channels.

    Parameters
    ----------
    data : Array, shape (N, C, *S)
        Values, `S` in array order i, j[, k]. A single scan has N = C = 1. An array of NumPy, as images read from files
        have, or a tensor of PyTorch.
    grid : Grid
        Position of the voxels; its shape is `S`.
    labels : bool
        Whether the values are labels (0 is background); such an image is only interpolated by nearest neighbour.
    path : Path, optional
        File from which it was read, for messages and provenance.
    stored : str, optional
        Integer type of the values in the file, such as ``"int16"``; the image is then rounded to this type when it is
        written. None for floating point and for images made in memory.

    Raises
    ------
    ShapeError
        If the data do not have the grid's shape.
    """

    data: Array
    grid: Grid
    labels: bool = False
    path: Path | None = None
    stored: str | None = None

    def __post_init__(self) -> None:
        if self.data.ndim != self.grid.ndim + 2 or tuple(self.data.shape[2:]) != self.grid.shape:
            raise ShapeError(
                "image data",
                f"shape {tuple(self.data.shape)}",
                f"(N, C, {', '.join(map(str, self.grid.shape))})",
                "add batch and channel dimensions or pass the data's own grid",
            )

    def __repr__(self) -> str:
        samples, channels = self.data.shape[:2]
        several = [f"{n} {what}" for n, what in ((samples, "samples"), (channels, "channels")) if n != 1]
        kind = f"{'labels' if self.labels else 'scan'} {str(self.data.dtype).removeprefix('torch.')}"
        named = [self.name] if self.path else []
        return f"Image({', '.join([*named, kind, *several, str(self.grid)])})"

    def _repr_html_(self) -> str:
        """Return three slices, as notebooks show them."""
        from learngn.report.notebook import image_html

        return image_html(self)

    @classmethod
    def from_array(cls, array: Any, grid: Grid, *, labels: bool = False) -> Image:
        """Make an image from an array of the grid's shape (NumPy or PyTorch)."""
        data = array if is_tensor(array) else np.asarray(array)
        if not labels:
            xp = namespace(data)
            data = xp.astype(data, xp.float32, copy=False)
        return cls(data[None, None], grid, labels)

    @property
    def name(self) -> str:
        """Name of the file, or ``"image"`` for an image made in memory."""
        return self.path.name if self.path else "image"

    @property
    def label_values(self) -> list[int]:
        """Labels in the image in ascending order, without background."""
        data = as_numpy(self.data)
        if data.dtype == np.uint8:  # counting is twenty times as fast as sorting
            values = np.flatnonzero(np.bincount(data.reshape(-1), minlength=1))
        else:
            values = np.unique(data)
        return [int(v) for v in values if int(v) != 0]

    def to(self, device: Any) -> Image:
        """Return the image as a tensor of PyTorch on a device (``"cpu"``, ``"cuda"``, a ``torch.device``).

        Raises
        ------
        MissingPackageError
            If PyTorch is not installed.
        """
        torch = require_torch("computing on a device")
        return replace(self, data=torch.as_tensor(self.data).to(device))

    def like(self, array: Array) -> Image:
        """Return the image in the library and on the device of an array; its type is kept."""
        if is_tensor(array):
            return self.to(array.device)
        return replace(self, data=as_numpy(self.data))

    def save(self, path: str | Path) -> None:
        """Write the image to a file in the format of its suffix; see :func:`learngn.io.write_image`."""
        from learngn.io import write_image

        write_image(self, Path(path))


def check_scan(image: Image, what: str) -> None:
    """Raise :class:`ImageError` unless a scan has finite, varying values; `what` names it in the message."""
    if not finite(image.data):
        raise ImageError(
            what, f"NaN or infinity in {image.name}", "finite values", "replace them, for example by the background"
        )
    if prod(image.data.shape) == 0 or bool(image.data.min() == image.data.max()):
        raise ImageError(what, f"one constant value in {image.name}", "an image with content", "check the file")
