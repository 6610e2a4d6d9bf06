"""Distance maps of label maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import edt
import numpy as np
import torch
from numpy.typing import NDArray

from learngn.errors import LabelError
from learngn.features.base import FeatureImage, OneByOne, Traits, channels_last
from learngn.geometry import sampling
from learngn.geometry.grid import Grid, bounding_box
from learngn.geometry.image import Image


def signed_root_distances(
    labels: NDArray[Any], values: Sequence[int], spacing: NDArray[np.float64], reach: float = float("inf")
) -> Iterator[NDArray[np.float32]]:
    """√distance to the boundary of every label, or of a mask, positive inside, each of the map's shape [√mm].

    The root flattens what is far: a point deep in the background says little about where it belongs. The boundary
    lies half a voxel from the outermost centres. Beyond `reach` outside [mm] it may be any distance from there on.
    """
    half = np.float32(spacing.min() / 2)
    if labels.dtype == np.bool_:  # one transform for both sides: to the nearest voxel that differs
        yield _signed_root(_to_boundary(labels.view(np.uint8) + 1, spacing), labels, half)
        return
    # The insides of all labels take one transform together, the outsides one each, as far as they are asked for.
    inside = _to_boundary(labels, spacing)
    for value in values:
        mask = labels == value
        box = _around(mask, reach / spacing)
        outside = _to_boundary(np.ascontiguousarray(~mask[box]), spacing)
        whole = np.full(labels.shape, -np.sqrt(np.float32(reach)), dtype=np.float32)
        whole[box] = _signed_root(np.where(mask[box], inside[box], outside), mask[box], half)
        yield whole


def _around(mask: NDArray[np.bool_], reach: NDArray[np.float64]) -> tuple[slice, ...]:
    """What encloses a mask, `reach` [voxel] and one more voxel about; all where there is no end to it."""
    box = bounding_box(mask)
    if box is None:
        return (slice(None),) * mask.ndim
    margins = [min(float(size), np.ceil(far) + 1) for size, far in zip(mask.shape, reach, strict=True)]
    return tuple(
        slice(max(0, int(side.start - margin)), min(size, int(side.stop + margin)))
        for side, margin, size in zip(box, margins, mask.shape, strict=True)
    )


def _to_boundary(labels: NDArray[Any], spacing: NDArray[np.float64]) -> NDArray[np.float32]:
    """Distance to the nearest voxel of another label, zero where there is no label [mm]."""
    anisotropy = tuple(float(s) for s in spacing)
    threads = torch.get_num_threads()
    return np.asarray(edt.edt(labels, anisotropy=anisotropy, black_border=False, parallel=threads), dtype=np.float32)


def _signed_root(distance: NDArray[np.float32], mask: NDArray[np.bool_], half: np.float32) -> NDArray[np.float32]:
    """√distance to the boundary, half a voxel nearer than the next centre, negative outside the mask."""
    if mask.all():
        return np.zeros(mask.shape, dtype=np.float32)
    root = torch.from_numpy(distance).sub_(float(half)).abs_().sqrt_()
    return torch.where(torch.from_numpy(mask), root, -root).numpy()


@dataclass(frozen=True)
class Distance(OneByOne):
    """Signed √distance of foreground (any label) against background, one channel [√mm].

    The representation of the paper: it needs no more than a segmentation of all organs together.
    """

    name: str = "distance"
    traits: ClassVar[Traits] = Traits(reads_labels=True)

    def of(self, image: Image, grid: Grid) -> FeatureImage:
        """See :meth:`learngn.features.OneByOne.of`."""
        # Names of the labels: to see whether two images have any in common.
        names = label_names(image)
        return replace(_distances(image, [1], grid, merged=True), names=names)

    def together(self, fixed: FeatureImage, moving: FeatureImage) -> tuple[FeatureImage, FeatureImage]:
        """See :meth:`learngn.features.OneByOne.together`."""
        common_labels(fixed.names, moving.names)
        return replace(fixed, names=()), replace(moving, names=())


@dataclass(frozen=True)
class OrganDistance(OneByOne):
    """Signed √distance of every label that both label maps hold, one channel a label [√mm].

    A label that one side lacks (an organ missed by the segmentation) tells nothing about where it lies: it is left out.

    Attributes
    ----------
    reach : float
        Distances are cut here [mm]. Far from an organ its distance tells less than the organs nearby, yet the far
        fields of all the others together outweigh them: without the cut Dice falls by six points.
    organs : tuple of int, optional
        Labels with a channel each, whatever the pair shows, as a network needs it: zero for both where one side lacks
        the organ.
    """

    reach: float = 16.0
    name: str = "organ-distance"
    organs: tuple[int, ...] | None = None
    traits: ClassVar[Traits] = Traits(reads_labels=True, by_organ=True)

    def of(self, image: Image, grid: Grid) -> FeatureImage:
        """See :meth:`learngn.features.OneByOne.of`: a channel for every label of the image."""
        names = label_names(image)
        return replace(_distances(image, [int(name) for name in names], grid, self.reach), names=names)

    def together(self, fixed: FeatureImage, moving: FeatureImage) -> tuple[FeatureImage, FeatureImage]:
        """See :meth:`learngn.features.OneByOne.together`: the labels that both have."""
        names = common_labels(fixed.names, moving.names)
        first, second = fixed.channels(names), moving.channels(names)
        if self.organs is None:
            return first, second
        values = [int(name) for name in names]
        return _in_channels(first, values, self.organs), _in_channels(second, values, self.organs)


def _in_channels(image: FeatureImage, values: Sequence[int], organs: Sequence[int]) -> FeatureImage:
    """Put the channels of some labels where their organs stand, zero elsewhere."""
    data = image.data.new_zeros((len(image.data), len(organs), *image.grid.shape))
    for channel, value in enumerate(values):
        if value in organs:
            data[:, organs.index(value)] = image.data[:, channel]
    return FeatureImage(channels_last(data), image.grid)


def label_names(image: Image) -> tuple[str, ...]:
    """Labels of a map, without background, as names of channels.

    Raises
    ------
    LabelError
        If there are none.
    """
    names = tuple(map(str, image.label_values))
    if not names:
        raise LabelError("label map", f"no label ({image.name})", "at least one", "check the file")
    return names


def common_labels(fixed: Sequence[str], moving: Sequence[str]) -> list[str]:
    """Labels of two maps, by name, that both hold, in the order of the first.

    Raises
    ------
    LabelError
        If there are none.
    """
    common = [name for name in fixed if name in moving]
    if not common:
        raise LabelError(
            "label maps",
            f"labels [{', '.join(fixed)}] in the fixed, [{', '.join(moving)}] in the moving",
            "a label in common",
            "check the label maps",
        )
    return common


def _distances(
    image: Image, values: Sequence[int], grid: Grid, reach: float = float("inf"), *, merged: bool = False
) -> FeatureImage:
    labels = image.data[0, 0].cpu().numpy()
    labels = np.ascontiguousarray(labels != 0 if merged else labels)
    maps = signed_root_distances(labels, values, image.grid.spacing, reach)
    channels = [sampling.pool(torch.from_numpy(m)[None, None], grid.shape) for m in maps]
    limit = float(np.sqrt(reach))
    data = torch.cat(channels, dim=1).clamp(-limit, limit).to(image.data.device)
    return FeatureImage(channels_last(data), grid)
