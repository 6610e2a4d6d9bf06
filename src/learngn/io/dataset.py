"""Data sets: ``NAME_dataset.json`` in the layout of Learn2Reg and its files, or a table of pairs."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from os.path import isfile  # False for invalid names, for which pathlib raises
from pathlib import Path
from typing import Any

from learngn.errors import DatasetError
from learngn.io.bids import is_bids, read_bids
from learngn.io.documents import parse_json
from learngn.io.images import read_grid
from learngn.io.pair_table import is_pair_table, read_pair_table
from learngn.io.subject import Dataset, Pair, Subject, is_plain, scan_numbers

_DIGITS = 20  # most digits of a label
_CODE = 4  # digits of a modality


def read_dataset(path: str | Path) -> Dataset:
    """Read the description of a data set or a table of pairs, and check that its scans exist.

    Parameters
    ----------
    path : Path
        A table of pairs, ``.csv`` or ``.tsv``, see :mod:`learngn.io.pair_table`; a folder in BIDS, see
        :func:`learngn.io.read_bids`; or ``NAME_dataset.json`` or the folder that holds it. This has ``name``,
        ``registration_val`` (list of fixed and moving) and perhaps ``training`` (list of image and label),
        ``training_paired_images`` (list of fixed and moving), ``registration_test`` and ``labels``. Labels, landmarks,
        key points and masks are found by replacing ``images`` in a scan's path, if they exist.

    Raises
    ------
    DatasetError
        If the file is missing, is not such a description, or names a scan that is missing.
    """
    if is_pair_table(path):
        pairs = read_pair_table(path)
        ndim = read_grid(pairs[0].fixed.image).ndim
        return Dataset(Path(path).stem, Path(path).parent, ndim, (), pairs, {}, pairs)
    if is_bids(path):
        return read_bids(path)
    path = _description_in(Path(path))
    description = _load(path)
    name, entries = (_get(description, key, kind, path) for key, kind in (("name", str), ("registration_val", list)))
    subjects = _get(description, "training", list, path) if "training" in description else []
    validation = tuple(_pair(entry, path) for entry in entries)
    held_out = {scan_numbers(subject.image)[0] for pair in validation for subject in (pair.fixed, pair.moving)}
    listed = [_subject(entry, "image", path) for entry in subjects]
    training = tuple(subject for subject in listed if scan_numbers(subject.image)[0] not in held_out)
    scans = [*(pair.fixed.image for pair in validation), *(subject.image for subject in training)]
    if not scans:
        raise DatasetError(f"data set {path}", "no pair and no subject", "one at least", "fill in registration_val")
    labels = _label_names(description.get("labels", {}), path)
    paired = tuple(
        pair
        for pair in _pairs(description, "training_paired_images", path)
        if not held_out & {scan_numbers(subject.image)[0] for subject in (pair.fixed, pair.moving)}
    )
    test = _pairs(description, "registration_test", path, hidden=True)
    return Dataset(
        name,
        path.parent,
        read_grid(scans[0]).ndim,
        training,
        validation,
        labels,
        paired,
        test,
        _modality_names(description),
    )


def read_label_names(path: str | Path) -> dict[int, str]:
    """Read the names of labels, without the background, from a data set or from a file that holds only names.

    Parameters
    ----------
    path : Path
        ``NAME_dataset.json``, the folder that holds it, or a JSON file with ``{"1": "liver"}``, alone or as ``labels``.

    Raises
    ------
    DatasetError
        If the file is missing, or has no such names.
    """
    path = _description_in(Path(path))
    content = _load(path)
    return _label_names(content.get("labels", content), path)


def _description_in(path: Path) -> Path:
    if not path.is_dir():
        return path
    descriptions = sorted(path.glob("*_dataset.json"))
    if len(descriptions) != 1:
        raise DatasetError(
            f"data set {path}", f"{len(descriptions)} files NAME_dataset.json", "exactly one", "name the file itself"
        )
    return descriptions[0]


def _load(path: Path) -> dict[str, Any]:
    try:
        description = parse_json(path.read_text(encoding="utf-8"))
    except OSError as failure:
        raise DatasetError(
            f"data set {path}", failure.strerror or str(failure), "the file NAME_dataset.json", "check the path"
        ) from failure
    except ValueError as failure:
        raise DatasetError(f"data set {path}", f"no JSON ({failure})", "a JSON description", "correct it") from failure
    if not isinstance(description, dict):
        raise DatasetError(f"data set {path}", f"a {type(description).__name__}", "a JSON object", "correct it")
    return description


def _get(entry: Any, key: str, kind: type, path: Path) -> Any:
    if not isinstance(entry, dict) or not isinstance(entry.get(key), kind):
        got = f"no {key!r}" if not isinstance(entry, dict) or key not in entry else f"{key!r}: {entry[key]!r}"
        raise DatasetError(f"data set {path}", got, f"{key!r}, a {kind.__name__}", "complete the description")
    return entry[key]


def _pairs(description: dict[str, Any], key: str, path: Path, *, hidden: bool = False) -> tuple[Pair, ...]:
    """Read the pairs of an optional list; with `hidden`, the list counts as empty if none of its scans exists."""
    entries = _get(description, key, list, path) if key in description else []
    if hidden and not any(
        isfile(path.parent / _get(entry, side, str, path)) for entry in entries for side in ("fixed", "moving")
    ):
        return ()
    return tuple(_pair(entry, path) for entry in entries)


def _pair(entry: Any, path: Path) -> Pair:
    if isinstance(entry, dict) and set(entry) == {"0", "1"}:  # by modality, as in the multimodal tasks
        entry = {"fixed": entry["0"], "moving": entry["1"]}
    fixed, moving = _subject(entry, "fixed", path), _subject(entry, "moving", path)
    modalities = [scan_numbers(subject.image)[1] for subject in (fixed, moving)]
    if is_plain(*modalities):
        return Pair(fixed, moving)
    # A scan that is in several pairs has a file of key points for each of them.
    folder = "keypoints" + "".join(str(int(modality)) for modality in sorted(modalities))
    fixed, moving = (find_subject(_get(entry, side, str, path), path, folder) for side in ("fixed", "moving"))
    return Pair(fixed, moving)


def _subject(entry: Any, key: str, path: Path) -> Subject:
    return find_subject(_get(entry, key, str, path), path)


def find_subject(name: str, path: Path, keypoints_in: str = "keypoints") -> Subject:
    """Find a scan and, in the folders beside its own, the files that belong to it.

    Parameters
    ----------
    name : str
        Path of the scan, relative to the description.
    path : Path
        The description.
    keypoints_in : str
        Text that replaces ``images`` in the path of the key points.

    Raises
    ------
    DatasetError
        If there is no such file, or its name has no numbers.
    """
    image = path.parent / name
    if not isfile(image):
        raise DatasetError(f"data set {path}", f"no file {image}", "every scan it names", "check the folder")
    scan_numbers(image)

    def beside(folder: str, suffix: str | None = None) -> Path | None:
        other = name.replace("images", folder)
        if suffix is not None:
            other = re.sub(r"\.nii(\.gz)?$", suffix, other)
        return path.parent / other if other != name and isfile(path.parent / other) else None

    keypoints = beside(keypoints_in, ".csv")
    return Subject(image, beside("labels"), beside("landmarks", ".csv") or keypoints, beside("masks"), keypoints)


def _modality_names(description: Mapping[str, Any]) -> dict[str, str]:
    """Parse names by modality, from ``{"0": "CT"}``; anything else counts as none."""
    entry = description.get("modality")
    named = entry.items() if isinstance(entry, dict) else ()
    return {f"{int(key):04d}": str(value) for key, value in named if str(key).isdecimal() and len(str(key)) <= _CODE}


def _label_names(entry: Any, path: Path) -> dict[int, str]:
    """Parse names by label, from ``{"1": "liver"}`` or, as in some tasks, ``{"0": {"1": "liver"}}`` (by modality)."""
    if isinstance(entry, dict) and entry and all(isinstance(value, dict) for value in entry.values()):
        entry = next(iter(entry.values()))
    if not isinstance(entry, dict) or not all(str(key).isdecimal() and len(str(key)) < _DIGITS for key in entry):
        raise DatasetError(
            f"data set {path}", f"'labels': {reprlib.repr(entry)}", "names by number", "correct the description"
        )
    return {int(key): str(value) for key, value in entry.items() if int(key) != 0}
