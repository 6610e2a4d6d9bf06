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
    """

    name: str
    image: Grid
    features: FeatureImage
    labels: Image | None
    distances: FeatureImage | None
    landmarks: FloatArray | None


def read_example(
    subject: Subject, feature: Feature, spacing: float, organs: tuple[int, ...] = (), pool: int = 1
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
    return Example(subject.image.name, image.grid, features, labels, distances, landmarks)


def organs_in(subjects: Sequence[Subject]) -> tuple[int, ...]:
    """Return the labels that occur in the subjects' label maps, for a data set without named labels."""
    paths = [subject.labels for subject in subjects if subject.labels is not None]
    return tuple(sorted({value for path in paths for value in read_image(path, labels=True).label_values}))


def _organ_distances(labels: Image, grid: Grid, organs: tuple[int, ...], pool: int) -> FeatureImage:
    """Compute :attr:`Example.distances`."""
    feature = OrganDistance(organs=organs)
    target = grid.resized(pooled_shape(grid.shape, pool))
    features, _ = feature(labels, labels, float(grid.spacing.min()))
    distances = features.on(target).data / float(feature.reach**0.5)
    missing = [channel for channel, organ in enumerate(organs) if organ not in labels.label_values]
    distances[:, missing] = torch.nan
    return FeatureImage(distances, target)


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Examples of a training.

    Attributes
    ----------
    training : sequence of Example
        Examples from which every step draws random pairs.
    validation : sequence of (Example, Example)
        Pairs of held-out subjects; a single held-out subject is paired with subjects of `training`.
    organs : tuple of int
        Labels that the losses use.
    """

    training: Sequence[Example]
    validation: Sequence[tuple[Example, Example]]
    organs: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Side:
    """The fixed or the moving side of a batch of pairs: augmented scans that share one grid.

    Attributes
    ----------
    features : FeatureImage
        Input features, (N, C, *S).
    labels : Tensor, shape (N, L, *T), or None
        One-hot labels, background first.
    label_grid : Grid
        Grid of the labels.
    distances : Tensor, shape (N, L-1, *S), or None
        Distances of the organs on the network's grid; see :class:`Example`.
    landmarks : Tensor, shape (N, M, D) [RAS mm], or None
    """

    features: FeatureImage
    labels: Tensor | None
    label_grid: Grid
    distances: Tensor | None
    landmarks: Tensor | None

    @property
    def kind(self) -> tuple[object, ...]:
        """Key that is equal for sides that can be stacked."""
        return self.features.grid, None if self.landmarks is None else self.landmarks.shape

    def with_features(self, data: Tensor) -> Side:
        """Return a copy with other features."""
        return replace(self, features=FeatureImage(data, self.features.grid))

    def to(self, device: torch.device) -> Side:
        """Return a copy on a device."""
        return Side(
            FeatureImage(self.features.data.to(device), self.features.grid),
            None if self.labels is None else self.labels.to(device),
            self.label_grid,
            None if self.distances is None else self.distances.to(device),
            None if self.landmarks is None else self.landmarks.to(device),
        )


@dataclass(frozen=True, eq=False)
class Batch:
    """Batch of pairs whose fixed scans share one grid, and whose moving scans share one."""

    fixed: Side
    moving: Side

    def to(self, device: torch.device) -> Batch:
        """Return a copy on a device."""
        return Batch(self.fixed.to(device), self.moving.to(device))


def stack(sides: Sequence[Side]) -> Side:
    """Stack sides that share one grid along the batch dimension."""
    first = sides[0]
    labels = None if first.labels is None else torch.cat([s.labels for s in sides if s.labels is not None])
    distances = [side.distances for side in sides if side.distances is not None]
    landmarks = [side.landmarks for side in sides if side.landmarks is not None]
    data = torch.cat([side.features.data for side in sides])
    return Side(
        FeatureImage(data, first.features.grid),
        labels,
        first.label_grid,
        torch.cat(distances) if distances else None,
        torch.cat(landmarks) if landmarks else None,
    )


def share_channels(fixed: Tensor, moving: Tensor) -> tuple[Tensor, Tensor]:
    """Set a channel that is zero everywhere in one of two scans, (N, C, *S), to zero in both.

    Features of organs have such channels if a scan lacks the organ: there is nothing to match.
    """
    present = [x.flatten(2).abs().amax(2) > 0 for x in (fixed, moving)]
    both = (present[0] & present[1]).to(fixed.dtype).reshape(*present[0].shape, *[1] * (fixed.ndim - 2))
    return fixed * both, moving * both
