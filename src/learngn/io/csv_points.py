"""Points as tables (.csv): those of this package, of ANTs and of 3D Slicer."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from learngn.errors import LandmarkError
from learngn.geometry.grid import FloatArray
from learngn.io.point_files import RawPoints, Space

_COLUMNS: dict[Space, tuple[str, ...]] = {
    "voxel": ("i", "j", "k"),
    "lps": ("x_lps", "y_lps", "z_lps"),
    "ras": ("x_ras", "y_ras", "z_ras"),
}
# Columns of other programs: 3D Slicer's tables of markups, ANTs' points.
_FOREIGN: dict[Space, tuple[tuple[str, ...], ...]] = {
    "lps": (("l", "p", "s"), ("x", "y", "z", "t")),
    "ras": (("r", "a", "s"),),
}
_PIXELS = ("x", "y")  # pixels of a picture, as ImageJ's tables and ANHIR have them, after a number without a title
_NAMES = ("name", "label")
HEADERS = "i,j,k or x_lps,y_lps,z_lps or x_ras,y_ras,z_ras (without the third in 2D)"


def parse_csv(text: str, path: Path, ndim: int) -> tuple[RawPoints, FloatArray | None, tuple[str, ...] | None]:
    """Parse points and weights of a CSV file, and the names of the coordinates in a table of another program."""
    rows = _rows(text, path)
    header = list(_COLUMNS["voxel"][:ndim])
    if all(_number(cell) is None for cell in rows[0][1]):
        header = [cell.lower() for cell in rows.pop(0)[1]]
    space, columns = _space(path, header, ndim)
    for line, cells in rows:
        if len(cells) != len(header):
            raise _wrong_line(path, line, f"{len(cells)} columns", f"{len(header)}: {','.join(header)}")
    points = np.array([_column(path, rows, header, name) for name in columns]).T
    titles = ("", *_NAMES) if space == "pixel" else _NAMES  # a column of numbers has no title
    title = next((name for name in titles if name in header), None)
    names = None if title is None else tuple(cells[header.index(title)] for _, cells in rows)
    weights = np.array(_column(path, rows, header, "weight")) if "weight" in header else None
    foreign = next((set_of for set_of in _FOREIGN.get(space, ()) if columns == set_of[:ndim]), None)
    return RawPoints(points, space, names), weights, foreign


def format_csv(
    values: FloatArray,
    space: Space,
    names: Sequence[str] | None,
    weights: FloatArray | None,
    foreign: Sequence[str] | None,
) -> str:
    """Format points as a table whose header names the coordinate system, after the columns of `foreign`, if any.

    Parameters
    ----------
    values : array, shape (M, D)
        Coordinates in `space`.
    space : {"voxel", "lps", "ras", "pixel"}
    names, weights : optional
        Name and weight of each.
    foreign : sequence of str, optional
        Columns of another program, as :func:`parse_csv` returns them.
    """
    ndim = values.shape[1]
    header = ["X", "Y"] if space == "pixel" else list(foreign[:ndim] if foreign else _COLUMNS[space][:ndim])
    # Ten digits: the error is below a nanometre for a metre.
    columns = [[f"{value + 0.0:.10g}" for value in column] for column in values.T]
    for further in (foreign or ())[3:]:  # the time of ANTs
        header.append(further)
        columns.append(["0"] * len(values))
    if space == "pixel":  # as ANHIR has them: numbers come first, without a title
        header.insert(0, "")
        columns.insert(0, list(names or map(str, range(1, len(values) + 1))))
    elif names is not None:
        header.append("label" if foreign else "name")
        columns.append(list(names))
    if weights is not None:
        header.append("weight")
        columns.append([f"{value:.10g}" for value in weights])
    if foreign:  # columns that say which world it is, for other readers
        header += _COLUMNS[space][:ndim]
        columns += columns[:ndim]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *zip(*columns, strict=True)])
    return text.getvalue()


def _rows(text: str, path: Path) -> list[tuple[int, list[str]]]:
    """Return line number and cells of the lines that are not empty, at least one."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    # Spreadsheets write semicolons in languages with a decimal comma.
    semicolons = ";" in first and ("," not in first or first.count(";") + 1 in (2, 3))
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=";" if semicolons else ",", skipinitialspace=True)
        rows = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except csv.Error as failure:
        raise LandmarkError(f"landmarks {path}", str(failure), "a CSV file in UTF-8", "check the file") from failure
    if semicolons:
        rows = [(line, [_with_point(cell) for cell in cells]) for line, cells in rows]
    rows = [row for row in rows if any(row[1])]
    if not rows:
        raise LandmarkError(f"landmarks {path}", "no points", "one point a line", "check the file")
    return rows


def _with_point(cell: str) -> str:
    """Replace the decimal comma of a number by a point; return other text unchanged."""
    changed = cell.replace(",", ".", 1)
    return changed if _number(cell) is None and _number(changed) is not None else cell


def _space(path: Path, header: Sequence[str], ndim: int) -> tuple[Space, tuple[str, ...]]:
    """Return the coordinate system of the columns, and the names of the coordinate columns."""
    if len(set(header)) == len(header):
        for space, names in _COLUMNS.items():
            if set(names) & set(header) == set(names[:ndim]):
                return space, names[:ndim]
        for space, alternatives in _FOREIGN.items():
            for names in alternatives:
                if set(names) <= set(header):
                    return space, names[:ndim]
        if ndim == 2 and set(_PIXELS) <= set(header) and not {"z", "t"} & set(header):
            return "pixel", _PIXELS
    raise LandmarkError(
        f"landmarks {path}",
        f"the header {','.join(header)!r}",
        f"{HEADERS}; or columns of 3D Slicer (l,p,s), ANTs (x,y,z,t) or, in 2D, pixels (x,y)",
        "name the columns so",
    )


def _column(path: Path, rows: Sequence[tuple[int, list[str]]], header: Sequence[str], name: str) -> list[float]:
    place = header.index(name)
    values = []
    for line, cells in rows:
        value = _number(cells[place])
        if value is None or not math.isfinite(value):
            raise _wrong_line(path, line, f"{cells[place]!r} as {name}", "a finite number")
        values.append(value)
    return values


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _wrong_line(path: Path, line: int, got: str, expected: str) -> LandmarkError:
    return LandmarkError(f"landmarks {path}, line {line}", got, expected, "correct this line")
