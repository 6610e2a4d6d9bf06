"""Reading and writing of landmarks, as points in the world."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from learngn.errors import LandmarkError
from learngn.geometry.carrying import Carried
from learngn.geometry.grid import FloatArray, Grid
from learngn.io.atomic import write_text
from learngn.io.csv_points import HEADERS, format_csv, parse_csv
from learngn.io.files import check_exists
from learngn.io.itk import lps
from learngn.io.point_files import (
    POINT_SUFFIXES,
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
    document : mapping, optional
        Content of a ``.mrk.json`` file, of which all else is written again: curves, planes, colours, descriptions.
    """

    kind: ClassVar[str] = "points"

    points: FloatArray
    space: Space = "voxel"
    names: tuple[str, ...] | None = None
    weights: FloatArray | None = None
    columns: tuple[str, ...] | None = None
    document: Mapping[str, Any] | None = None

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
        raw, weights, columns = parse_csv(text, path, grid.ndim)
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
    return Landmarks(world, space, raw.names, weights, columns, raw.document)


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
        places = points @ lps(3) + 0.0
        if name.endswith(".fcsv"):
            write_text(format_fcsv(places, landmarks.names), path)
        else:
            write_text(format_markups(places, landmarks.names, landmarks.document), path)
        return
    if name.endswith(".pts"):  # not as indices, which elastix rounds
        write_text(format_elastix(points @ lps(ndim)), path)
        return
    values = points
    if space in ("voxel", "pixel"):
        values = grid.world_to_index(points)
    elif space == "lps":
        values = points @ lps(ndim)
    write_text(format_csv(values, space, landmarks.names, landmarks.weights, foreign), path)


def _text(path: Path) -> str:
    check_exists(path, "landmarks", LandmarkError)
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as failure:
        raise LandmarkError(f"landmarks {path}", str(failure), "a text file in UTF-8", "check the file") from failure


def _check_inside(path: Path, world: FloatArray, grid: Grid, space: Space) -> None:
    index = grid.world_to_index(world)
    if not ((index >= -0.5) & (index <= np.asarray(grid.shape) - 0.5)).all(axis=1).any():
        raise LandmarkError(
            f"landmarks {path}",
            f"no point in the image of {grid} (read as {space})",
            "points of this image",
            f"check that the file belongs to it, and name the space in its header: {HEADERS}",
        )
