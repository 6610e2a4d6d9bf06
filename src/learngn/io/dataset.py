"""Data sets in the folder format of Learn2Reg."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learngn.errors import DatasetError


@dataclass(frozen=True)
class Subject:
    """A scan and what else is known of it; None for files that do not exist.

    Attributes
    ----------
    image : Path
    labels, landmarks, mask : Path or None
        ``labelsTr``, ``landmarksTr`` (or ``keypointsTr``; ``.csv``) and ``masksTr`` beside ``imagesTr``.
    """

    image: Path
    labels: Path | None
    landmarks: Path | None
    mask: Path | None

    @property
    def id(self) -> str:
        """The subject's number, the last four digits before the modality: ``"0021"``."""
        return _numbers(self.image)[0]


@dataclass(frozen=True)
class Pair:
    """A fixed and a moving subject."""

    fixed: Subject
    moving: Subject

    @property
    def id(self) -> str:
        """``FFFF_MMMM``, or with modalities where they are not 0000 and 0001: what the challenge puts behind ``disp_``."""
        (fixed, fixed_modality), (moving, moving_modality) = _numbers(self.fixed.image), _numbers(self.moving.image)
        if fixed_modality == moving_modality or (fixed_modality, moving_modality) == ("0000", "0001"):
            return f"{fixed}_{moving}"
        return f"{fixed}_{fixed_modality}_{moving}_{moving_modality}"

    @property
    def field_name(self) -> str:
        """Name of the displacement file."""
        return f"disp_{self.id}.nii.gz"


@dataclass(frozen=True)
class Dataset:
    """A data set as its ``NAME_dataset.json`` describes it.

    Attributes
    ----------
    name : str
    training : tuple of Subject
        Those that stand in no validation pair.
    validation : tuple of Pair
        ``registration_val``.
    label_names : mapping of int to str
    """

    name: str
    training: tuple[Subject, ...]
    validation: tuple[Pair, ...]
    label_names: Mapping[int, str]


def read_dataset(path: str | Path) -> Dataset:
    """Read ``NAME_dataset.json``, or the folder that holds it.

    Raises
    ------
    DatasetError
        If it is missing, no JSON, lacks a key, or names a scan that does not exist.
    """
    path = Path(path)
    if path.is_dir():
        found = sorted(path.glob("*_dataset.json"))
        if len(found) != 1:
            raise DatasetError(str(path), f"{len(found)} files *_dataset.json", "exactly one", "name the file itself")
        path = found[0]
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(str(path), "no file that can be read", "NAME_dataset.json", "check the path") from error
    except ValueError as error:
        raise DatasetError(str(path), f"no valid JSON ({error})", "a Learn2Reg description", "mend the file") from error
    if not isinstance(content, dict):
        raise DatasetError(str(path), "JSON that is no object", "a Learn2Reg description", "mend the file")
    pairs = tuple(
        Pair(_subject(path, item, "fixed"), _subject(path, item, "moving"))
        for item in _list(content, "registration_val", path)
    )
    used = {subject.image for pair in pairs for subject in (pair.fixed, pair.moving)}
    training = tuple(_subject(path, item, "image") for item in _list(content, "training", path))
    labels = content.get("labels", {})
    names = (
        {int(k): str(v) for k, v in labels.items() if str(k).isdigit() and int(k) != 0}
        if isinstance(labels, dict)
        else {}
    )
    return Dataset(str(content.get("name", path.stem)), tuple(s for s in training if s.image not in used), pairs, names)


def _list(content: Mapping[str, Any], key: str, path: Path) -> list[Any]:
    value = content.get(key)
    if not isinstance(value, list):
        raise DatasetError(f"{path}, key {key!r}", type(value).__name__, "a list", "mend the file")
    return value


def _subject(path: Path, item: Any, key: str) -> Subject:
    name = item if isinstance(item, str) else item.get(key) if isinstance(item, dict) else None
    if not isinstance(name, str):
        raise DatasetError(f"{path}, key {key!r}", repr(item)[:80], "the path of a scan", "mend the file")
    image = path.parent / name
    if not image.is_file():
        raise DatasetError(str(path), f"a scan that does not exist: {name}", "existing files", "complete the download")

    def beside(folder: str, suffix: str | None = None) -> Path | None:
        other = Path(str(image.parent).replace("images", folder)) / image.name
        if suffix is not None:
            other = other.with_name(other.name.split(".")[0] + suffix)
        return other if other.is_file() else None

    landmarks = beside("landmarks", ".csv") or beside("keypoints", ".csv")
    return Subject(image, beside("labels"), landmarks, beside("masks"))


def _numbers(image: Path) -> tuple[str, str]:
    """Subject and modality of ``NAME_FFFF_MMMM.nii.gz``."""
    found = re.search(r"_(\d{4})_(\d{4})\.", image.name)
    if found is None:
        raise DatasetError(
            image.name, "a name without numbers", "NAME_0001_0000.nii.gz", "name the scans as Learn2Reg does"
        )
    return found[1], found[2]
