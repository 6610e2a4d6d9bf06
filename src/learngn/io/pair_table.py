"""Tables of pairs: one line for each, with the paths of its scans and of what belongs to them.

The first line names the columns: ``fixed`` and ``moving``, and, in any order, ``fixed_labels``, ``moving_labels``,
``fixed_mask``, ``moving_mask``, ``fixed_landmarks``, ``moving_landmarks``, ``fixed_keypoints``, ``moving_keypoints``,
``initial_transform`` (which may begin with its format: ``fsl:FILE``) and ``id``. Paths are relative to the table. An
empty cell means that there is no such file; other columns are ignored.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from itertools import takewhile
from os.path import exists  # False for invalid names, for which pathlib raises
from pathlib import Path

from learngn.errors import DatasetError
from learngn.io.subject import Pair, Subject
from learngn.io.transforms import split_format

SUFFIXES = (".csv", ".tsv")
_SIDES, _INITIAL = ("fixed", "moving"), "initial_transform"
_ROLES = ("labels", "mask", "landmarks", "keypoints")
_COLUMNS = (*_SIDES, *(f"{side}_{role}" for role in _ROLES for side in _SIDES), _INITIAL, "id")
_BOTH = ("landmarks", "keypoints")  # points correspond by their order: those of one scan alone are of no use
_LONGEST = 120  # characters of the name of a pair, which becomes a part of file names
_SCAN_SUFFIX = re.compile(r"(\.nii|\.seg)?\.[^.]+$")
_FORBIDDEN = re.compile(r'[\x00-\x1f<>:"/\\|?*]')  # in file names of any system

Row = tuple[int, list[str]]


def is_pair_table(path: str | Path) -> bool:
    """Return whether a data set is a table of pairs, by its suffix."""
    return Path(path).suffix.lower() in SUFFIXES


def read_pair_table(path: str | Path) -> tuple[Pair, ...]:
    """Read a table of pairs, and check that its files exist.

    Parameters
    ----------
    path : Path
        ``.csv`` or ``.tsv``; cells are separated by commas, semicolons or tabs.

    Returns
    -------
    tuple of Pair
        Each has a name: its ``id``, or the names of its scans, fixed scan first. Where scans in several folders have
        the same name, the folders below the one that they share are a part of it.

    Raises
    ------
    DatasetError
        If the table cannot be read, lacks a column, or names a file that does not exist; or if two pairs have the same
        name. The message has the line.
    """
    path = Path(path)
    (_, heading), *rows = read_rows(path, "a table of pairs")
    columns = _check_columns([cell.lower() for cell in heading], path)
    if not rows:
        raise DatasetError(f"pairs {path}", "no line but the header", "one pair at least", "write a line for each")
    entries = [(number, _entry(columns, cells, f"{path}, line {number}")) for number, cells in rows]
    sides = [tuple(_subject(entry, side, path, number) for side in _SIDES) for number, entry in entries]
    names = _scan_names([subject.image for pair in sides for subject in pair])
    pairs: dict[str, Pair] = {}
    lines: dict[str, int] = {}
    for (number, entry), (fixed, moving) in zip(entries, sides, strict=True):
        name = entry.get("id") or f"{names[fixed.image]}_{names[moving.image]}"
        _check_name(name, f"{path}, line {number}")
        # Names become file names, which some systems compare without case.
        if (first := lines.setdefault(name.lower(), number)) != number:
            raise DatasetError(
                f"{path}, line {number}", f"the pair {name} again, as in line {first}", "one line for each pair",
                "remove one of them, or add a column id",
            )  # fmt: skip
        pairs[name] = Pair(fixed, moving, name, _initial(entry, path, number))
    return tuple(pairs.values())


def read_rows(path: Path, expected: str) -> list[Row]:
    """Read the lines of a table as cells without surrounding spaces, and their numbers; empty lines are left out.

    Parameters
    ----------
    path : Path
    expected : str
        What the file should be, for the message.

    Raises
    ------
    DatasetError
        If the file cannot be read, or is empty.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()  # spreadsheets begin a file with a mark
        delimiter = next((mark for mark in "\t;" if lines and mark in lines[0]), ",")
        reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
        rows = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except (OSError, ValueError, csv.Error) as failure:
        reason = failure.strerror if isinstance(failure, OSError) and failure.strerror else str(failure)
        raise DatasetError(f"pairs {path}", f"'{reason}'", expected, "check the path") from None
    rows = [(number, cells) for number, cells in rows if any(cells)]
    if not rows:
        raise DatasetError(
            f"pairs {path}", "an empty file", "fixed,moving as its first line", "write a line for each pair"
        )
    return rows


