"""What a feature is: a map from a pair of images to channels that can be compared voxel by voxel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from learngn import sampling
from learngn.grid import Grid
from learngn.image import Image


@dataclass(frozen=True, eq=False)
class FeatureImage:
    """Features on a grid.

    Attributes
    ----------
    data : Tensor, shape (N, C, *S), float32
    grid : Grid
    weight : Tensor, shape (N, 1, *S), optional
        How much each voxel counts, 0 to 1: a mask. None for one throughout.
    """

    data: Tensor
    grid: Grid
    weight: Tensor | None = None

    def on(self, grid: Grid) -> FeatureImage:
        """Area average on a coarser grid over the same extent."""
        weight = None if self.weight is None else sampling.pool(self.weight, grid.shape)
        return FeatureImage(sampling.pool(self.data, grid.shape), grid, weight)


class Feature(Protocol):
    """Representation φ of a pair: both sides get the same channels.

    `name` is what the command line calls it; `labels` says that it reads label maps rather than scans.
    """

    @property
    def name(self) -> str:
        """Name in the register of features."""

    @property
    def labels(self) -> bool:
        """Whether it needs label maps."""

    def __call__(self, fixed: Image, moving: Image, spacing: float) -> tuple[FeatureImage, FeatureImage]:
        """Features of both images, on grids of about `spacing` mm (never finer than the images)."""


def working_image(image: Image, spacing: float) -> Image:
    """The image as float32 at about `spacing` mm: what features at that resolution are computed from."""
    grid = image.grid.coarsened(spacing)
    return Image(sampling.pool(image.data.to(torch.float32), grid.shape), grid)


def channels_last(data: Tensor) -> Tensor:
    """Lay channels side by side in memory, as the sampling kernels read them; same shape (N, C, *S)."""
    return data.contiguous(memory_format=torch.channels_last if data.ndim == 4 else torch.channels_last_3d)
