"""Label maps as smoothed one-hot channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from learngn import kernels
from learngn.arrays import Array, empty_channels_last, single
from learngn.features.base import FeatureImage, OneByOne, Traits
from learngn.features.distance import common_labels, label_names
from learngn.geometry import sampling
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.kernels import box_taps


@dataclass(frozen=True)
class Labels(OneByOne):
    """Smoothed one-hot labels, one channel per label that both maps contain [0..1].

    Attributes
    ----------
    width : int
        Side of the averaging box, which is applied twice [voxel].
    """

    width: int = 5
    name: str = "labels"
    traits: ClassVar[Traits] = Traits(reads_labels=True)

    def of(self, image: Image, grid: Grid) -> FeatureImage:
        """See :meth:`learngn.features.OneByOne.of`: one channel per label of the image."""
        names = label_names(image)
        masks = [sampling.pool(single(image.data == int(name)), grid.shape) for name in names]
        data = empty_channels_last((len(image.data), len(names), *grid.shape), masks[0])
        for channel, mask in enumerate(masks):
            data[:, channel] = box_filter(mask, self.width, repeat=2)[:, 0]
        return FeatureImage(data, grid, names=names)

    def together(self, fixed: FeatureImage, moving: FeatureImage) -> tuple[FeatureImage, FeatureImage]:
        """See :meth:`learngn.features.OneByOne.together`: the labels that both images have."""
        names = common_labels(fixed.names, moving.names)
        return fixed.channels(names), moving.channels(names)


def box_filter(data: Array, width: int, repeat: int = 1) -> Array:
    """Average data (N, C, *S) over a box of odd `width`; border values are repeated."""
    taps = [box_taps(n, width) for n in data.shape[2:]]
    for _ in range(repeat):
        data = kernels.resample(data, taps)
    return data
