"""Label maps as smoothed one-hot channels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from learngn import sampling
from learngn.features.base import FeatureImage, channels_last
from learngn.features.distance import common_labels
from learngn.image import Image


@dataclass(frozen=True)
class Labels:
    """One-hot labels, smoothed, one channel for every label that both maps hold [0..1].

    Attributes
    ----------
    width : int
        Side of the averaging box, applied twice [voxel].
    """

    width: int = 5
    name: str = "labels"
    labels: bool = True

    def __call__(self, fixed: Image, moving: Image, spacing: float) -> tuple[FeatureImage, FeatureImage]:
        """See :class:`learngn.features.Feature`."""
        values = common_labels(fixed, moving)
        return self._one_hot(fixed, values, spacing), self._one_hot(moving, values, spacing)

    def _one_hot(self, image: Image, values: list[int], spacing: float) -> FeatureImage:
        grid = image.grid.coarsened(spacing)
        masks = [sampling.pool((image.data == value).to(torch.float32), grid.shape) for value in values]
        return FeatureImage(channels_last(box_filter(torch.cat(masks, dim=1), self.width, repeat=2)), grid)


def box_filter(data: Tensor, width: int, repeat: int = 1) -> Tensor:
    """Average over a box of odd `width`, the border repeated; (N, C, *S)."""
    ndim = data.ndim - 2
    for _ in range(repeat):
        for axis in range(ndim):  # one axis after the other: `width` reads a voxel each, not width^D
            size, pad = [1] * ndim, [0] * (2 * ndim)
            size[axis] = width
            pad[2 * (ndim - 1 - axis)] = pad[2 * (ndim - 1 - axis) + 1] = width // 2
            pool = F.avg_pool2d if ndim == 2 else F.avg_pool3d
            data = pool(F.pad(data, pad, mode="replicate"), size, stride=1)
    return data
