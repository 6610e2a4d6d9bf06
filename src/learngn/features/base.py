"""What a feature is: a map from a pair of images to channels that can be compared voxel by voxel."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from learngn.features.scale import CommonScale
from learngn.geometry import sampling
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image


@dataclass(frozen=True, eq=False)
class FeatureImage:
    """Features on a grid.

    Attributes
    ----------
    data : Tensor, shape (N, C, *S), float32
    grid : Grid
    weight : Tensor, shape (N, 1, *S), optional
        How much each voxel counts, 0 to 1: a mask. None for one throughout.
    names : tuple of str
        What the channels are, where the partner decides which of them count; else empty.
    """

    data: Tensor
    grid: Grid
    weight: Tensor | None = None
    names: tuple[str, ...] = ()

    def on(self, grid: Grid) -> FeatureImage:
        """Area average on a coarser grid over the same extent."""
        weight = None if self.weight is None else sampling.pool(self.weight, grid.shape)
        return FeatureImage(sampling.pool(self.data, grid.shape), grid, weight, self.names)

    def channels(self, names: Sequence[str]) -> FeatureImage:
        """The channels of these names, in this order, without their names."""
        if tuple(names) == self.names:
            return FeatureImage(self.data, self.grid, self.weight)
        data = channels_last(self.data[:, [self.names.index(name) for name in names]])
        return FeatureImage(data, self.grid, self.weight)


@dataclass(frozen=True)
class Traits:
    """Properties of a feature on which the steps of a registration depend, whichever feature it is.

    Attributes
    ----------
    reads_labels : bool
        It reads label maps, not scans.
    reads_intensities : bool
        Its channels are intensities, so that the contrast of both scans must agree first.
    directional : bool
        Its channels look along the axes of the array, so that those of a rotated scan have other values.
    tied : bool
        Its channels are computed elsewhere, on the grid of the scan, which therefore cannot be resampled first.
    by_organ : bool
        It has a channel for each organ; which organs these are depends on the pair unless they are given.
    """

    reads_labels: bool = False
    reads_intensities: bool = False
    directional: bool = False
    tied: bool = False
    by_organ: bool = False

    def __or__(self, other: Traits) -> Traits:
        """Return the traits of two features side by side: every trait that one of them has."""
        return Traits(*(getattr(self, f.name) or getattr(other, f.name) for f in fields(Traits)))

    def through_network(self) -> Traits:
        """Return the traits of a network's output, of whose input these are: its channels are no intensities."""
        return replace(self, reads_intensities=False)


class Feature(Protocol):
    """Representation φ of a pair: both sides get the same channels."""

    @property
    def name(self) -> str:
        """Name on the command line and in settings."""

    @property
    def traits(self) -> Traits:
        """Properties on which the steps of a registration depend."""

    def __call__(self, fixed: Image, moving: Image, spacing: float) -> tuple[FeatureImage, FeatureImage]:
        """Features of both images, on the grids of :func:`learngn.features.common_grids` for `spacing` [mm]."""


class OneByOne(ABC):
    """A feature that does nearly all its work on each image alone, which needs to be done but once for many pairs.

    Notes
    -----
    What :meth:`of` returns depends on the image, on the feature's own attributes, on the file that :meth:`source` names
    and on the grid, on nothing else: :func:`learngn.features.kept` tells by these what it has.
    """

    traits: ClassVar[Traits] = Traits()

    @property
    @abstractmethod
    def name(self) -> str:
        """See :class:`Feature`."""

    @abstractmethod
    def of(self, image: Image, grid: Grid) -> FeatureImage:
        """Compute all that does not depend on the partner of an image.

        Parameters
        ----------
        image : Image
        grid : Grid
            Over the extent of the image, no finer than it. The grids of both images of a pair have one spacing, so that
            lengths counted in voxels are the same lengths in mm.
        """

    def together(self, fixed: FeatureImage, moving: FeatureImage) -> tuple[FeatureImage, FeatureImage]:
        """Features of a pair from what :meth:`of` has said of each; by default just that."""
        return fixed, moving

    def source(self, image: Image) -> Path | None:
        """File or folder that is read beside the image, if there is one."""
        return None

    def __call__(self, fixed: Image, moving: Image, spacing: float) -> tuple[FeatureImage, FeatureImage]:
        """See :class:`learngn.features.Feature`."""
        return self.together(*on_common_grids(self.of, self.traits, fixed, moving, spacing))


def on_common_grids(
    of: Callable[[Image, Grid], FeatureImage], traits: Traits, fixed: Image, moving: Image, spacing: float
) -> tuple[FeatureImage, FeatureImage]:
    """Compute features of each image of a pair, of about `spacing` mm, at a scale that both images have."""
    scale = CommonScale.of(fixed.grid, moving.grid)
    if not (traits.reads_labels or traits.tied):  # neither labels nor channels from elsewhere can be averaged here
        fixed, moving = scale.images(fixed, moving, spacing)
    ours, theirs = scale.grids(fixed.grid, moving.grid, spacing)
    return of(fixed, ours), of(moving, theirs)


def working_image(image: Image, grid: Grid) -> Image:
    """The image as float32 on a coarser grid: what features at that resolution are computed from."""
    return Image(sampling.pool(image.data.to(torch.float32), grid.shape), grid)


def channels_last(data: Tensor) -> Tensor:
    """Lay channels side by side in memory, as the sampling kernels read them; same shape (N, C, *S)."""
    return data.contiguous(memory_format=torch.channels_last if data.ndim == 4 else torch.channels_last_3d)
