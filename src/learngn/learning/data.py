"""Training examples: input features and labels of a scan, read once; batches of pairs of examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from learngn.features import Feature, FeatureImage, OrganDistance
from learngn.geometry.grid import FloatArray, Grid
from learngn.geometry.image import Image, check_scan
from learngn.io import Subject, labels_on, read_image, read_landmarks
from learngn.learning.pairing import Pairing
from learngn.model import pooled_shape


@dataclass(frozen=True, eq=False)
class Example:
    """A subject prepared for training.

    Attributes
    ----------
    name : str
        File name of the scan.
    image : Grid
        Grid of the scan.
    features : FeatureImage
        Input features on the working grid, (1, C, *S).
    labels : Image or None
        Expert labels on the scan's grid.
    distances : FeatureImage or None
        Signed √distance of every organ on the network's grid, (1, L-1, *R), -1 to 1; NaN everywhere for an organ that
        is missing.
    landmarks : array, shape (M, D) [RAS mm], or None
    modality : int
        0 for the first modality, or the only one; 1 for the second.
    """

    name: str
    image: Grid
    features: FeatureImage
    labels: Image | None
    distances: FeatureImage | None
    landmarks: FloatArray | None
    modality: int = 0

    def to(self, device: torch.device) -> Example:
        """Return a copy on a device."""
        return replace(
            self,
            features=_on(self.features, device),
            labels=None if self.labels is None else self.labels.to(device),
            distances=None if self.distances is None else _on(self.distances, device),
        )


def _on(image: FeatureImage, device: torch.device) -> FeatureImage:
    return FeatureImage(image.data.to(device), image.grid)


def read_example(
    subject: Subject,
    feature: Feature,
    spacing: float,
    organs: tuple[int, ...] = (),
    pool: int = 1,
    *,
    modality: int = 0,
) -> Example:
    """Read a subject and compute its features on a grid of about `spacing` mm.

    Parameters
    ----------
    subject : Subject
    feature : Feature
    spacing : float
        Voxel size of the features [mm].
    organs : tuple of int
        Labels whose distances are computed.
    pool : int
        Factor by which the grid of the distances is coarser than that of the features.
    modality : int
        See :class:`Example`.

    Raises
    ------
    LearnGNError
        If a file cannot be read, or the scan and its labels do not fit together.
    """
    image = read_image(subject.image, labels=feature.traits.reads_labels).to("cpu")
    if not feature.traits.reads_labels:
        check_scan(image, f"scan {subject.image.name}")
    labels = None
    if subject.labels is not None:
        labels = labels_on(read_image(subject.labels, labels=True), image.grid, f"labels {subject.labels}").to("cpu")
    landmarks = None if subject.landmarks is None else read_landmarks(subject.landmarks, image.grid).points
    features, _ = feature(image, image, spacing)
    distances = None if labels is None or not organs else _organ_distances(labels, features.grid, organs, pool)
    return Example(subject.image.name, image.grid, features, labels, distances, landmarks, modality)


def _organ_distances(labels: Image, grid: Grid, organs: tuple[int, ...], pool: int) -> FeatureImage:
    """Compute :attr:`Example.distances`."""
    feature = OrganDistance(organs=organs)
    target = grid.resized(pooled_shape(grid.shape, pool))
    features, _ = feature(labels, labels, float(grid.spacing.min()))
    distances = features.on(target).data / float(feature.reach**0.5)
    missing = [channel for channel, organ in enumerate(organs) if organ not in labels.label_values]
    distances[:, missing] = torch.nan
    return FeatureImage(distances, target)


class _Placed:
    """Examples on a device, each moved once, though it is in many pairs."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.there = device, dict[int, Example]()

    def __call__(self, example: Example) -> Example:
        if id(example) not in self.there:
            self.there[id(example)] = example.to(self.device)
        return self.there[id(example)]


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Examples of a training.

    Attributes
    ----------
    pairing : Pairing of Example
        From which steps of φ alone draw random pairs.
    whole : Pairing of Example
        From which whole steps draw.
    validation : sequence of (Example, Example)
        Pairs of held-out subjects; a single held-out subject is paired with others.
    organs : tuple of int
        Labels that teach φ.
    pair_labels : tuple of int
        Labels that correspond within a pair alone: the losses compare them after warping.
    """

    pairing: Pairing[Example]
    whole: Pairing[Example]
    validation: Sequence[tuple[Example, Example]]
    organs: tuple[int, ...]
    pair_labels: tuple[int, ...] = ()

    def to(self, device: torch.device) -> TrainingData:
        """Return the data with the training examples on a device; those for validation are moved one by one."""
        placed = _Placed(device)
        return replace(self, pairing=self.pairing.mapped(placed), whole=self.whole.mapped(placed))


@dataclass(frozen=True, eq=False)
class Side:
    """The fixed or the moving side of a batch of pairs: augmented scans that share one grid.

    Attributes
    ----------
    features : FeatureImage
        Input features, (N, C, *S).
    labels : Tensor, shape (N, L, *T), or None
        One-hot labels: background, the organs that teach φ, then labels that correspond within a pair.
    label_grid : Grid
        Grid of the labels.
    distances : Tensor, shape (N, L-1, *S), or None
        Distances of the organs on the network's grid; see :class:`Example`.
    landmarks : Tensor, shape (N, M, D) [RAS mm], or None
    origins : Tensor, shape (N, D, *S) [RAS mm], or None
        Place of each voxel in the scan before it was deformed, if both sides are one scan deformed twice.
    modality : int
        See :class:`Example`.
    """

    features: FeatureImage
    labels: Tensor | None
    label_grid: Grid
    distances: Tensor | None
    landmarks: Tensor | None
    origins: Tensor | None = None
    modality: int = 0

    @property
    def kind(self) -> tuple[object, ...]:
        """Key that is equal for sides that can be stacked."""
        points = None if self.landmarks is None else self.landmarks.shape
        return self.features.grid, points, self.origins is None, self.modality

    def with_features(self, data: Tensor) -> Side:
        """Return a copy with other features."""
        return replace(self, features=FeatureImage(data, self.features.grid))


@dataclass(frozen=True, eq=False)
class Batch:
    """Batch of pairs whose fixed scans share one grid, and whose moving scans share one."""

    fixed: Side
    moving: Side


def stack(sides: Sequence[Side]) -> Side:
    """Stack sides that share one grid along the batch dimension."""
    first = sides[0]
    return Side(
        FeatureImage(torch.cat([side.features.data for side in sides]), first.features.grid),
        _joined([side.labels for side in sides]),
        first.label_grid,
        _joined([side.distances for side in sides]),
        _joined([side.landmarks for side in sides]),
        _joined([side.origins for side in sides]),
        first.modality,
    )


def _joined(parts: Sequence[Tensor | None]) -> Tensor | None:
    there = [part for part in parts if part is not None]
    return torch.cat(there) if there else None


def share_channels(fixed: Tensor, moving: Tensor) -> tuple[Tensor, Tensor]:
    """Set a channel that is zero everywhere in one of two scans, (N, C, *S), to zero in both.

    Features of organs have such channels if a scan lacks the organ: there is nothing to match.
    """
    present = [x.flatten(2).abs().amax(2) > 0 for x in (fixed, moving)]
    both = (present[0] & present[1]).to(fixed.dtype).reshape(*present[0].shape, *[1] * (fixed.ndim - 2))
    return fixed * both, moving * both
