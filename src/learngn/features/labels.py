"""Label maps as smoothed one-hot channels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from learngn import sampling
from learngn.features.base import FeatureImage, OneByOne, channels_last
from learngn.features.distance import common_labels, label_names
from learngn.image import Image


@dataclass(frozen=True)
class Labels(OneByOne):
    """One-hot labels, smoothed, one channel for every label that both maps hold [0..1].

    Attributes
    ----------
    width : int
        Side of the averaging box, applied twice [voxel].
    """

    width: int = 5
    name: str = "labels"
    labels: bool = True

    def of(self, image: Image, spacing: float) -> FeatureImage:
        """See :meth:`learngn.features.OneByOne.of`: a channel for every label of the image."""
        grid, names = image.grid.coarsened(spacing), label_names(image)
        masks = [sampling.pool((image.data == int(name)).to(torch.float32), grid.shape) for name in names]
        data = channels_last(box_filter(torch.cat(masks, dim=1), self.width, repeat=2))
        return FeatureImage(data, grid, names=names)

    def together(self, fixed: FeatureImage, moving: FeatureImage) -> tuple[FeatureImage, FeatureImage]:
        """See :meth:`learngn.features.OneByOne.together`: the labels that both have."""
        names = common_labels(fixed.names, moving.names)
        return fixed.channels(names), moving.channels(names)


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
