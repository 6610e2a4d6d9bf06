"""Interface of features: maps from a pair of images to channels that are compared voxel by voxel."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import ClassVar, Protocol

from learngn.arrays import Array, channels_last, empty_channels_last, single
from learngn.features.scale import CommonScale
from learngn.geometry import sampling
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image

__all__ = ["Feature", "FeatureImage", "OneByOne", "Traits", "channels_last", "on_common_grids", "working_image"]


@dataclass(frozen=True, eq=False)
class FeatureImage:
    """Features on a grid.

    Attributes
    ----------
    data : Array, shape (N, C, *S), float32
    grid : Grid
    weight : Array, shape (N, 1, *S), optional
        Weight of each voxel, 0 to 1: a mask. None for one everywhere.
    names : tuple of str
        Names of the channels, where it depends on the other image which of them are compared; otherwise empty.
    """

    data: Array
    grid: Grid
    weight: Array | None = None
    names: tuple[str, ...] = ()

    def __repr__(self) -> str:
        samples, channels = self.data.shape[:2]
        weighted = "" if self.weight is None else ", weighted"
        return f"FeatureImage({samples} samples of {channels} channels, {self.grid}{weighted})"

    def on(self, grid: Grid) -> FeatureImage:
        """Return the area average on a coarser grid with the same extent."""
        weight = None if self.weight is None else sampling.pool(self.weight, grid.shape)
        return FeatureImage(sampling.pool(self.data, grid.shape), grid, weight, self.names)

    def channels(self, names: Sequence[str]) -> FeatureImage:
        """Return the channels with these names, in this order, without names."""
        if tuple(names) == self.names:
            return FeatureImage(self.data, self.grid, self.weight)
        data = empty_channels_last((len(self.data), len(names), *self.grid.shape), self.data)
        for channel, name in enumerate(names):
            data[:, channel] = self.data[:, self.names.index(name)]
        return FeatureImage(data, self.grid, self.weight)


@dataclass(frozen=True)
class Traits:
    """Properties of a feature on which the steps of a registration depend.

    Attributes
    ----------
    reads_labels : bool
        The feature is computed from label maps, not scans.
    reads_intensities : bool
        Its channels are intensities, so that the contrasts of both scans must be matched first.
    directional : bool
        Its channels depend on the directions of the array's axes, so that they change when a scan is rotated.
    tied : bool
        Its channels were computed beforehand on the grid of the scan, which therefore cannot be resampled first.
    by_organ : bool
        It has one channel per organ; the organs depend on the pair unless they are given.
    searchable : bool
        Its values distinguish tissues by themselves, so that a search over large displacements finds the right place.
        Local patterns alone occur in many places.
    """

    reads_labels: bool = False
    reads_intensities: bool = False
    directional: bool = False
    tied: bool = False
    by_organ: bool = False
    searchable: bool = False

    def __or__(self, other: Traits) -> Traits:
        """Return the traits of two features combined: every trait that either of them has."""
        return Traits(*(getattr(self, f.name) or getattr(other, f.name) for f in fields(Traits)))

    def through_network(self) -> Traits:
        """Return the traits of the output of a network with this input: its channels are not intensities."""
        return replace(self, reads_intensities=False, searchable=False)


class Feature(Protocol):
    """Feature φ of a pair: both images get the same channels."""

    @property
    def name(self) -> str:
        """Name on the command line and in settings."""

    @property
    def traits(self) -> Traits:
        """Properties on which the steps of a registration depend."""

    def __call__(self, fixed: Image, moving: Image, spacing: float) -> tuple[FeatureImage, FeatureImage]:
        """Compute features of both images on the grids of :func:`learngn.features.common_grids` for `spacing` [mm]."""


class OneByOne(ABC):
    """Feature computed almost entirely from each image alone, so that it can be cached and used for many pairs.

    Notes
    -----
    The result of :meth:`of` depends only on the image, the feature's attributes, the file that :meth:`source` returns
    and the grid: :func:`learngn.features.kept` makes the key of its cache from these.
    """

    traits: ClassVar[Traits] = Traits()

    @property
    @abstractmethod
    def name(self) -> str:
        """See :class:`Feature`."""

    @abstractmethod
    def of(self, image: Image, grid: Grid) -> FeatureImage:
        """Compute the part of the features that does not depend on the other image of the pair.

        Parameters
        ----------
        image : Image
        grid : Grid
            Grid with the extent of the image, no finer than the image's. The grids of both images of a pair have the
            same spacing, so that lengths in voxels correspond to the same lengths in mm.
        """

    def together(self, fixed: FeatureImage, moving: FeatureImage) -> tuple[FeatureImage, FeatureImage]:
        """Return the features of a pair from the results of :meth:`of`; by default unchanged."""
        return fixed, moving

    def source(self, image: Image) -> Path | None:
        """Return the file or folder that is read in addition to the image, or None."""
        return None

    def __call__(self, fixed: Image, moving: Image, spacing: float) -> tuple[FeatureImage, FeatureImage]:
        """See :class:`learngn.features.Feature`."""
        return self.together(*on_common_grids(self.of, self.traits, fixed, moving, spacing))


def on_common_grids(
    of: Callable[[Image, Grid], FeatureImage], traits: Traits, fixed: Image, moving: Image, spacing: float
) -> tuple[FeatureImage, FeatureImage]:
    """Compute the features of both images with voxels of about `spacing` mm, at a common resolution."""
    scale = CommonScale.of(fixed.grid, moving.grid)
    if not (traits.reads_labels or traits.tied):  # labels and channels computed beforehand cannot be averaged here
        fixed, moving = scale.images(fixed, moving, spacing)
    fixed_grid, moving_grid = scale.grids(fixed.grid, moving.grid, spacing)
    return of(fixed, fixed_grid), of(moving, moving_grid)


def working_image(image: Image, grid: Grid) -> Image:
    """Return an image as float32, averaged on a coarser grid, to compute features at that resolution."""
    return Image(sampling.pool(single(image.data), grid.shape), grid)
