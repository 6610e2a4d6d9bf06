"""Scoring of many pairs: search for a pair's displacement file, and handling of pairs that cannot be scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from learngn.errors import DatasetError, LearnGNError
from learngn.evaluation.pair_scores import PairScores
from learngn.io import scan_numbers

NO_FILE = "no such file"
_SUFFIXES = (".npz", ".nii.gz")

Progress = Callable[[PairScores, int, int], None]


def find_field(folder: Path, fixed: Path, moving: Path) -> Path:
    """Find the displacement file of a pair by Learn2Reg's rule for names.

    It is ``disp_FFFF_MMMM`` (subjects) if both scans are of one modality, or of 0000 and 0001 in this order; or
    ``disp_FFFF_ffff_MMMM_mmmm`` (subject and modality of each). `.npz` is preferred to `.nii.gz`, as in the challenge.

    Parameters
    ----------
    folder : Path
        Folder of the displacement files.
    fixed, moving : Path
        The scans, ``NAME_FFFF_ffff.nii.gz``.

    Raises
    ------
    DatasetError
        If there is no such file, or the scans have other names.
    """
    (fixed_id, fixed_modality), (moving_id, moving_modality) = scan_numbers(fixed), scan_numbers(moving)
    names = [f"disp_{fixed_id}_{fixed_modality}_{moving_id}_{moving_modality}"]
    if fixed_modality == moving_modality or (fixed_modality, moving_modality) == ("0000", "0001"):
        names.insert(0, f"disp_{fixed_id}_{moving_id}")
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
    tasks: Mapping[tuple[str, str], Callable[[], PairScores]], *, progress: Progress | None = None
) -> list[PairScores]:
    """Score pairs one after another; the error of a pair that cannot be scored is stored in its scores.

    Parameters
    ----------
    tasks : dict
        Functions that read and score a pair, by the names of its fixed and moving scan.
    progress : callable, optional
        Called after every pair with its scores, the number of scored pairs and the number of all pairs.

    Returns
    -------
    list of PairScores
        Scores in the order of the tasks. If a task raised a :class:`LearnGNError`, its message is the pair's `error`;
        any other exception is a bug and is not caught.
    """
    scored: list[PairScores] = []
    for names, task in tasks.items():
        try:
            scored.append(task())
        except LearnGNError as error:
            scored.append(PairScores(*names, error=str(error)))
        if progress is not None:
            progress(scored[-1], len(scored), len(tasks))
    return scored
