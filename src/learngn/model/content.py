"""Content of masked and padded scans: what lies inside of their constant border."""

from __future__ import annotations

from torch import Tensor

from learngn.geometry.grid import bounding_box


def background(x: Tensor) -> Tensor:
    """Return the first voxel of images (N, C, *S), with as many dimensions: the value of a constant border."""
    return x.flatten(2)[..., :1].reshape(*x.shape[:2], *[1] * (x.ndim - 2))


def content_box(x: Tensor, multiple: int = 1) -> tuple[slice, ...]:
    """Return the box outside of which images (N, C, *S) are constant, each equal to its first voxel.

    Parameters
    ----------
    x : Tensor, shape (N, C, *S)
    multiple : int
        The box is enlarged to multiples of this number of voxels, or to the grid.
    """
    shape = x.shape[2:]
    content = (x != background(x)).flatten(0, 1).any(0)
    box = bounding_box(content.cpu().numpy())
    if box is None:
        return tuple(slice(0, size) for size in shape)
    return tuple(_enlarged(part, size, multiple) for part, size in zip(box, shape, strict=True))


def _enlarged(part: slice, size: int, multiple: int) -> slice:
    """Return a range of an axis of this size, enlarged about its middle to a multiple, or to the whole axis."""
    length = min(size, -(-(part.stop - part.start) // multiple) * multiple)
    start = max(0, min(size - length, part.start - (length - (part.stop - part.start)) // 2))
    return slice(start, start + length)
