"""MIND-SSC, the self-similarity context, and its variants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import ClassVar

import numpy as np

from learngn import kernels
from learngn.arrays import Array, empty_channels_last, narrow
from learngn.features.base import FeatureImage, OneByOne, Traits, working_image
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image

_LETTERS = ("RL", "AP", "SI")


@dataclass(frozen=True)
class Mind(OneByOne):
    """Self-similarity context: similarity of a voxel's neighbours, 12 channels in 3D, 4 in 2D [0..1].

    Independent of the modality: it depends on patterns within an image, not on intensities.

    Attributes
    ----------
    radius : int
        Patches of 2 radius + 1 voxels along each axis are compared.
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
        return FeatureImage(mind_ssc(image.data, self.radius, self.dilation, image.grid), image.grid)


@dataclass(frozen=True)
class MindScales(OneByOne):
    """Self-similarity context at several radii and dilations, 12 channels each in 3D, 4 in 2D [0..1].

    Small scales localise accurately; large ones distinguish places that look similar locally. The channels are divided
    by the root of the number of scales, so that λ has the same meaning as for one scale.

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
        data, start = image.data, 0
        for radius, dilation in self.scales:
            part = mind_ssc(image.data, radius, dilation, image.grid)
            count = part.shape[1]
            if start == 0:
                data = empty_channels_last((len(part), count * len(self.scales), *image.grid.shape), part)
            narrow(data, 1, start, count)[...] = part
            start += count
        data /= len(self.scales) ** 0.5
        return FeatureImage(data, image.grid)


@dataclass(frozen=True)
class MindCentre(OneByOne):
    """Similarity of a voxel to each of its neighbours: the original MIND, six channels in 3D, four in 2D [0..1].

    With half as many channels as :class:`Mind` it is faster, but noise of the voxel itself affects all of them.

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
        return FeatureImage(_similarities(image.data, self.radius, self.dilation, pairs), image.grid)


Offset = tuple[int, ...]


def mind_ssc(image: Array, radius: int, dilation: int, grid: Grid) -> Array:
    """Compute MIND-SSC of an image, (N, 1, *S) to (N, P, *S), P = 12 in 3D and 4 in 2D."""
    # Pairs of neighbours at a distance of √2: opposite neighbours are not compared.
    pairs = [
        (p, q)
        for p, q in combinations(neighbours_in_world_order(grid), 2)
        if sum((a - b) ** 2 for a, b in zip(p, q, strict=True)) == 2
    ]
    return _similarities(image, radius, dilation, pairs)


def neighbours_in_world_order(grid: Grid) -> list[Offset]:
    """Return the steps to the neighbours along the axes, ordered by direction in the world: left, right, posterior, ...

    A channel then has the same direction in two images whose arrays are stored along different axes.
    """
    codes = grid.axis_codes
    steps = []
    for letters, towards in product(_LETTERS[: grid.ndim], (-1, 1)):
        axis = next(a for a, code in enumerate(codes) if code in letters)
        sign = towards if codes[axis] == letters[0] else -towards
        steps.append(tuple(sign * (a == axis) for a in range(grid.ndim)))
    return steps


def _similarities(image: Array, radius: int, dilation: int, pairs: Sequence[tuple[Offset, Offset]]) -> Array:
    """Compute similarities of pairs of neighbours at a distance of `dilation` voxels; channels last in memory."""
    steps = dilation * np.asarray(pairs, dtype=np.int64)
    return kernels.self_similarity(image, steps[:, 0], steps[:, 1], radius)
