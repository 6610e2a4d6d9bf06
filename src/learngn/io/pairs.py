"""Choice of pairs of a data set: validation pairs, training pairs, test pairs, or those of a table."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

from learngn.errors import DatasetError
from learngn.io.dataset import find_subject
from learngn.io.pair_table import read_rows
from learngn.io.subject import Dataset, Pair, Subject, scan_numbers

_DIGITS = 20  # of a number; Python refuses to read very long ones
_COLUMNS = ("fixed", "moving")


def choose_pairs(dataset: Dataset, which: str) -> tuple[Pair, ...]:
    """Choose pairs of a data set.

    Parameters
    ----------
    dataset : Dataset
    which : str
        ``"val"``: the validation pairs. ``"train"``: the training pairs that the data set names, or else every two
        training subjects, once. ``"all"``: both. ``"test"``: the test pairs, if their scans are there. Or a CSV file
        with the columns ``fixed`` and ``moving``: a scan's path relative to the data set, its file name, or its
        subject's number.

    Raises
    ------
    DatasetError
        If there is no such pair at all, or a row of the file does not name two scans.
    """
    if which not in ("val", "train", "all", "test"):
        return _read_pairs(Path(which), dataset)
    training = dataset.training_pairs
    if which in ("train", "all") and not training:
        training = tuple(Pair(fixed, moving) for fixed, moving in combinations(dataset.training, 2))
    every = tuple(dict.fromkeys(dataset.validation + training))
    named = {"val": dataset.validation, "train": training, "all": every, "test": dataset.test}
    if not named[which]:
        raise DatasetError(
            f"data set {dataset.name}",
            f"no pair of {which!r}" + (" whose scans are there" if which == "test" else ""),
            "one at least",
            "choose val, train, all, test or a CSV file",
        )
    return named[which]


def _read_pairs(path: Path, dataset: Dataset) -> tuple[Pair, ...]:
    if any(pair.name is not None for pair in dataset.validation):
        raise DatasetError(
            f"pairs {path}", f"a choice among those of the table {dataset.name}", "val or all", "give this file instead"
        )
    (_, heading), *rows = read_rows(path, "val, train, all, test, or a CSV file of pairs")
    if tuple(cell.lower() for cell in heading) != _COLUMNS:
        raise DatasetError(
            f"pairs {path}",
            f"the header {','.join(heading)}",
            "fixed,moving",
            "write it as the first line, or give a table of paths instead of the data set",
        )
    scans = _by_name(dataset)
    pairs = []
    for number, row in rows:
        if len(row) != len(_COLUMNS):
            raise DatasetError(f"{path}, line {number}", f"{len(row)} cells", "fixed and moving", "correct this line")
        try:
            fixed, moving = (_find(cell, scans, dataset) for cell in row)
        except DatasetError as error:
            raise DatasetError(f"{path}, line {number}", error.got, error.expected, "correct this line") from None
        pairs.append(Pair(fixed, moving))
    if not pairs:
        raise DatasetError(f"pairs {path}", "no line but the header", "one pair at least", "write a line for each")
    return tuple(pairs)


def _by_name(dataset: Dataset) -> dict[str, list[Subject]]:
    """Return the scans of a data set by file name, and by number, where all modalities of a subject are listed."""
    by_path: dict[Path, Subject] = {s.image: s for s in subjects(dataset.validation)}
    by_path |= {subject.image: subject for subject in (*dataset.training, *subjects(dataset.test))}
    by_name: dict[str, list[Subject]] = {}
    for path, subject in by_path.items():
        for name in (path.name, str(int(scan_numbers(path)[0]))):
            by_name.setdefault(name, []).append(subject)
    return by_name


def _find(text: str, scans: dict[str, list[Subject]], dataset: Dataset) -> Subject:
    matching = scans.get(str(int(text)) if text.isdecimal() and len(text) < _DIGITS else text, [])
    if len(matching) == 1:
        return matching[0]
    if matching:
        names = ", ".join(subject.image.name for subject in matching)
        raise DatasetError("scan", f"{text!r}, which may be {names}", "one scan", "name the file")
    return find_subject(text, dataset.root / "pairs")


def subjects(pairs: Iterable[Pair]) -> tuple[Subject, ...]:
    """Return the subjects of pairs, each once, in the order in which they appear."""
    return tuple({s.image: s for pair in pairs for s in (pair.fixed, pair.moving)}.values())
