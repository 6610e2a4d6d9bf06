"""Landmarks as CSV."""

from __future__ import annotations

import csv
import io as text_io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from learngn.errors import LandmarkError
from learngn.grid import FloatArray, Grid, apply_affine
from learngn.io.atomic import write_text
from learngn.io.itk import lps_flip

_HEADERS = {
    "voxel": ("i", "j", "k"),
    "ras": ("x_ras", "y_ras", "z_ras"),
    "lps": ("x_lps", "y_lps", "z_lps"),
}
SPACES = tuple(_HEADERS)


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Points in the world.

    Attributes
    ----------
    points : array, shape (M, D) [RAS mm]
    space : str
        How the file had them: ``"voxel"``, ``"ras"`` or ``"lps"``.
    """

    points: FloatArray
    space: str


def read_landmarks(path: str | Path, grid: Grid | None = None) -> Landmarks:
    """Read points, one a row.

    The header names their space: ``i,j[,k]`` voxels of `grid`, ``x_lps,y_lps[,z_lps]`` or ``x_ras,y_ras[,z_ras]`` mm.
    Without a header they are voxels, as in Learn2Reg.

    Parameters
    ----------
    path : path
    grid : Grid, optional
        Grid of the scan in which they lie; needed for voxels.

    Raises
    ------
    LandmarkError
        If the file is missing, empty, or a row is not 2 or 3 finite numbers; the message names the line.
    """
    path = Path(path)
    try:
        rows = [row for row in csv.reader(text_io.StringIO(path.read_text(encoding="utf-8-sig"))) if row]
    except (OSError, UnicodeDecodeError) as error:
        reason = "no such file" if not path.exists() else "a file that is not text"
        raise LandmarkError(str(path), reason, "a CSV file of points", "check the path") from error
    space, first = _space(rows, path)
    numbers = [_numbers(row, number, path) for number, row in enumerate(rows[first:], start=first + 1)]
    if not numbers:
        raise LandmarkError(str(path), "no points", "at least one row of coordinates", "check the file")
    widths = {len(row) for row in numbers}
    ndim = widths.pop()
    if widths or (grid is not None and ndim != grid.ndim):
        wanted = f"{grid.ndim} numbers a row" if grid is not None else "rows of equal length"
        raise LandmarkError(str(path), f"rows of {ndim} numbers", wanted, "use the landmarks of this scan")
    values = np.asarray(numbers, dtype=np.float64)
    if space == "voxel":
        if grid is None:
            raise LandmarkError(str(path), "voxel coordinates", "the scan they count in", "pass the reference image")
        return Landmarks(grid.index_to_world(values), space)
    return Landmarks(apply_affine(lps_flip(ndim), values) if space == "lps" else values, space)


def write_landmarks(landmarks: Landmarks, path: str | Path, *, grid: Grid | None = None) -> None:
    """Write points with a header that names their space; `grid` is needed for voxels."""
    points, ndim = landmarks.points, landmarks.points.shape[1]
    if landmarks.space == "voxel":
        if grid is None:
            raise LandmarkError(f"cannot write {path}", "voxel coordinates", "the scan they count in", "pass its image")
        points = grid.world_to_index(points)
    elif landmarks.space == "lps":
        points = apply_affine(lps_flip(ndim), points)
    lines = [",".join(_HEADERS[landmarks.space][:ndim])]
    lines += [",".join(f"{value:.6f}" for value in point) for point in points]
    write_text("\n".join(lines) + "\n", Path(path))


def _space(rows: Sequence[Sequence[str]], path: Path) -> tuple[str, int]:
    """Space of the points and how many header rows there are."""
    if not rows:
        return "voxel", 0
    names = tuple(cell.strip().lower() for cell in rows[0])
    for space, header in _HEADERS.items():
        if names in (header[:2], header):
            return space, 1
    try:
        [float(cell) for cell in names]
    except ValueError:
        known = "; ".join(",".join(header) for header in _HEADERS.values())
        raise LandmarkError(f"{path}, line 1", repr(",".join(names)), f"a header: {known}", "mend the header") from None
    return "voxel", 0


def _numbers(row: Sequence[str], line: int, path: Path) -> list[float]:
    try:
        numbers = [float(cell) for cell in row]
    except ValueError:
        numbers = []
    if len(numbers) not in (2, 3) or not np.isfinite(numbers).all():
        raise LandmarkError(
            f"{path}, line {line}",
            repr(",".join(row)),
            "2 or 3 finite numbers",
            "mend the line, or the file is no landmark file",
        )
    return numbers
