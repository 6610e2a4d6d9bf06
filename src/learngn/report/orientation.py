"""Orientation of volumes on the page, for any order and direction of their axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learngn.geometry.grid import FloatArray, Grid

# Slowest to fastest axis of a volume on the page: to inferior, posterior and left. Every view is then in radiological
# convention, with the patient's right on the left, without a further flip.
_PAGE_AXES = {2: ("P", "L"), 3: ("I", "P", "L")}
_OPPOSITE = {"L": "R", "R": "L", "P": "A", "A": "P", "I": "S", "S": "I"}


@dataclass(frozen=True)
class View:
    """One of the orthogonal views: the page axes across it, down it and through its slices.

    Attributes
    ----------
    name : str
        ``"axial"``, ``"coronal"``, ``"sagittal"``, or ``"plane"`` for a 2D image.
    across, down, through : int
        Axes of the page, 0 (x) to 2 (z).
    marks : str
        Letters at the left, right, top and bottom; empty in 2D, since the header of a 2D image does not say which
        plane of the body it shows.
    """

    name: str
    across: int
    down: int
    through: int
    marks: str


VIEWS = {
    2: (View("plane", 0, 1, 2, ""),),
    3: (View("axial", 0, 1, 2, "RLAP"), View("coronal", 0, 2, 1, "RLSI"), View("sagittal", 1, 2, 0, "APSI")),
}


@dataclass(frozen=True)
class Orientation:
    """Permutation and flips from a grid to the page: axes z, y, x, pointing to I, P and L (in 2D y, x, to P and L).

    Attributes
    ----------
    order : tuple of int
        Array axes, slowest page axis first.
    flips : tuple of bool
        Whether each of these axes is reversed.
    """

    order: tuple[int, ...]
    flips: tuple[bool, ...]

    @classmethod
    def of(cls, grid: Grid) -> Orientation:
        """Determine the orientation of a grid; each axis of an oblique grid counts as the nearest direction."""
        codes = grid.axis_codes
        directions = _PAGE_AXES[grid.ndim]
        order = tuple(next(a for a, code in enumerate(codes) if code in (to, _OPPOSITE[to])) for to in directions)
        return cls(order, tuple(codes[a] != to for a, to in zip(order, directions, strict=True)))

    def facing(self, view: View) -> Orientation:
        """Return the orientation for a page with only this view: x across it, y down, z through it."""
        places = [2 - view.through, 2 - view.down, 2 - view.across]
        return Orientation(tuple(self.order[i] for i in places), tuple(self.flips[i] for i in places))

    def volume(self, array: NDArray[Any]) -> NDArray[Any]:
        """Reorient a volume, shape S, for the page, shape (nz, ny, nx), nz = 1 in 2D; a view, not a copy."""
        turned = array.transpose(self.order)[tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)]
        return turned if turned.ndim == 3 else turned[None]

    def vectors(self, field: NDArray[np.floating]) -> NDArray[np.floating]:
        """Reorient vectors, shape (D, *S) [array order], for the page axes x, y[, z], shape (D, nz, ny, nx)."""
        parts = [
            -self.volume(field[axis]) if flip else self.volume(field[axis])
            for axis, flip in zip(self.order, self.flips, strict=True)
        ]
        return np.stack(parts[::-1])

    def points(self, indices: FloatArray, grid: Grid) -> FloatArray:
        """Reorient indices of a grid, shape (M, D), to places x, y[, z] of the page."""
        columns = [
            grid.shape[axis] - 1 - indices[:, axis] if flip else indices[:, axis]
            for axis, flip in zip(self.order, self.flips, strict=True)
        ]
        return np.stack(columns[::-1], axis=1)

    def spacing(self, grid: Grid) -> tuple[float, float, float]:
        """Return the voxel size along x, y and z of the page [mm]; z is 1 in 2D."""
        sizes = [float(grid.spacing[axis]) for axis in reversed(self.order)]
        return (sizes[0], sizes[1], sizes[2] if grid.ndim == 3 else 1.0)

    def affine(self, grid: Grid) -> NDArray[np.float64]:
        """Return the matrix from the page's index (x, y[, z], 1) to RAS mm, shape (D+1, D+1)."""
        turn = np.zeros((grid.ndim + 1, grid.ndim + 1))
        turn[-1, -1] = 1
        for column, (axis, flip) in enumerate(zip(reversed(self.order), reversed(self.flips), strict=True)):
            turn[axis, column] = -1 if flip else 1
            turn[axis, -1] = grid.shape[axis] - 1 if flip else 0
        return np.asarray(grid.affine @ turn)
