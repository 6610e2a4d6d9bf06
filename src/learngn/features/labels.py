"""Label maps as smoothed one-hot channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from learngn import kernels
from learngn.features.base import FeatureImage, OneByOne, Traits, channels_last
from learngn.features.distance import common_labels, label_names
from learngn.geometry import sampling
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.kernels import box_taps


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
    traits: ClassVar[Traits] = Traits(reads_labels=True)

    def of(self, image: Image, grid: Grid) -> FeatureImage:
        """See :meth:`learngn.features.OneByOne.of`: a channel for every label of the image."""
        names = label_names(image)
        masks = [sampling.pool((image.data == int(name)).to(torch.float32), grid.shape) for name in names]
        data = channels_last(box_filter(torch.cat(masks, dim=1), self.width, repeat=2))
        return FeatureImage(data, grid, names=names)

    def together(self, fixed: FeatureImage, moving: FeatureImage) -> tuple[FeatureImage, FeatureImage]:
        """See :meth:`learngn.features.OneByOne.together`: the labels that both have."""
        names = common_labels(fixed.names, moving.names)
        return fixed.channels(names), moving.channels(names)


def box_filter(data: Tensor, width: int, repeat: int = 1) -> Tensor:
    """Average over a box of odd `width`, the border repeated; (N, C, *S)."""
    taps = [box_taps(n, width) for n in data.shape[2:]]
    for _ in range(repeat):
        data = kernels.best(data).resample(data, taps)
    return data
