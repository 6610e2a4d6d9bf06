"""MIND-SSC, the self-similarity context, and its relatives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import ClassVar

import torch
from torch import Tensor

from learngn.features.base import FeatureImage, OneByOne, Traits, channels_last, working_image
from learngn.features.labels import box_filter
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image

_LETTERS = ("RL", "AP", "SI")


@dataclass(frozen=True)
class Mind(OneByOne):
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
    traits: ClassVar[Traits] = Traits(directional=True)

    def of(self, image: Image, grid: Grid) -> FeatureImage:
        """See :meth:`learngn.features.OneByOne.of`."""
        image = working_image(image, grid)
        return FeatureImage(channels_last(mind_ssc(image.data, self.radius, self.dilation, image.grid)), image.grid)


@dataclass(frozen=True)
class MindScales(OneByOne):
    """Self-similarity context at several radii and dilations side by side, 12 channels each in 3D, 4 in 2D [0..1].

    What is small tells where exactly something lies, what is large tells places apart that look alike nearby. Channels
    are divided by the root of the number of scales, so that λ means what it does for one.

    Attributes
    ----------
    scales : tuple of (int, int)
        Radius and dilation; see :class:`Mind`.
    """

    scales: tuple[tuple[int, int], ...] = ((1, 1), (1, 2), (1, 3))
    name: str = "mind-multi"
    traits: ClassVar[Traits] = Traits(directional=True)

    def of(self, image: Image, grid: Grid) -> FeatureImage:
        """See :meth:`learngn.features.OneByOne.of`."""
        image = working_image(image, grid)
        parts = [mind_ssc(image.data, radius, dilation, image.grid) for radius, dilation in self.scales]
        return FeatureImage(channels_last(torch.cat(parts, dim=1) / len(parts) ** 0.5), image.grid)


@dataclass(frozen=True)
class MindCentre(OneByOne):
    """How alike a voxel and each of its neighbours are: the first MIND, six channels in 3D, four in 2D [0..1].

    Half as many channels as :class:`Mind`, hence faster; noise of the voxel itself touches all of them.

    Attributes
    ----------
    radius, dilation : int
        See :class:`Mind`.

    References
    ----------
    Heinrich et al., "MIND: Modality independent neighbourhood descriptor for multi-modal deformable registration",
    Medical Image Analysis 2012.
    """

    radius: int = 1
    dilation: int = 1
    name: str = "mind-centre"
    traits: ClassVar[Traits] = Traits(directional=True)

    def of(self, image: Image, grid: Grid) -> FeatureImage:
        """See :meth:`learngn.features.OneByOne.of`."""
        image = working_image(image, grid)
        centre = (0,) * image.grid.ndim
        pairs = [(centre, p) for p in neighbours_in_world_order(image.grid)]
        return FeatureImage(channels_last(_similarities(image.data, self.radius, self.dilation, pairs)), image.grid)


Offset = tuple[int, ...]


def mind_ssc(image: Tensor, radius: int, dilation: int, grid: Grid) -> Tensor:
    """MIND-SSC of an image, (N, 1, *S) to (N, P, *S), P = 12 in 3D and 4 in 2D."""
    # Pairs of neighbours that are √2 apart: those opposite each other are not compared.
    pairs = [
        (p, q)
        for p, q in combinations(neighbours_in_world_order(grid), 2)
        if sum((a - b) ** 2 for a, b in zip(p, q, strict=True)) == 2
    ]
    return _similarities(image, radius, dilation, pairs)


def neighbours_in_world_order(grid: Grid) -> list[Offset]:
    """Steps to the neighbours along the axes, ordered by where they lead in the world: left, right, posterior, ...

    The same channel then looks the same way in two images whose arrays are stored along different axes.
    """
    codes = grid.axis_codes
    steps = []
    for letters, towards in product(_LETTERS[: grid.ndim], (-1, 1)):
        axis = next(a for a, code in enumerate(codes) if code in letters)
        sign = towards if codes[axis] == letters[0] else -towards
        steps.append(tuple(sign * (a == axis) for a in range(grid.ndim)))
    return steps


def _similarities(image: Tensor, radius: int, dilation: int, pairs: Sequence[tuple[Offset, Offset]]) -> Tensor:
    """``exp(-D / V)`` for the distances D of pairs of patches and their mean V, the smallest D of a voxel taken off."""
    shifted = {p: _shift(image, [dilation * step for step in p]) for pair in pairs for p in pair}
    # In place, and a channel at a time: all of them together are the largest thing that a registration holds.
    distances = image.new_empty((len(image), len(pairs), *image.shape[2:]))
    for channel, (p, q) in enumerate(pairs):
        distances[:, channel] = box_filter((shifted[p] - shifted[q]).square_(), 2 * radius + 1)[:, 0]
    del shifted
    distances -= distances.amin(dim=1, keepdim=True)
    variance = distances.mean(dim=1, keepdim=True)
    # Noise must not count as structure where nothing is, nor an edge drown everything else.
    typical = variance.flatten(1).mean(1).reshape(-1, *[1] * (image.ndim - 1)).clamp_min(torch.finfo(image.dtype).tiny)
    variance = torch.minimum(torch.maximum(variance, typical * 1e-3), typical * 1e3)
    return distances.neg_().div_(variance).exp_()


def _shift(image: Tensor, offset: list[int]) -> Tensor:
    """``image(x + offset)``, the border repeated."""
    for axis, step in enumerate(offset):
        if step:
            n = image.shape[axis + 2]
            index = (torch.arange(n, device=image.device) + step).clamp(0, n - 1)
            image = image.index_select(axis + 2, index)
    return image
