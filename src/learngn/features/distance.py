"""Distance maps of label maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import edt
import numpy as np
from numpy.typing import NDArray

from learngn.arrays import as_numpy, channels_last, empty_channels_last, shared, zeros
from learngn.errors import LabelError
from learngn.features.base import FeatureImage, OneByOne, Traits
from learngn.geometry import sampling
from learngn.geometry.grid import Grid, bounding_box
from learngn.geometry.image import Image
from learngn.threads import thread_count


def signed_root_distances(
    labels: NDArray[Any], values: Sequence[int], spacing: NDArray[np.float64], reach: float = float("inf")
) -> Iterator[NDArray[np.float32]]:
    """Yield the signed √distance to the boundary of each label, or of a mask: positive inside, the map's shape [√mm].

    The root reduces the influence of large distances: far from an organ the distance says little about position. The
    boundary lies half a voxel from the outermost voxel centres. Values farther outside than `reach` [mm] are only known
    to be at least `reach`.
    """
    half = np.float32(spacing.min() / 2)
    if labels.dtype == np.bool_:  # one distance transform serves inside and outside
        yield _signed_root(_to_boundary(labels.view(np.uint8) + 1, spacing), labels, half)
        return
    # One distance transform gives the distances inside all labels; outside, each label needs its own, within `reach`.
    inside = _to_boundary(labels, spacing)
    for value in values:
        mask = labels == value
        box = _around(mask, reach / spacing)
        outside = _to_boundary(np.ascontiguousarray(~mask[box]), spacing)
        whole = np.full(labels.shape, -np.sqrt(np.float32(reach)), dtype=np.float32)
        whole[box] = _signed_root(np.where(mask[box], inside[box], outside), mask[box], half)
        yield whole


def _around(mask: NDArray[np.bool_], reach: NDArray[np.float64]) -> tuple[slice, ...]:
    """Return the bounding box of a mask, enlarged by `reach` + 1 [voxel]; the whole array for an empty mask."""
    box = bounding_box(mask)
    if box is None:
        return (slice(None),) * mask.ndim
    margins = [min(float(size), np.ceil(far) + 1) for size, far in zip(mask.shape, reach, strict=True)]
    return tuple(
        slice(max(0, int(side.start - margin)), min(size, int(side.stop + margin)))
        for side, margin, size in zip(box, margins, mask.shape, strict=True)
    )


def _to_boundary(labels: NDArray[Any], spacing: NDArray[np.float64]) -> NDArray[np.float32]:
    """Compute the distance to the nearest voxel of another label [mm]; zero in the background."""
    anisotropy = tuple(float(s) for s in spacing)
    distance = edt.edt(labels, anisotropy=anisotropy, black_border=False, parallel=thread_count())
    return np.asarray(distance, dtype=np.float32)


def _signed_root(distance: NDArray[np.float32], mask: NDArray[np.bool_], half: np.float32) -> NDArray[np.float32]:
    """Return the √distance to the boundary, half a voxel before the nearest centre; negative outside the mask."""
    if mask.all():
        return np.zeros(mask.shape, dtype=np.float32)
    distance -= half
    root = np.sqrt(np.abs(distance, out=distance), out=distance)
    return np.negative(root, out=root, where=~mask)


@dataclass(frozen=True)
class Distance(OneByOne):
    """Signed √distance of foreground (any label) against background, one channel [√mm].

    The feature used in the paper: it needs only one segmentation of all organs together.
    """

    name: str = "distance"
    traits: ClassVar[Traits] = Traits(reads_labels=True)

    def of(self, image: Image, grid: Grid) -> FeatureImage:
        """See :meth:`learngn.features.OneByOne.of`."""
        # The labels are kept as names, to check whether two images have any in common.
        names = label_names(image)
        return replace(_distances(image, [1], grid, merged=True), names=names)

    def together(self, fixed: FeatureImage, moving: FeatureImage) -> tuple[FeatureImage, FeatureImage]:
        """See :meth:`learngn.features.OneByOne.together`."""
        common_labels(fixed.names, moving.names)
        return replace(fixed, names=()), replace(moving, names=())


@dataclass(frozen=True)
class OrganDistance(OneByOne):
    """Signed √distance of every label that both label maps contain, one channel per label [√mm].

    A label missing in one of the maps (an organ missed by the segmentation) gives no information and is left out.

    Attributes
    ----------
    reach : float
        Distances are clipped to this value [mm]. Far from an organ, its distance is less informative than those of
        nearby organs, but all the far ones together outweigh them: without clipping, Dice falls by six points.
    organs : tuple of int, optional
        Labels that get one channel each, whichever labels the pair contains, as a network needs them: zero in both
        images if one of them lacks the organ.
    """

    reach: float = 16.0
    name: str = "organ-distance"
    organs: tuple[int, ...] | None = None
    traits: ClassVar[Traits] = Traits(reads_labels=True, by_organ=True)

    def of(self, image: Image, grid: Grid) -> FeatureImage:
        """See :meth:`learngn.features.OneByOne.of`: one channel per label of the image."""
        names = label_names(image)
        return replace(_distances(image, [int(name) for name in names], grid, self.reach), names=names)

    def together(self, fixed: FeatureImage, moving: FeatureImage) -> tuple[FeatureImage, FeatureImage]:
        """See :meth:`learngn.features.OneByOne.together`: the labels that both images have."""
        names = common_labels(fixed.names, moving.names)
        first, second = fixed.channels(names), moving.channels(names)
        if self.organs is None:
            return first, second
        values = [int(name) for name in names]
        return _in_channels(first, values, self.organs), _in_channels(second, values, self.organs)


def _in_channels(image: FeatureImage, values: Sequence[int], organs: Sequence[int]) -> FeatureImage:
    """Return channels ordered by `organs`: those of the given labels in their places, zero for all other organs."""
    data = zeros((len(image.data), len(organs), *image.grid.shape), image.data)
    for channel, value in enumerate(values):
        if value in organs:
            data[:, organs.index(value)] = image.data[:, channel]
    return FeatureImage(channels_last(data), image.grid)


def label_names(image: Image) -> tuple[str, ...]:
    """Return the labels of a map, without background, as channel names.

    Raises
    ------
    LabelError
        If there are no labels.
    """
    names = tuple(map(str, image.label_values))
    if not names:
        raise LabelError("label map", f"no label ({image.name})", "at least one", "check the file")
    return names


def common_labels(fixed: Sequence[str], moving: Sequence[str]) -> list[str]:
    """Return the names of the labels that two maps have in common, in the order of the first.

    Raises
    ------
    LabelError
        If they have no label in common.
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
    labels = as_numpy(image.data[0, 0])
    labels = np.ascontiguousarray(labels != 0 if merged else labels)
    maps = signed_root_distances(labels, values, image.grid.spacing, reach)
    channels = [sampling.pool(m[None, None], grid.shape) for m in maps]
    limit = float(np.sqrt(reach))
    data = empty_channels_last((1, len(channels), *grid.shape), channels[0])
    for channel, distance in enumerate(channels):
        np.clip(distance[:, 0], -limit, limit, out=data[:, channel])
    return FeatureImage(shared(data, image.data), grid)
