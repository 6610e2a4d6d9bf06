"""Image: a tensor and its grid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from learngn.errors import ImageError, ShapeError
from learngn.geometry.grid import Grid


@dataclass(frozen=True, eq=False)
class Image:
    """Image on a grid: a scan, a label map or several feature channels.

    Parameters
    ----------
    data : Tensor, shape (N, C, *S)
        Values, `S` in array order i, j[, k]. A single scan has N = C = 1.
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

    data: Tensor
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

    @classmethod
    def from_array(cls, array: Tensor | object, grid: Grid, *, labels: bool = False) -> Image:
        """Make an image from an array of the grid's shape (NumPy or torch)."""
        data = array if isinstance(array, Tensor) else torch.as_tensor(array)
        if not labels:
            data = data.to(torch.float32)
        return cls(data[None, None], grid, labels)

    @property
    def name(self) -> str:
        """Name of the file, or ``"image"`` for an image made in memory."""
        return self.path.name if self.path else "image"

    @property
    def label_values(self) -> list[int]:
        """Labels in the image in ascending order, without background."""
        if self.data.dtype == torch.uint8:  # counting is twenty times as fast as sorting
            values = torch.bincount(self.data.reshape(-1)).nonzero().reshape(-1)
        else:
            values = torch.unique(self.data)
        return [int(v) for v in values if int(v) != 0]

    def to(self, device: torch.device | str) -> Image:
        """Return a copy on another device."""
        return replace(self, data=self.data.to(device))

    def save(self, path: str | Path) -> None:
        """Write the image to a file in the format of its suffix; see :func:`learngn.io.write_image`."""
        from learngn.io import write_image

        write_image(self, Path(path))


def check_scan(image: Image, what: str) -> None:
    """Raise :class:`ImageError` unless a scan has finite, varying values; `what` names it in the message."""
    if not bool(torch.isfinite(image.data.float()).all()):
        raise ImageError(
            what, f"NaN or infinity in {image.name}", "finite values", "replace them, for example by the background"
        )
    if image.data.numel() == 0 or bool(image.data.min() == image.data.max()):
        raise ImageError(what, f"one constant value in {image.name}", "an image with content", "check the file")
