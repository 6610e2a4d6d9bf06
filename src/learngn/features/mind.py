"""MIND-SSC, the self-similarity context."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, product

import torch
from torch import Tensor

from learngn.features.base import FeatureImage, channels_last, working_image
from learngn.features.labels import box_filter
from learngn.image import Image


@dataclass(frozen=True)
class Mind:
    """Self-similarity context: how alike the neighbours of a voxel are, 12 channels in 3D, 4 in 2D [0..1].

    Blind to the modality: only the pattern within an image counts, not its intensities.

    Attributes
    ----------
    radius : int
        The patches compared have 2 radius + 1 voxels a side.
    dilation : int
        Distance of the six (2D: four) neighbours [voxel of the working grid].

    References
    ----------
    Heinrich et al., "Towards realtime multimodal fusion for image-guided interventions using self-similarities",
    MICCAI 2013.
    """

    radius: int = 1
    dilation: int = 2
    name: str = "mind"
    labels: bool = False

    def __call__(self, fixed: Image, moving: Image, spacing: float) -> tuple[FeatureImage, FeatureImage]:
        """See :class:`learngn.features.Feature`."""
        first, second = (
            FeatureImage(channels_last(mind_ssc(image.data, self.radius, self.dilation)), image.grid)
            for image in (working_image(fixed, spacing), working_image(moving, spacing))
        )
        return first, second


def mind_ssc(image: Tensor, radius: int, dilation: int) -> Tensor:
    """MIND-SSC of an image, (N, 1, *S) to (N, P, *S), P = 12 in 3D and 4 in 2D."""
    ndim = image.ndim - 2
    neighbours = [tuple(sign * (a == axis) for a in range(ndim)) for axis, sign in product(range(ndim), (-1, 1))]
    # Pairs of neighbours that are √2 apart: those opposite each other are not compared.
    pairs = [
        (p, q) for p, q in combinations(neighbours, 2) if sum((a - b) ** 2 for a, b in zip(p, q, strict=True)) == 2
    ]
    shifted = {p: _shift(image, [dilation * step for step in p]) for p in neighbours}
    distances = torch.cat([(shifted[p] - shifted[q]).square() for p, q in pairs], dim=1)
    distances = box_filter(distances, 2 * radius + 1)
    distances = distances - distances.amin(dim=1, keepdim=True)
    variance = distances.mean(dim=1, keepdim=True)
    # Noise must not count as structure where nothing is, nor an edge drown everything else.
    typical = variance.flatten(1).mean(1).reshape(-1, *[1] * (ndim + 1)).clamp_min(torch.finfo(image.dtype).tiny)
    variance = torch.minimum(torch.maximum(variance, typical * 1e-3), typical * 1e3)
    return torch.exp(-distances / variance)


def _shift(image: Tensor, offset: list[int]) -> Tensor:
    """``image(x + offset)``, the border repeated."""
    for axis, step in enumerate(offset):
        if step:
            n = image.shape[axis + 2]
            index = (torch.arange(n, device=image.device) + step).clamp(0, n - 1)
            image = image.index_select(axis + 2, index)
    return image
