"""Segmentation probabilities and other channels computed beforehand: read from files, or passed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from learngn.arrays import (
    Array,
    as_numpy,
    channels_last,
    clamped,
    empty_channels_last,
    finite,
    namespace,
    shared,
    single,
)
from learngn.errors import FeatureError
from learngn.features.base import FeatureImage, OneByOne, Traits
from learngn.features.distance import signed_root_distances
from learngn.features.filters import gaussian
from learngn.features.scale import common_grids
from learngn.geometry import sampling
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.io import Scores, find_scores, read_channels, read_scores


@dataclass(frozen=True)
class ScoreFiles(OneByOne):
    """Probabilities or labels written by a segmentation network, one channel per structure [0..1].

    They are read by :func:`learngn.io.probabilities.read_scores` from the file named after each image's file. The
    channels are the structures that both images have, without background.

    Attributes
    ----------
    folder : str
        Folder of the files; ``{}`` in it stands for the folder of the image.
    blur : float
        Smoothing of the probabilities [voxel of the working grid], as a step from 0 to 1 has a slope only within half a
        voxel.
    """

    folder: str
    blur: float = 1.5
    traits: ClassVar[Traits] = Traits(tied=True)

    @property
    def name(self) -> str:
        """Name in the format of :func:`learngn.features.parse_features`."""
        return f"scores={self.folder}"

    def of(self, image: Image, grid: Grid) -> FeatureImage:
        """See :meth:`learngn.features.OneByOne.of`: one channel per structure of the image.

        Raises
        ------
        FeatureError
            If there are no probabilities, or they are on another grid.
        """
        return _stack(read_scores(self.source(image), image.grid), image, grid, self._pooled)

    def together(self, fixed: FeatureImage, moving: FeatureImage) -> tuple[FeatureImage, FeatureImage]:
        """See :meth:`learngn.features.OneByOne.together`.

        Raises
        ------
        FeatureError
            If the images have no structure in common.
        """
        return _in_common(self.folder, fixed, moving)

    def source(self, image: Image) -> Path:
        """See :meth:`learngn.features.OneByOne.source`."""
        return find_scores(Path(self.folder), image)

    def _pooled(self, scores: Array, image: Image, grid: Grid) -> Array:
        pooled = sampling.pool(shared(scores, image.data), grid.shape)
        return gaussian(pooled, grid, self.blur * float(grid.spacing.min())) if self.blur > 0 else pooled


@dataclass(frozen=True)
class ScoreDistances(OneByOne):
    """Signed √distance to the boundary of each structure, where its probability is ½, one channel each [√mm].

    Like :class:`learngn.features.OrganDistance`, but computed from files, so that it can be combined with features of
    scans.

    Attributes
    ----------
    folder : str
        See :class:`ScoreFiles`.
    reach : float
        Distances are clipped to this value [mm].
    """

    folder: str
    reach: float = 16.0
    traits: ClassVar[Traits] = Traits(tied=True)

    @property
    def name(self) -> str:
        """Name in the format of :func:`learngn.features.parse_features`."""
        return f"score-distance={self.folder}"

    def of(self, image: Image, grid: Grid) -> FeatureImage:
        """See :class:`ScoreFiles`."""
        return _stack(read_scores(self.source(image), image.grid), image, grid, self._distance)

    def together(self, fixed: FeatureImage, moving: FeatureImage) -> tuple[FeatureImage, FeatureImage]:
        """See :class:`ScoreFiles`."""
        return _in_common(self.folder, fixed, moving)

    def source(self, image: Image) -> Path:
        """See :class:`ScoreFiles`."""
        return find_scores(Path(self.folder), image)

    def _distance(self, scores: Array, image: Image, grid: Grid) -> Array:
        inside = as_numpy(scores[0, 0]) > 0.5
        limit = self.reach**0.5
        if not inside.any():  # absent: the largest distance everywhere
            absent = np.full((1, 1, *grid.shape), -limit, dtype=np.float32)
            return shared(absent, image.data)
        (distance,) = signed_root_distances(inside, [1], image.grid.spacing)
        pooled = sampling.pool(shared(distance[None, None], image.data), grid.shape)
        return clamped(pooled, -limit, limit)


def _in_common(folder: str, fixed: FeatureImage, moving: FeatureImage) -> tuple[FeatureImage, FeatureImage]:
    """Return the channels of the structures that both images have, in the order of the fixed image."""
    names = [name for name in fixed.names if name in moving.names]
    if not names:
        raise FeatureError(
            f"scores in {folder}",
            f"{', '.join(fixed.names[:8])} of the fixed, {', '.join(moving.names[:8])} of the moving image",
            "structures in common",
            "write the scores of both images with one program",
        )
    return fixed.channels(names), moving.channels(names)


def _stack(scores: Scores, image: Image, grid: Grid, make: Callable[[Array, Image, Grid], Array]) -> FeatureImage:
    channels = [make(scores.channel(number), image, grid) for number in range(len(scores.names))]
    data = empty_channels_last((1, len(channels), *grid.shape), channels[0])
    for number, channel in enumerate(channels):
        data[:, number] = channel[:, 0]
    return FeatureImage(data, grid, names=scores.names)


@dataclass(frozen=True)
class ChannelFiles(OneByOne):
    """Channels of any meaning read from files, for example the output of your own network.

    They are divided by one number, the root of their variance summed over the channels (the mean of both images), so
    that the same λ suits channels of any unit.

    Attributes
    ----------
    folder : str
        Folder of files with the images' names, see :class:`ScoreFiles`: images with a channel axis, or of vectors.
    """

    folder: str
    traits: ClassVar[Traits] = Traits(tied=True)

    @property
    def name(self) -> str:
        """Name in the format of :func:`learngn.features.parse_features`."""
        return f"channels={self.folder}"

    def of(self, image: Image, grid: Grid) -> FeatureImage:
        """See :meth:`learngn.features.OneByOne.of`.

        Raises
        ------
        FeatureError
            If a file is missing, or is not on the grid of its image.
        """
        stack = read_channels(self.source(image), image.grid)
        return _stack(stack, image, grid, lambda s, i, g: sampling.pool(shared(s, i.data), g.shape))

    def together(self, fixed: FeatureImage, moving: FeatureImage) -> tuple[FeatureImage, FeatureImage]:
        """See :meth:`learngn.features.OneByOne.together`.

        Raises
        ------
        FeatureError
            If the images have different numbers of channels.
        """
        same_channels(self.name, fixed.data.shape[1], moving.data.shape[1])
        return of_unit_size(fixed, moving)

    def source(self, image: Image) -> Path:
        """See :class:`ScoreFiles`."""
        return find_scores(Path(self.folder), image)


@dataclass(frozen=True, eq=False)
class Given:
    """Channels of the fixed and the moving image in memory.

    Attributes
    ----------
    fixed, moving : Image
        (1, C, *S) with the same C, each on the grid of its scan. Values are not scaled.
    reads_labels : bool
        Whether the registered images are label maps.
    """

    fixed: Image
    moving: Image
    name: str = "given"
    reads_labels: bool = False

    @property
    def traits(self) -> Traits:
        """See :class:`learngn.features.Feature`."""
        return Traits(reads_labels=self.reads_labels, tied=True)

    def __call__(self, fixed: Image, moving: Image, spacing: float) -> tuple[FeatureImage, FeatureImage]:
        """See :class:`learngn.features.Feature`.

        Raises
        ------
        FeatureError
            If their grids are not those of the images, the numbers of channels differ, or a value is not finite.
        """
        same_channels(self.name, self.fixed.data.shape[1], self.moving.data.shape[1])
        fixed_grid, moving_grid = common_grids(fixed.grid, moving.grid, spacing)
        return self._on(self.fixed, fixed, fixed_grid), self._on(self.moving, moving, moving_grid)

    def _on(self, given: Image, image: Image, grid: Grid) -> FeatureImage:
        if given.grid.ndim != image.grid.ndim or not given.grid.same_space(image.grid, tolerance=0.1):
            raise FeatureError(
                f"feature {self.name}",
                str(given.grid),
                f"the grid of {image.name}, {image.grid}",
                "resample the channels",
            )
        if not finite(given.data):
            raise FeatureError(f"feature {self.name}", "NaN or infinity", "finite values", "replace them")
        data = single(shared(given.data, image.data))
        return FeatureImage(channels_last(sampling.pool(data, grid.shape)), grid)


def same_channels(name: str, fixed: int, moving: int) -> None:
    """Raise :class:`FeatureError` if the numbers of channels differ."""
    if fixed != moving:
        raise FeatureError(
            f"feature {name}",
            f"{fixed} channels of the fixed and {moving} of the moving image",
            "the same number in both",
            "compute both in the same way",
        )


def of_unit_size(first: FeatureImage, second: FeatureImage) -> tuple[FeatureImage, FeatureImage]:
    """Divide features by the root of their variance summed over channels, averaged over both images."""
    variance = _variance(first.data) + _variance(second.data)
    if variance <= 0:
        return first, second
    scale = (2 / variance) ** 0.5
    return FeatureImage(first.data * scale, first.grid), FeatureImage(second.data * scale, second.grid)


def _variance(data: Array) -> float:
    """Return the variance over the voxels, summed over the channels, of the mean sample."""
    xp = namespace(data)
    channels = (xp.astype(xp.reshape(data[:, k], (len(data), -1)), xp.float64) for k in range(data.shape[1]))
    return sum(float(xp.mean(xp.var(channel, axis=1, correction=0))) for channel in channels)
