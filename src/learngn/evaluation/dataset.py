"""Scoring the pairs of a data set: what is known of a pair, and its displacement file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from learngn.errors import LandmarkError
from learngn.evaluation.batch import Progress, find_field, score_all
from learngn.evaluation.learn2reg import score
from learngn.evaluation.scores import PairScores
from learngn.grid import FloatArray, Grid
from learngn.image import Image
from learngn.io import Dataset, Pair, Subject, labels_on, read_grid, read_image, read_landmarks, read_learn2reg
from learngn.transform import Transform


@dataclass(frozen=True, eq=False)
class Truth:
    """What a pair can be scored with; None for what is not known.

    Attributes
    ----------
    fixed, moving : Grid
        Grids of the scans.
    fixed_labels, moving_labels : Image or None
        On these grids.
    landmarks : pair of array, shape (M, D) [voxel], or None
        Corresponding points in the fixed and the moving scan.
    mask : Image or None
        On the fixed grid.
    """

    fixed: Grid
    moving: Grid
    fixed_labels: Image | None = None
    moving_labels: Image | None = None
    landmarks: tuple[FloatArray, FloatArray] | None = None
    mask: Image | None = None

    def score(self, transform: Transform, names: tuple[str, str]) -> PairScores:
        """Score a transform from the fixed to the moving world; see :func:`learngn.evaluation.score`."""
        labels = None
        if self.fixed_labels is not None and self.moving_labels is not None:
            labels = self.fixed_labels, self.moving_labels
        return score(
            transform, self.fixed, self.moving, labels=labels, landmarks=self.landmarks, mask=self.mask, names=names
        )


def read_truth(pair: Pair) -> Truth:
    """Read what a pair can be scored with, and see that it belongs to the pair's scans.

    Raises
    ------
    LabelError
        If a label map or the mask does not lie on its scan's grid.
    LandmarkError
        If the two lists of landmarks differ in length.
    LearnGNError
        If a file cannot be read.
    """
    grids = read_grid(pair.fixed.image), read_grid(pair.moving.image)
    fixed_labels, moving_labels = (
        _on_grid(subject.labels, grid, f"labels of the {side} scan")
        for subject, grid, side in zip((pair.fixed, pair.moving), grids, ("fixed", "moving"), strict=True)
    )
    return Truth(
        *grids,
        fixed_labels,
        moving_labels,
        _landmarks(pair.fixed, pair.moving, grids),
        _on_grid(pair.fixed.mask, grids[0], "mask of the fixed scan"),
    )


def score_dataset(
    dataset: Dataset, folder: Path, *, pairs: Sequence[Pair] | None = None, progress: Progress | None = None
) -> list[PairScores]:
    """Score displacement files, by default of the validation; a missing or broken one becomes the pair's `error`."""
    chosen = dataset.validation if pairs is None else pairs
    tasks = {(pair.fixed.image.name, pair.moving.image.name): partial(_score_file, pair, folder) for pair in chosen}
    return score_all(tasks, progress=progress)


def _score_file(pair: Pair, folder: Path) -> PairScores:
    field = find_field(folder, pair.fixed.image, pair.moving.image)
    truth = read_truth(pair)
    transform = read_learn2reg(field, truth.fixed, truth.moving)
    return truth.score(transform, (pair.fixed.image.name, pair.moving.image.name))


def _on_grid(path: Path | None, grid: Grid, what: str) -> Image | None:
    if path is None:
        return None
    return labels_on(read_image(path, labels=True), grid, what)


def _landmarks(fixed: Subject, moving: Subject, grids: tuple[Grid, Grid]) -> tuple[FloatArray, FloatArray] | None:
    if fixed.landmarks is None or moving.landmarks is None:
        return None
    first, second = (
        grid.world_to_index(read_landmarks(path, grid).points)
        for path, grid in zip((fixed.landmarks, moving.landmarks), grids, strict=True)
    )
    if len(first) != len(second):
        raise LandmarkError(
            f"landmarks {fixed.landmarks} and {moving.landmarks}",
            f"{len(first)} and {len(second)} points",
            "as many in both, in the same order",
            "check that the files belong together",
        )
    return first, second
