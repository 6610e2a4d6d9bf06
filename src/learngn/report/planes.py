"""Planes: which slices of a volume are shown, and how they lie on the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learngn.grid import Grid

# Where the page's right and bottom point to: the radiologist's view, the patient's right on the left.
_VIEWS = {"axial": ("L", "P"), "coronal": ("L", "I"), "sagittal": ("P", "I")}
_OPPOSITE = {"L": "R", "R": "L", "P": "A", "A": "P", "I": "S", "S": "I"}


@dataclass(frozen=True)
class Marks:
    """Anatomical letters at the edges of a plane."""

    left: str
    right: str
    top: str
    bottom: str


@dataclass(frozen=True)
class Plane:
    """One slice of a grid and its place on the page: rows run downwards, columns to the right.

    Attributes
    ----------
    name : str
        ``"axial"``, ``"coronal"``, ``"sagittal"``, or ``"plane"`` for the one plane of a 2D image.
    axis : int or None
        Array axis that is cut; None in 2D.
    index : int
        Where it is cut [voxel].
    rows, columns : int
        Array axes that run downwards and to the right.
    flip_rows, flip_columns : bool
        Whether they run against the array's order.
    size : tuple of float
        Width and height [mm].
    marks : Marks or None
        None in 2D: the header of a 2D image does not say which plane of the body it is.
    """

    name: str
    axis: int | None
    index: int
    rows: int
    columns: int
    flip_rows: bool
    flip_columns: bool
    size: tuple[float, float]
    marks: Marks | None

    @property
    def aspect(self) -> float:
        """Width by height."""
        return self.size[0] / self.size[1]

    def cut(self, volume: NDArray[Any]) -> NDArray[Any]:
        """The slice of a volume, shape S, as it lies on the page, shape (rows, columns)."""
        flat = volume if self.axis is None else np.take(volume, self.index, axis=self.axis)
        page = flat if self.rows < self.columns else flat.T
        return page[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]

    def cut_vectors(self, field: NDArray[np.floating]) -> tuple[NDArray[Any], NDArray[Any]]:
        """In-plane part of a displacement, shape (D, *S) [voxel, array order]: rightwards and downwards [pixel]."""
        right, down = self.cut(field[self.columns]), self.cut(field[self.rows])
        return (-right if self.flip_columns else right), (-down if self.flip_rows else down)


def choose_planes(grid: Grid, labels: NDArray[np.integer] | None = None) -> list[Plane]:
    """Axial, coronal and sagittal plane of a 3D grid, or the one plane of a 2D grid.

    Parameters
    ----------
    grid : Grid
    labels : array, shape S, optional
        A label map: every plane is then cut where it shows most of the most labels, otherwise in the middle.

    Returns
    -------
    list of Plane
    """
    codes = grid.axis_codes
    if grid.ndim == 2:
        return [_plane("plane", grid, codes, ("L", "P"), None, 0)]
    planes = []
    for name, towards in _VIEWS.items():
        columns, rows = (_axis(codes, letter) for letter in towards)
        axis = 3 - columns - rows
        index = grid.shape[axis] // 2 if labels is None else _fullest(labels, axis)
        planes.append(_plane(name, grid, codes, towards, axis, index))
    return planes


def _plane(name: str, grid: Grid, codes: str, towards: tuple[str, str], axis: int | None, index: int) -> Plane:
    right, bottom = towards
    columns, rows = _axis(codes, right), _axis(codes, bottom)
    extent = grid.extent
    marks = None if axis is None else Marks(_OPPOSITE[right], right, _OPPOSITE[bottom], bottom)
    return Plane(
        name,
        axis,
        index,
        rows,
        columns,
        flip_rows=codes[rows] != bottom,
        flip_columns=codes[columns] != right,
        size=(float(extent[columns]), float(extent[rows])),
        marks=marks,
    )


def _axis(codes: str, letter: str) -> int:
    """Array axis that runs along a letter's direction, either way."""
    return next(a for a, code in enumerate(codes) if code in (letter, _OPPOSITE[letter]))


def _fullest(labels: NDArray[np.integer], axis: int) -> int:
    """Index along an axis where the label areas, each as a fraction of its largest, add up to most."""
    others = tuple(a for a in range(labels.ndim) if a != axis)
    score = np.zeros(labels.shape[axis])
    for value in np.unique(labels):
        if value != 0:
            area = (labels == value).sum(axis=others)
            score += area / area.max()
    return int(score.argmax()) if score.any() else labels.shape[axis] // 2