def _check_columns(columns: list[str], path: Path) -> list[str]:
    """Return the columns of a table; refuse those that are missing, appear twice or seem to be misspelt."""
    missing = [name for name in _SIDES if name not in columns]
    twice = [name for name in _COLUMNS if columns.count(name) > 1]
    if missing or twice:
        got = f"no column {missing[0]}" if missing else f"the column {twice[0]} twice"
        raise DatasetError(f"pairs {path}", got, f"the columns {', '.join(_COLUMNS)}", "correct its first line")
    for name in columns:
        if name not in _COLUMNS and (near := get_close_matches(name, _COLUMNS, n=1, cutoff=0.8)):
            raise DatasetError(f"pairs {path}", f"the column {name!r}", f"{near[0]!r}", "correct its first line")
    for role in _BOTH:
        given = [f"{side}_{role}" for side in _SIDES if f"{side}_{role}" in columns]
        if len(given) == 1:
            raise DatasetError(f"pairs {path}", f"{given[0]} alone", f"{role} of both scans", "add the other column")
    return columns


def _entry(columns: Sequence[str], cells: Sequence[str], where: str) -> dict[str, str]:
    """Return the cells of a line that are known and not empty, by column."""
    if len(cells) != len(columns):
        raise DatasetError(where, f"{len(cells)} cells", f"{len(columns)}, one for each column", "correct this line")
    entry = {name: cell for name, cell in zip(columns, cells, strict=True) if name in _COLUMNS and cell}
    for name in _SIDES:
        if name not in entry:
            raise DatasetError(where, f"no {name} scan", "the path of one", "complete this line")
    for role in _BOTH:
        if (f"fixed_{role}" in entry) != (f"moving_{role}" in entry):
            raise DatasetError(where, f"{role} of one scan", "of both scans or of none", "complete this line")
    return entry


def _subject(entry: Mapping[str, str], side: str, path: Path, number: int) -> Subject:
    files: dict[str, Path] = {}
    for column in (side, *(f"{side}_{role}" for role in _ROLES)):
        if column not in entry:
            continue
        file = path.parent / entry[column]
        if not exists(file):
            raise DatasetError(
                f"{path}, line {number}", f"no file {file} ({column})", "one, relative to the table", "correct it",
            )  # fmt: skip
        files["image" if column == side else column.removeprefix(f"{side}_")] = file
    return Subject(**files)


def _initial(entry: Mapping[str, str], path: Path, number: int) -> str | None:
    """Return the initial transform of a line, with the format that may stand before its path."""
    if _INITIAL not in entry:
        return None
    name, given = split_format(entry[_INITIAL])
    file = path.parent / given
    if not exists(file):
        raise DatasetError(
            f"{path}, line {number}", f"no file {file} ({_INITIAL})", "one, relative to the table", "correct it",
        )  # fmt: skip
    return str(file) if name is None else f"{name}:{file}"


def _scan_names(scans: Sequence[Path]) -> dict[Path, str]:
    """Return a name for each scan: that of its file, or, if two differ only by their folder, of its path."""
    absolute = {scan: Path(os.path.abspath(scan)) for scan in scans}
    names = {scan: _SCAN_SUFFIX.sub("", scan.name) or scan.name for scan in scans}
    if len({(names[scan], path) for scan, path in absolute.items()}) == len(set(names.values())):
        return names
    folders = {scan: path.parent.parts[1:] for scan, path in absolute.items()}
    shared = sum(1 for _ in takewhile(lambda level: len(set(level)) == 1, zip(*folders.values(), strict=False)))
    return {scan: "-".join((*folders[scan][shared:], name)) for scan, name in names.items()}


def _check_name(name: str, where: str) -> None:
    if len(name) > _LONGEST or _FORBIDDEN.search(name) or name != name.strip(" .") or name.startswith("-"):
        raise DatasetError(
            where, f"the name {name[:40]!r} of a pair", f"a name that files may have, up to {_LONGEST} characters",
            "write another one in the column id",
        )  # fmt: skip
