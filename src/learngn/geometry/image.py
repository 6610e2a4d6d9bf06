"""Image: a tensor and the grid on which it lies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from learngn.errors import ImageError, ShapeError
from learngn.geometry.grid import Grid


@dataclass(frozen=True, eq=False)
class Image:
    """A scan, a label map or a stack of feature channels.

    Parameters
    ----------
    data : Tensor, shape (N, C, *S)
        Values, `S` in array order i, j[, k]. A single scan has N = C = 1.
    grid : Grid
        Position of the voxels; its shape is `S`.
    labels : bool
        Whether the values name classes (0 is background): such an image is never interpolated linearly.
    path : Path, optional
        File it was read from, for messages and provenance.
    stored : str, optional
        Integer type of the values in that file, such as ``"int16"``: a scan that has one is written rounded, in this
        type. None for floating point and for images made in memory.

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
        """Make an image of a bare array of the grid's shape (NumPy or torch)."""
        data = array if isinstance(array, Tensor) else torch.as_tensor(array)
        if not labels:
            data = data.to(torch.float32)
        return cls(data[None, None], grid, labels)

    @property
    def name(self) -> str:
        """The file's name, or ``"image"`` for an image made in memory."""
        return self.path.name if self.path else "image"

    @property
    def label_values(self) -> list[int]:
        """The labels present, in rising order, without background."""
        if self.data.dtype == torch.uint8:  # counted, not sorted: twenty times as fast
            found = torch.bincount(self.data.reshape(-1)).nonzero().reshape(-1)
        else:
            found = torch.unique(self.data)
        return [int(v) for v in found if int(v) != 0]

    def to(self, device: torch.device | str) -> Image:
        """Copy on another device."""
        return replace(self, data=self.data.to(device))

    def save(self, path: str | Path) -> None:
        """Write to a file whose format its suffix names; see :func:`learngn.io.write_image`."""
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
