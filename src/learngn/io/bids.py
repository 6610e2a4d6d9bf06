"""BIDS: the names of its files, and the scans of a folder as pairs to register.

Names are taken apart by the rule of the specification, ``KEY-VALUE_..._SUFFIX.EXTENSION``, which is all that is needed
here: pybids indexes whole data sets in a database, and needs SQLAlchemy and fourteen other packages.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from learngn.errors import DatasetError
from learngn.io.images import read_grid
from learngn.io.subject import Dataset, Pair, Subject

DESCRIPTION = "dataset_description.json"
# Order of the entities in a file name, by the specification (appendix "Entities"); those of transforms come last.
ORDER = (
    "sub", "tpl", "ses", "sample", "task", "tracksys", "acq", "ce", "trc", "stain", "rec", "dir", "run", "mod", "echo",
    "flip", "inv", "mt", "part", "proc", "hemi", "space", "split", "recording", "chunk", "atlas", "res", "den", "label",
    "from", "to", "mode", "desc",
)  # fmt: skip
_EXTENSIONS = (".nii.gz", ".nii")
_ENTITY = re.compile(r"([a-zA-Z]+)-([a-zA-Z0-9+]+)")
_LABEL = re.compile(r"[^a-zA-Z0-9]+")
_FOLDERS = ("anat", "func", "dwi", "fmap", "perf", "pet", "mrs")
_DEFAULT = {"suffix": "T1w"}


@dataclass(frozen=True)
class BidsName:
    """Name of a file in BIDS.

    Attributes
    ----------
    entities : dict
        Values by key, ``{"sub": "01", "ses": "02"}``.
    suffix : str
        ``"T1w"``, ``"xfm"``, ...
    extension : str
        ``".nii.gz"``, ...
    folder : str
        Kind of data, the folder: ``"anat"``, ...; empty if it is none of BIDS.
    """

    entities: Mapping[str, str]
    suffix: str
    extension: str
    folder: str = ""

    @classmethod
    def of(cls, path: Path) -> BidsName | None:
        """Take the name of a file apart; None if it is not one of BIDS with a subject or a template."""
        stem, dot, extension = path.name.partition(".")
        *parts, suffix = stem.split("_")
        found = [_ENTITY.fullmatch(part) for part in parts]
        if not found or not suffix.isalnum():
            return None
        entities = {match[1]: match[2] for match in found if match is not None}
        if len(entities) < len(parts) or not {"sub", "tpl"} & entities.keys():
            return None
        folder = path.parent.name if path.parent.name in _FOLDERS else ""
        return cls(entities, suffix, dot + extension, folder)

    def __str__(self) -> str:
        known = [key for key in ORDER if key in self.entities]
        others = [key for key in self.entities if key not in ORDER]
        pairs = [f"{key}-{self.entities[key]}" for key in (*known, *others)]
        return "_".join([*pairs, f"{self.suffix}{self.extension}"])

    def path(self, root: Path) -> Path:
        """Return the path of the file in a data set: ``sub-01/ses-02/anat/NAME``."""
        levels = [f"{key}-{self.entities[key]}" for key in ("sub", "ses") if key in self.entities]
        return root.joinpath(*levels, self.folder or "anat", str(self))

    def matches(self, wanted: Mapping[str, str]) -> bool:
        """Whether all of these entities, of which ``suffix`` is one, have these values; an empty value: is absent."""
        return all((self.suffix if key == "suffix" else self.entities.get(key, "")) == v for key, v in wanted.items())


def label_of(text: str) -> str:
    """Return text as the value of an entity, which has letters and digits alone."""
    return _LABEL.sub("", text)


def is_bids(path: str | Path) -> bool:
    """Whether a path is a data set in BIDS: a folder with ``dataset_description.json``."""
    return Path(path).is_dir() and (Path(path) / DESCRIPTION).is_file()


def read_bids(
    root: str | Path,
    select: Mapping[str, str] | None = None,
    *,
    moving: Mapping[str, str] | None = None,
    template: Path | None = None,
) -> Dataset:
    """Find the pairs of a data set in BIDS.

    Parameters
    ----------
    root : Path
        Folder with ``dataset_description.json``.
    select : dict, optional
        Entities of the scans, ``{"suffix": "T1w", "acq": "mprage"}``; by default T1w. An empty value: without it.
    moving : dict, optional
        Entities of the moving scans, where they differ from the fixed scan's, ``{"suffix": "T2w"}``: pairs are made
        within each subject and session. By default each later session of a subject is registered onto its first.
    template : Path, optional
        Fixed scan for all others.

    Returns
    -------
    Dataset
        Its pairs are named as the transforms: ``sub-01_from-ses02T1w_to-ses01T1w``. Label maps beside a scan, with the
        suffix ``dseg``, and masks, with the suffix ``mask``, belong to it.

    Raises
    ------
    DatasetError
        If the folder is not in BIDS, or there is no such pair; the message says which suffixes there are.
    """
    root = Path(root)
    if not is_bids(root):
        raise DatasetError(f"BIDS folder {root}", f"no {DESCRIPTION}", "a data set in BIDS", "check the path")
    scans = _scans(root)
    wanted = {**_DEFAULT, **(select or {})}
    fixed = {path: name for path, name in scans.items() if name.matches(wanted)}
    if not fixed:
        have = ", ".join(sorted({name.suffix for name in scans.values()})) or "no scan"
        raise DatasetError(
            f"BIDS folder {root}", f"no scan with {_text(wanted)}", f"one among: {have}", "select another"
        )
    if template is not None:
        chosen = [(template, path) for path in fixed]
    elif moving is not None:
        chosen = list(_within_sessions(fixed, scans, {**wanted, **moving}))
    else:
        chosen = list(_between_sessions(fixed))
    if not chosen:
        expected = "two sessions of a subject" if moving is None else f"scans with {_text(moving)} in their session"
        raise DatasetError(
            f"BIDS folder {root}", f"no pair among {len(fixed)} scans with {_text(wanted)}", expected,
            "name a template, or what the moving scans are",
        )  # fmt: skip
    pairs = []
    for target, source in chosen:
        pairs.append(Pair(_subject(target), _subject(source), _pair_name(target, source)))
    return Dataset(_name(root), root, read_grid(chosen[0][1]).ndim, (), tuple(pairs), {}, tuple(pairs))


def between(fixed: Path, moving: Path) -> tuple[BidsName, str, str]:
    """Return the entities that name the transform between two scans, and the names of both spaces.

    The entities are those that both scans have in common, and the moving scan's subject. The others, with the suffix,
    name the spaces: ``sub-01``, ``ses02T1w`` and ``ses01T1w``.

    Raises
    ------
    DatasetError
        If the moving scan's name is not one of BIDS.
    """
    source, target = BidsName.of(moving), BidsName.of(fixed)
    if source is None or "sub" not in source.entities:
        raise DatasetError(
            f"moving scan {moving.name}", "a name that is not of BIDS", "sub-LABEL[_KEY-VALUE]_SUFFIX.nii.gz",
            "rename it, or leave --bids out",
        )  # fmt: skip
    if target is None or "tpl" in target.entities:  # a template: the session remains that of the moving scan
        name = label_of(fixed.name.partition(".")[0]) if target is None else target.entities["tpl"]
        return BidsName(source.entities, "xfm", "", source.folder), source.suffix, name
    shared = {key: value for key, value in source.entities.items() if target.entities.get(key) == value}
    shared["sub"] = source.entities["sub"]
    spaces = []
    for one in (source, target):
        own = "".join(f"{key}{value}" for key, value in one.entities.items() if shared.get(key) != value)
        spaces.append(label_of(f"{own}{one.suffix}"))
    return BidsName(shared, "xfm", "", source.folder), spaces[0], spaces[1]


def _pair_name(fixed: Path, moving: Path) -> str:
    name, source, target = between(fixed, moving)
    return str(BidsName({**name.entities, "from": source, "to": target, "mode": "image"}, "xfm", "")).removesuffix(
        "_mode-image_xfm"
    )


def _scans(root: Path) -> dict[Path, BidsName]:
    """Return the volumes of all subjects, without those of derivatives, in the order of their names."""
    found = {}
    for path in sorted(root.glob("sub-*/**/*.nii*")):
        name = BidsName.of(path)
        if name is not None and name.extension in _EXTENSIONS and name.suffix not in ("dseg", "mask", "xfm"):
            found[path] = name
    return found


def _between_sessions(scans: Mapping[Path, BidsName]) -> Iterable[tuple[Path, Path]]:
    """Pair every later session with the first one of the same subject; other entities must be the same."""
    first: dict[tuple[str, ...], Path] = {}
    for path, name in sorted(
        scans.items(), key=lambda item: (item[1].entities["sub"], item[1].entities.get("ses", ""))
    ):
        if "ses" not in name.entities:
            continue
        others = (name.suffix, *(f"{key}-{value}" for key, value in sorted(name.entities.items()) if key != "ses"))
        if others in first:
            yield first[others], path
        else:
            first[others] = path


def _within_sessions(
    fixed: Mapping[Path, BidsName], scans: Mapping[Path, BidsName], wanted: Mapping[str, str]
) -> Iterable[tuple[Path, Path]]:
    """Pair the scans of each session with the first fixed scan there."""
    first: dict[tuple[str, str], Path] = {}
    for path, name in fixed.items():
        first.setdefault(_session(name), path)
    for path, name in scans.items():
        if name.matches(wanted) and _session(name) in first and first[_session(name)] != path:
            yield first[_session(name)], path


def _session(name: BidsName) -> tuple[str, str]:
    return name.entities["sub"], name.entities.get("ses", "")


def _subject(path: Path) -> Subject:
    """Return a scan with the label map and the mask beside it."""
    name = BidsName.of(path)
    if name is None:
        return Subject(path)
    beside = {}
    for role, suffix in (("labels", "dseg"), ("mask", "mask")):
        files = (path.with_name(str(BidsName(name.entities, suffix, extension))) for extension in _EXTENSIONS)
        beside[role] = next((file for file in files if file.is_file()), None)
    return Subject(path, beside["labels"], None, beside["mask"])


def _name(root: Path) -> str:
    try:
        description = json.loads((root / DESCRIPTION).read_text(encoding="utf-8"))
        return str(description["Name"])
    except (OSError, ValueError, KeyError, TypeError):
        return root.resolve().name


def _text(wanted: Mapping[str, str]) -> str:
    return ", ".join(f"{key} {value or 'absent'}" for key, value in wanted.items())
