"""Data sets in the layout of Learn2Reg: ``NAME_dataset.json`` and the files that it names."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from os.path import isfile  # False for names that cannot be, where pathlib raises
from pathlib import Path
from typing import Any

from learngn.errors import DatasetError
from learngn.io.documents import parse_json
from learngn.io.images import read_grid

_DIGITS = 20  # of a label
_SCAN_NAME = re.compile(r"_(\d{4})_(\d{4})\.")


@dataclass(frozen=True)
class Subject:
    """A scan and what is known of it; None for files that do not exist.

    Attributes
    ----------
    image : Path
        Scan, of ``imagesTr``.
    labels : Path or None
        Label map, of ``labelsTr``.
    landmarks : Path or None
        Landmarks, of ``landmarksTr``, or else the key points.
    mask : Path or None
        Mask, of ``masksTr``.
    keypoints : Path or None
        Key points, of ``keypointsTr``: found by a detector, to guide a registration. In a pair of other modalities than
        0000 and 0001, in this order, those of ``keypoints01Tr``, ``keypoints02Tr``, ... by the two modalities.
    """

    image: Path
    labels: Path | None = None
    landmarks: Path | None = None
    mask: Path | None = None
    keypoints: Path | None = None


@dataclass(frozen=True)
class Pair:
    """A fixed and a moving scan to register."""

    fixed: Subject
    moving: Subject

    @property
    def id(self) -> str:
        """``FFFF_MMMM``, the subjects.

        With the modality of each, ``FFFF_ffff_MMMM_mmmm``, unless both scans are of one modality or of 0000 and 0001 in
        this order: what Learn2Reg puts behind ``disp_``.
        """
        (fixed, fixed_modality), (moving, moving_modality) = (
            scan_numbers(self.fixed.image),
            scan_numbers(self.moving.image),
        )
        if _is_plain(fixed_modality, moving_modality):
            return f"{fixed}_{moving}"
        return f"{fixed}_{fixed_modality}_{moving}_{moving_modality}"

    @property
    def field_name(self) -> str:
        """Name of the pair's displacement file by the rule of Learn2Reg."""
        return f"disp_{self.id}.nii.gz"


@dataclass(frozen=True)
class Dataset:
    """A data set.

    Attributes
    ----------
    name : str
    root : Path
        Folder of the description, to which its paths are relative.
    ndim : int
        Dimension of the scans, 2 or 3.
    training : tuple of Subject
        Those that no validation pair shows: Learn2Reg lists its validation subjects under ``training`` too.
    validation : tuple of Pair
    label_names : dict
        Name of every label, without the background.
    training_pairs : tuple of Pair
        Pairs that the data set itself names for training, without validation subjects; empty where there are none.
    test : tuple of Pair
        Empty where there are none, or none of their scans has been published.
    """

    name: str
    root: Path
    ndim: int
    training: tuple[Subject, ...]
    validation: tuple[Pair, ...]
    label_names: Mapping[int, str]
    training_pairs: tuple[Pair, ...] = ()
    test: tuple[Pair, ...] = ()


def read_dataset(path: str | Path) -> Dataset:
    """Read the description of a data set and look whether its scans are there.

    Parameters
    ----------
    path : Path
        ``NAME_dataset.json``, or the folder that holds it. It has ``name``, ``registration_val`` (list of fixed and
        moving) and perhaps ``training`` (list of image and label), ``training_paired_images`` (list of fixed and
        moving), ``registration_test`` and ``labels``. Labels, landmarks, key points and masks are found by replacing
        ``images`` in a scan's path, if they exist.

    Raises
    ------
    DatasetError
        If the file is missing, not such a description, or names a scan that is missing.
    """
    path = _description_in(Path(path))
    description = _load(path)
    name, pairs = (_get(description, key, kind, path) for key, kind in (("name", str), ("registration_val", list)))
    subjects = _get(description, "training", list, path) if "training" in description else []
    validation = tuple(_pair(entry, path) for entry in pairs)
    seen = {scan_numbers(subject.image)[0] for pair in validation for subject in (pair.fixed, pair.moving)}
    everyone = [_subject(entry, "image", path) for entry in subjects]
    training = tuple(subject for subject in everyone if scan_numbers(subject.image)[0] not in seen)
    scans = [*(pair.fixed.image for pair in validation), *(subject.image for subject in training)]
    if not scans:
        raise DatasetError(f"data set {path}", "no pair and no subject", "one at least", "fill in registration_val")
    labels = _label_names(description.get("labels", {}), path)
    paired = tuple(
        pair
        for pair in _pairs(description, "training_paired_images", path)
        if not seen & {scan_numbers(subject.image)[0] for subject in (pair.fixed, pair.moving)}
    )
    test = _pairs(description, "registration_test", path, hidden=True)
    return Dataset(name, path.parent, read_grid(scans[0]).ndim, training, validation, labels, paired, test)


def read_label_names(path: str | Path) -> dict[int, str]:
    """Names of labels, without the background: of a data set, or of a file that holds them alone.

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
    found = sorted(path.glob("*_dataset.json"))
    if len(found) != 1:
        raise DatasetError(
            f"data set {path}", f"{len(found)} files NAME_dataset.json", "exactly one", "name the file itself"
        )
    return found[0]


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
    """Pairs of a list that need not be there; `hidden`: nor its scans, as long as none of them is."""
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
    if _is_plain(*modalities):
        return Pair(fixed, moving)
    # The scan that several pairs share has a list of key points for each.
    folder = "keypoints" + "".join(str(int(modality)) for modality in sorted(modalities))
    return Pair(*(find_subject(_get(entry, side, str, path), path, folder) for side in ("fixed", "moving")))


def _is_plain(fixed: str, moving: str) -> bool:
    """Whether a pair of modalities needs no mention in Learn2Reg's names."""
    return fixed == moving or (fixed, moving) == ("0000", "0001")


def _subject(entry: Any, key: str, path: Path) -> Subject:
    return find_subject(_get(entry, key, str, path), path)


def find_subject(name: str, path: Path, keypoints_in: str = "keypoints") -> Subject:
    """A scan and, in the folders beside its own, what is known of it.

    Parameters
    ----------
    name : str
        Path of the scan, relative to the description.
    path : Path
        The description.
    keypoints_in : str
        What takes the place of ``images`` for key points.

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


def scan_numbers(scan: Path) -> tuple[str, str]:
    """Subject and modality of a scan, four digits each: ``NAME_0021_0000.nii.gz`` is ``("0021", "0000")``.

    Raises
    ------
    DatasetError
        If the name has no such numbers.
    """
    found = _SCAN_NAME.search(scan.name)
    if found is None:
        raise DatasetError(
            f"scan {scan}", "a name without numbers", "NAME_0001_0000.nii.gz (subject, modality)", "name it so"
        )
    return found[1], found[2]


def _label_names(entry: Any, path: Path) -> dict[int, str]:
    """Names by label, from ``{"1": "liver"}`` or, as in some tasks, ``{"0": {"1": "liver"}}`` (by modality)."""
    if isinstance(entry, dict) and entry and all(isinstance(value, dict) for value in entry.values()):
        entry = next(iter(entry.values()))
    if not isinstance(entry, dict) or not all(str(key).isdecimal() and len(str(key)) < _DIGITS for key in entry):
        raise DatasetError(
            f"data set {path}", f"'labels': {reprlib.repr(entry)}", "names by number", "correct the description"
        )
    return {int(key): str(value) for key, value in entry.items() if int(key) != 0}
