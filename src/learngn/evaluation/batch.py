"""Scoring of many pairs: search for a pair's displacement file, and handling of pairs that cannot be scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from learngn.errors import DatasetError, LearnGNError
from learngn.evaluation.pair_scores import PairScores
from learngn.io import Pair, scan_numbers

NO_FILE = "no such file"
_SUFFIXES = (".npz", ".nii.gz")

Progress = Callable[[PairScores, int, int], None]


def find_field(folder: Path, pair: Pair) -> Path:
    """Find the displacement file of a pair by its name, or by Learn2Reg's rule for names.

    By this rule it is ``disp_FFFF_MMMM`` (subjects) if both scans are of one modality, or of 0000 and 0001 in this
    order; or ``disp_FFFF_ffff_MMMM_mmmm`` (subject and modality of each). `.npz` is preferred to `.nii.gz`, as in
    the challenge.

    Parameters
    ----------
    folder : Path
        Folder of the displacement files.
    pair : Pair
        Pair with a name, or of scans ``NAME_FFFF_ffff.nii.gz``.

    Raises
    ------
    DatasetError
        If there is no such file, or the scans have other names.
    """
    fixed, moving = pair.fixed.image, pair.moving.image
    names = [pair.field_name.removesuffix(".nii.gz")]
    if pair.name is None:
        names.append("_".join(("disp", *scan_numbers(fixed), *scan_numbers(moving))))
    for name in names:
        for suffix in _SUFFIXES:
            if (path := folder / (name + suffix)).is_file():
                return path
    raise DatasetError(
        "displacement",
        NO_FILE,
        f"{names[0]}{_SUFFIXES[1]} or {_SUFFIXES[0]} in {folder}",
        "register this pair, or name the folder that holds its displacement",
    )


def score_all(
    tasks: Sequence[tuple[Pair, Callable[[], PairScores]]], *, progress: Progress | None = None
) -> list[PairScores]:
    """Score pairs one after another; the error of a pair that cannot be scored is stored in its scores.

    Parameters
    ----------
    tasks : sequence of (Pair, callable)
        Pairs, and functions that read and score them.
    progress : callable, optional
        Called after every pair with its scores, the number of scored pairs and the number of all pairs.

    Returns
    -------
    list of PairScores
        Scores in the order of the tasks, with the names of the pairs. If a task raised a :class:`LearnGNError`,
        its message is the pair's `error`; any other exception is a bug and is not caught.
    """
    scored: list[PairScores] = []
    for pair, task in tasks:
        try:
            scores = task()
        except LearnGNError as error:
            scores = PairScores(pair.fixed.image.name, pair.moving.image.name, error=str(error))
        scored.append(replace(scores, pair=pair.id))
        if progress is not None:
            progress(scored[-1], len(scored), len(tasks))
    return scored
