"""Reading and writing of landmarks, as points in the world."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from learngn.errors import LandmarkError
from learngn.geometry.carrying import Carried
from learngn.geometry.grid import FloatArray, Grid
from learngn.io.atomic import write_text
from learngn.io.files import check_exists
from learngn.io.itk import lps
from learngn.io.point_files import (
    POINT_SUFFIXES,
    RawPoints,
    Space,
    format_elastix,
    format_fcsv,
    format_markups,
    is_elastix,
    parse_elastix,
    parse_fcsv,
    parse_markups,
)
from learngn.io.point_set import PointSet

LANDMARK_SUFFIXES = (".csv", *POINT_SUFFIXES)

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
_HEADERS = "i,j,k or x_lps,y_lps,z_lps or x_ras,y_ras,z_ras (without the third in 2D)"


@dataclass(frozen=True, eq=False)
class Landmarks(PointSet):
    """Points in the world; the points of two images correspond by their order.

    Parameters
    ----------
    points : array, shape (M, D) [RAS mm]
    space : {"voxel", "lps", "ras", "pixel"}
        Coordinate system of the file; ``"pixel"`` for voxels of a 2D picture in columns X and Y.
    names : tuple of str, optional
        Name of each.
    weights : array, shape (M,), optional
        Weight of each.
    columns : tuple of str, optional
        Names of the coordinates in a table of another program, such as x, y, z, t of ANTs, which is written like it.
    """

    kind: ClassVar[str] = "points"

    points: FloatArray
    space: Space = "voxel"
    names: tuple[str, ...] | None = None
    weights: FloatArray | None = None
    columns: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        return f"Landmarks({len(self.points)} points, {self.points.shape[1]}D, from {self.space})"

    def __post_init__(self) -> None:
        points = np.array(self.points, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] not in (2, 3) or not len(points) or not np.isfinite(points).all():
            raise LandmarkError("landmarks", f"shape {points.shape}", "finite points (M, 2) or (M, 3)", "check them")
        for what, values in (("names", self.names), ("weights", self.weights)):
            if values is not None and len(values) != len(points):
                raise LandmarkError("landmarks", f"{len(values)} {what}", f"{len(points)}, one a point", "check them")
        object.__setattr__(self, "points", points)

    def carried(self, carried: Carried) -> Landmarks:
        """See :meth:`PointSet.carried`; names and weights are kept."""
        return replace(self, points=carried.points)


def is_landmarks(path: str | Path) -> bool:
    """Return whether a file holds points, by its suffix or its first line."""
    path = Path(path)
    if path.name.lower().endswith(LANDMARK_SUFFIXES):
        return True
    try:
        with path.open("rb") as file:
            return is_elastix(file.read(64).decode("utf-8", "replace"))
    except OSError:  # reading the file reports the error
        return False


def read_landmarks(path: str | Path, grid: Grid) -> Landmarks:
    """Read landmarks, in the order of the file.

    Parameters
    ----------
    path : Path
        - CSV, one point a line. The header names the columns: ``i,j,k`` (voxel), ``x_lps,y_lps,z_lps`` or
          ``x_ras,y_ras,z_ras`` (mm), in any order and without the third in 2D, and optionally ``name`` and ``weight``;
          ``l,p,s`` or ``r,a,s`` as in 3D Slicer's tables, ``x,y,z,t`` (LPS mm) as in ANTs; other columns are ignored.
          Without a header the columns are voxels i, j[, k], as in Learn2Reg. In 2D also ``X,Y``, pixels from the upper
          left one, with or without a first column of numbers, as in ANHIR's files; numbers are taken as names. Columns
          may be separated by semicolons, with decimal commas or points.
        - ``.fcsv`` and ``.mrk.json`` of 3D Slicer, in the coordinate system that they name.
        - Points of elastix (``.pts``, or any text with the same first line): ``point`` (LPS mm) or ``index`` (voxel).
    grid : Grid
        Grid of the image to which the points belong.

    Raises
    ------
    LandmarkError
        If the file cannot be read, a line is wrong (which the message names), or no point lies in the image.
    """
    path = Path(path)
    text, name = _text(path), path.name.lower()
    weights, columns = None, None
    if name.endswith(".fcsv"):
        raw = parse_fcsv(text, path)
    elif name.endswith(".json"):
        raw = parse_markups(text, path)
    elif name.endswith(".pts") or is_elastix(text):
        raw = parse_elastix(text, path)
    else:
        raw, weights, columns = _parse_csv(text, path, grid.ndim)
    if not len(raw.values):
        raise LandmarkError(f"landmarks {path}", "no points", "one point a line", "check the file")
    if raw.values.shape[1] < grid.ndim:
        raise LandmarkError(
            f"landmarks {path}", f"points in {raw.values.shape[1]}D", f"{grid.ndim}D, as their image", "check the file"
        )
    points, space = raw.values[:, : grid.ndim], raw.space
    voxels = space in ("voxel", "pixel")
    world = grid.index_to_world(points) if voxels else points @ lps(grid.ndim) if space == "lps" else points
    _check_inside(path, world, grid, space)
    return Landmarks(world, space, raw.names, weights, columns)


def write_landmarks(landmarks: Landmarks, path: str | Path, *, grid: Grid, space: Space | None = None) -> None:
    """Write landmarks, atomically.

    Parameters
    ----------
    landmarks : Landmarks
    path : Path
        ``.fcsv`` and ``.mrk.json`` for 3D Slicer (3D, LPS mm), ``.pts`` for elastix (LPS mm); any other suffix is CSV,
        whose header names the coordinate system.
    grid : Grid
        Grid of the image to which the points belong.
    space : {"voxel", "lps", "ras", "pixel"}, optional
        Coordinate system of a CSV file: voxels of `grid`, or mm; by default that of the file they were read from, under
        the names that ANTs or 3D Slicer gave them there.
    """
    foreign = landmarks.columns if space is None else None
    path, points, space = Path(path), landmarks.points, space or landmarks.space
    ndim, name = points.shape[1], path.name.lower()
    if name.endswith((".fcsv", ".json")):
        if ndim != 3:
            raise LandmarkError(f"output {path}", "points in 2D", "points in 3D", "write .csv instead")
        text_of = format_fcsv if name.endswith(".fcsv") else format_markups
        write_text(text_of(points @ lps(3) + 0.0, landmarks.names), path)
        return
    if name.endswith(".pts"):  # not as indices, which elastix rounds
        write_text(format_elastix(points @ lps(ndim)), path)
        return
    if space in ("voxel", "pixel"):
        points = grid.world_to_index(points)
    elif space == "lps":
        points = points @ lps(ndim)
    header = ["X", "Y"] if space == "pixel" else list(foreign[:ndim] if foreign else _COLUMNS[space][:ndim])
    # Ten digits: the error is below a nanometre for a metre.
    columns = [[f"{value + 0.0:.10g}" for value in column] for column in points.T]
    for further in (foreign or ())[3:]:  # the time of ANTs
        header.append(further)
        columns.append(["0"] * len(points))
    if space == "pixel":  # as ANHIR has them: numbers come first, without a title
        header.insert(0, "")
        columns.insert(0, list(landmarks.names or map(str, range(1, len(points) + 1))))
    elif landmarks.names is not None:
        header.append("label" if foreign else "name")
        columns.append(list(landmarks.names))
    if landmarks.weights is not None:
        header.append("weight")
        columns.append([f"{value:.10g}" for value in landmarks.weights])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *zip(*columns, strict=True)])
    write_text(text.getvalue(), path)


def _text(path: Path) -> str:
    check_exists(path, "landmarks", LandmarkError)
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as failure:
        raise LandmarkError(f"landmarks {path}", str(failure), "a text file in UTF-8", "check the file") from failure


def _parse_csv(text: str, path: Path, ndim: int) -> tuple[RawPoints, FloatArray | None, tuple[str, ...] | None]:
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
        f"{_HEADERS}; or columns of 3D Slicer (l,p,s), ANTs (x,y,z,t) or, in 2D, pixels (x,y)",
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


def _check_inside(path: Path, world: FloatArray, grid: Grid, space: Space) -> None:
    index = grid.world_to_index(world)
    if not ((index >= -0.5) & (index <= np.asarray(grid.shape) - 0.5)).all(axis=1).any():
        raise LandmarkError(
            f"landmarks {path}",
            f"no point in the image of {grid} (read as {space})",
            "points of this image",
            f"check that the file belongs to it, and name the space in its header: {_HEADERS}",
        )


def _wrong_line(path: Path, line: int, got: str, expected: str) -> LandmarkError:
    return LandmarkError(f"landmarks {path}, line {line}", got, expected, "correct this line")
