"""Training examples: a scan's input features and labels, read once, and batches of pairs of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from learngn.errors import TrainingError
from learngn.features import Feature, FeatureImage, OrganDistance
from learngn.geometry.grid import FloatArray, Grid
from learngn.geometry.image import Image, check_scan
from learngn.io import Subject, read_image, read_landmarks
from learngn.model import pooled_shape


@dataclass(frozen=True, eq=False)
class Example:
    """A subject, ready for training.

    Attributes
    ----------
    name : str
    image : Grid
        The scan's grid.
    features : FeatureImage
        Input features on the working grid, (1, C, *S).
    labels : Image or None
        Expert labels on the scan's grid.
    distances : FeatureImage or None
        Signed √distance of every organ where the network works, (1, L-1, *R), -1 to 1; NaN throughout for an organ that
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
    organs : tuple of int
        Labels whose distances are wanted.
    pool : int
        How many times coarser than the features they are wanted.

    Raises
    ------
    LearnGNError
        If a file cannot be read, or the scan and its labels do not fit together.
    """
    image = read_image(subject.image, labels=feature.traits.reads_labels)
    if not feature.traits.reads_labels:
        check_scan(image, f"scan {subject.image.name}")
    labels = None
    if subject.labels is not None:
        labels = read_image(subject.labels, labels=True)
        if not labels.grid.same_space(image.grid):
            raise TrainingError(
                f"labels {subject.labels}",
                f"a grid of {labels.grid}",
                f"the scan's, {image.grid}",
                "resample the labels to their scan",
            )
    landmarks = None if subject.landmarks is None else read_landmarks(subject.landmarks, image.grid).points
    features, _ = feature(image, image, spacing)
    distances = None if labels is None or not organs else _organ_distances(labels, features.grid, organs, pool)
    return Example(subject.image.name, image.grid, features, labels, distances, landmarks)


def organs_in(subjects: Sequence[Subject]) -> tuple[int, ...]:
    """Labels that occur, for a data set that names none."""
    paths = [subject.labels for subject in subjects if subject.labels is not None]
    return tuple(sorted({value for path in paths for value in read_image(path, labels=True).label_values}))


def _organ_distances(labels: Image, grid: Grid, organs: tuple[int, ...], pool: int) -> FeatureImage:
    """What :attr:`Example.distances` holds."""
    feature = OrganDistance(organs=organs)
    target = grid.resized(pooled_shape(grid.shape, pool))
    found, _ = feature(labels, labels, float(grid.spacing.min()))
    distances = found.on(target).data / float(feature.reach**0.5)
    missing = [channel for channel, organ in enumerate(organs) if organ not in labels.label_values]
    distances[:, missing] = torch.nan
    return FeatureImage(distances, target)


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What a training draws from.

    Attributes
    ----------
    training : sequence of Example
        Each step registers two of them, drawn anew.
    validation : sequence of (Example, Example)
        Pairs of subjects that are not in `training`.
    organs : tuple of int
        Labels that the losses count.
    """

    training: Sequence[Example]
    validation: Sequence[tuple[Example, Example]]
    organs: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Side:
    """One side of a batch of pairs: scans of one grid, augmented.

    Attributes
    ----------
    features : FeatureImage
        Input features, (N, C, *S).
    labels : Tensor, shape (N, L, *T), or None
        One-hot labels, background first.
    label_grid : Grid
        Their grid.
    distances : Tensor, shape (N, L-1, *S), or None
        Of the organs, where the network works; see :class:`Example`.
    landmarks : Tensor, shape (N, M, D) [RAS mm], or None
    """

    features: FeatureImage
    labels: Tensor | None
    label_grid: Grid
    distances: Tensor | None
    landmarks: Tensor | None

    @property
    def kind(self) -> tuple[object, ...]:
        """Equal for sides that can stand side by side."""
        return self.features.grid, None if self.landmarks is None else self.landmarks.shape

    def with_features(self, data: Tensor) -> Side:
        """The same with other features."""
        return replace(self, features=FeatureImage(data, self.features.grid))

    def to(self, device: torch.device) -> Side:
        """Copy on a device."""
        return Side(
            FeatureImage(self.features.data.to(device), self.features.grid),
            None if self.labels is None else self.labels.to(device),
            self.label_grid,
            None if self.distances is None else self.distances.to(device),
            None if self.landmarks is None else self.landmarks.to(device),
        )


@dataclass(frozen=True, eq=False)
class Batch:
    """Pairs whose scans have the same grids, side by side."""

    fixed: Side
    moving: Side

    def to(self, device: torch.device) -> Batch:
        """Copy on a device."""
        return Batch(self.fixed.to(device), self.moving.to(device))


def stack(sides: Sequence[Side]) -> Side:
    """Join sides of one grid."""
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
    """Set a channel that is zero throughout in one of two scans, (N, C, *S), to zero in both.

    Features of organs have such channels where a scan lacks the organ: nothing can be matched there.
    """
    there = [x.flatten(2).abs().amax(2) > 0 for x in (fixed, moving)]
    both = (there[0] & there[1]).to(fixed.dtype).reshape(*there[0].shape, *[1] * (fixed.ndim - 2))
    return fixed * both, moving * both
