"""Scoring of the pairs of a data set from their displacement files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from learngn.errors import DatasetError
from learngn.evaluation.batch import NO_FILE, Progress, find_field, score_all
from learngn.evaluation.learn2reg import score
from learngn.evaluation.pair_scores import PairScores
from learngn.geometry.transform import Transform
from learngn.io import Dataset, Pair, read_learn2reg
from learngn.quality.inside import Body
from learngn.registration import RegistrationPair, read_pair


def score_pair(transform: Transform, pair: RegistrationPair) -> PairScores:
    """Score a transform from the fixed to the moving world by the labels, landmarks and mask of a pair.

    Parameters
    ----------
    transform : Transform
    pair : RegistrationPair

    Returns
    -------
    PairScores
        See :func:`learngn.evaluation.score`.
    """
    fixed, moving = pair.fixed, pair.moving
    landmarks = None
    if pair.landmarks is not None:
        landmarks = fixed.grid.world_to_index(pair.landmarks[0]), moving.grid.world_to_index(pair.landmarks[1])
    return score(
        transform,
        fixed.grid,
        moving.grid,
        labels=pair.labels,
        landmarks=landmarks,
        mask=fixed.evaluation_mask,
        body=None if fixed.image is None else Body.of(fixed.image),
        names=(fixed.name, moving.name),
    )


def score_dataset(
    dataset: Dataset, folder: Path, *, pairs: Sequence[Pair] | None = None, progress: Progress | None = None
) -> list[PairScores]:
    """Score displacement files, by default of the validation pairs; a pair without a valid file gets an `error`.

    Raises
    ------
    DatasetError
        If the folder has no displacement file of any pair.
    """
    chosen = dataset.validation if pairs is None else pairs
    _check_any(chosen, folder)
    return score_all([(pair, partial(_score_file, pair, folder)) for pair in chosen], progress=progress)


def _check_any(pairs: Sequence[Pair], folder: Path) -> None:
    """Raise :class:`DatasetError` if a folder has no displacement of any of the pairs: it is another one."""
    for pair in pairs:
        try:
            find_field(folder, pair)
        except DatasetError as error:
            if error.got != NO_FILE:  # the error of each pair says more
                return
        else:
            return
    if pairs:
        raise DatasetError(
            f"folder {folder}",
            f"no displacement of the {len(pairs)} pairs",
            f"files such as {pairs[0].field_name}",
            "name the folder that learngn cohort has written, or register the pairs first",
        )


def _score_file(pair: Pair, folder: Path) -> PairScores:
    field = find_field(folder, pair)
    known = read_pair(pair, scans=False)
    return score_pair(read_learn2reg(field, known.fixed.grid, known.moving.grid), known)
