"""Landmarks: CSV files to points in the world and back."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from learngn.errors import LandmarkError
from learngn.grid import FloatArray, Grid
from learngn.io.atomic import write_text
from learngn.io.files import check_exists
from learngn.io.itk import lps

Space = Literal["voxel", "lps", "ras"]

_COLUMNS: dict[Space, tuple[str, ...]] = {
    "voxel": ("i", "j", "k"),
    "lps": ("x_lps", "y_lps", "z_lps"),
    "ras": ("x_ras", "y_ras", "z_ras"),
}
_HEADERS = "i,j,k or x_lps,y_lps,z_lps or x_ras,y_ras,z_ras (without the third in 2D)"


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Points in the world; those of two images correspond by their order.

    Parameters
    ----------
    points : array, shape (M, D) [RAS mm]
    space : {"voxel", "lps", "ras"}
        How their file has them.
    names : tuple of str, optional
        Name of each.
    weights : array, shape (M,), optional
        Weight of each.
    """

    points: FloatArray
    space: Space = "voxel"
    names: tuple[str, ...] | None = None
    weights: FloatArray | None = None

    def __post_init__(self) -> None:
        points = np.array(self.points, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] not in (2, 3) or not len(points) or not np.isfinite(points).all():
            raise LandmarkError("landmarks", f"shape {points.shape}", "finite points (M, 2) or (M, 3)", "check them")
        for what, values in (("names", self.names), ("weights", self.weights)):
            if values is not None and len(values) != len(points):
                raise LandmarkError("landmarks", f"{len(values)} {what}", f"{len(points)}, one a point", "check them")
        object.__setattr__(self, "points", points)


def read_landmarks(path: str | Path, grid: Grid) -> Landmarks:
    """Read landmarks from a CSV file, one point a line.

    Parameters
    ----------
    path : Path
        The header says what the columns are: ``i,j,k`` (voxel), ``x_lps,y_lps,z_lps`` or ``x_ras,y_ras,z_ras`` (mm), in
        any order and without the third in 2D, perhaps with ``name`` and ``weight``; other columns are left out.
        Without a header they are voxels i, j[, k], as in Learn2Reg.
    grid : Grid
        Grid of the image to which they belong.

    Raises
    ------
    LandmarkError
        If the file cannot be read, a line is wrong (which the message names), or no point lies in the image.
    """
    path = Path(path)
    rows = _rows(path)
    header = list(_COLUMNS["voxel"][: grid.ndim])
    if all(_number(cell) is None for cell in rows[0][1]):
        header = [cell.lower() for cell in rows.pop(0)[1]]
    space = _space(path, header, grid.ndim)
    for line, cells in rows:
        if len(cells) != len(header):
            raise _wrong_line(path, line, f"{len(cells)} columns", f"{len(header)}: {','.join(header)}")
    points = np.array([_column(path, rows, header, name) for name in _COLUMNS[space][: grid.ndim]]).T
    if not len(points):
        raise LandmarkError(f"landmarks {path}", "no points", "one point a line", "check the file")
    world = grid.index_to_world(points) if space == "voxel" else points @ lps(grid.ndim) if space == "lps" else points
    _check_inside(path, world, grid, space)
    names = tuple(cells[header.index("name")] for _, cells in rows) if "name" in header else None
    weights = np.array(_column(path, rows, header, "weight")) if "weight" in header else None
    return Landmarks(world, space, names, weights)


def write_landmarks(landmarks: Landmarks, path: str | Path, *, grid: Grid, space: Space | None = None) -> None:
    """Write landmarks as CSV, whole or not at all; the header says in what space.

    Parameters
    ----------
    landmarks : Landmarks
    path : Path
    grid : Grid
        Grid of the image to which they belong.
    space : {"voxel", "lps", "ras"}, optional
        Voxels of `grid`, or mm; by default as they were read.
    """
    points, space = landmarks.points, space or landmarks.space
    ndim = points.shape[1]
    if space == "voxel":
        points = grid.world_to_index(points)
    elif space == "lps":
        points = points @ lps(ndim)
    header = list(_COLUMNS[space][:ndim])
    # Ten digits: less than a nanometre is lost of a metre.
    columns = [[f"{value + 0.0:.10g}" for value in column] for column in points.T]
    if landmarks.names is not None:
        header.append("name")
        columns.append(list(landmarks.names))
    if landmarks.weights is not None:
        header.append("weight")
        columns.append([f"{value:.10g}" for value in landmarks.weights])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *zip(*columns, strict=True)])
    write_text(text.getvalue(), path)


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """Numbers and cells of the lines that are not empty; at least one."""
    check_exists(path, "landmarks", LandmarkError)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, skipinitialspace=True)
            rows = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as failure:
        raise LandmarkError(f"landmarks {path}", str(failure), "a CSV file in UTF-8", "check the file") from failure
    rows = [row for row in rows if any(row[1])]
    if not rows:
        raise LandmarkError(f"landmarks {path}", "no points", "one point a line", "check the file")
    return rows


def _space(path: Path, header: Sequence[str], ndim: int) -> Space:
    for space, names in _COLUMNS.items():
        if set(names) & set(header) == set(names[:ndim]) and len(set(header)) == len(header):
            return space
    raise LandmarkError(f"landmarks {path}", f"the header {','.join(header)!r}", _HEADERS, "name the columns so")


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
