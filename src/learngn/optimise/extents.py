"""Scans of very different extents: which pairs are refused, and which part of the larger scan is searched."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from learngn.arrays import in_order
from learngn.errors import GeometryError
from learngn.geometry.grid import FloatArray, Grid, index_range
from learngn.geometry.image import Image
from learngn.memory import SIMILAR, linear_spacing

_DISTINCT = 4  # ratio of the longest sides above which the smaller scan has to span ...
_FEWEST = 4  # ... at least this number of voxels of the larger one
_SEARCHED = 12.0  # ratio up to which the whole larger scan is searched
_MARGIN = 0.25  # width of the larger scan's region around the smaller scan, as a fraction of the latter's longest side


def ratio(first: Grid, second: Grid) -> float:
    """Return the longest side of one grid over that of another."""
    return float(first.extent.max() / second.extent.max())


def check_extents(fixed: Grid, moving: Grid) -> None:
    """Raise :class:`GeometryError` if one grid is about as small as a voxel of the other.

    Raises
    ------
    GeometryError
        If the smaller image spans too few voxels of the larger one to be recognised in it.
    """
    small, large = sorted((fixed, moving), key=lambda grid: float(grid.extent.max()))
    voxel = float(large.spacing.min())
    if ratio(large, small) > _DISTINCT and float(small.extent.max()) < _FEWEST * voxel:
        raise GeometryError(
            "extents of fixed and moving image",
            f"{in_mm(fixed)} and {in_mm(moving)}",
            f"the smaller one to span at least {_FEWEST} voxels of the larger one, {_FEWEST * voxel:.4g} mm",
            "correct the voxel size where a header has the wrong unit (micrometres or metres read as mm: a factor of "
            "1000), or give two images of the same region",
        )


def in_mm(grid: Grid) -> str:
    """Format the extent of a grid for messages: ``"24 x 24 x 30 mm"``."""
    return " x ".join(f"{side:.4g}" for side in grid.extent) + " mm"


def around(image: Image, fixed: Grid, matrix: FloatArray, margin: float) -> Image | None:
    """Return the part of an image to which a fixed grid is mapped; None if they do not overlap.

    Parameters
    ----------
    image : Image
    fixed : Grid
    matrix : array, shape (D+1, D+1)
        Fixed RAS mm to the image's RAS mm.
    margin : float
        Width that is kept beyond this part on each side [mm].
    """
    low, high = index_range(fixed.shape, fixed.index_map(image.grid, matrix))
    wide = margin / image.grid.spacing
    first = np.maximum(np.floor(low - wide), 0).astype(np.int64)
    last = np.minimum(np.ceil(high + wide), np.asarray(image.grid.shape) - 1).astype(np.int64)
    if (first > last).any():
        return None
    shape = (last - first + 1).tolist()
    box = tuple(slice(int(a), int(b) + 1) for a, b in zip(first, last, strict=True))
    return replace(
        image,
        data=in_order(image.data[(slice(None), slice(None), *box)]),
        grid=image.grid.part(first.tolist(), shape),
    )


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Part of the moving scan that the linear stage uses, and the voxel size there.

    Parameters
    ----------
    fixed, moving : Image
    divisible : bool
        Whether features of a part of the moving scan can be computed without the rest.

    Notes
    -----
    Of scans with similar extents the whole is used. If the fixed scan is much smaller, the whole moving scan is
    searched, with voxels large enough to bound their number; the map is then refined on the part that was found, with
    a voxel size that suits the fixed scan. If it is smaller still, only the region where the headers place it is
    searched.
    """

    fixed: Image
    moving: Image
    divisible: bool = True

    def searched(self) -> tuple[Image, float]:
        """Return the part of the moving scan to search, and the voxel size [mm].

        Raises
        ------
        GeometryError
            If the fixed scan is too small to search the whole moving scan, and the headers place it outside of it.
        """
        fixed, moving = self.fixed.grid, self.moving.grid
        if not self.divisible or ratio(moving, fixed) <= _SEARCHED:
            return self.moving, linear_spacing(fixed, moving)
        near = around(self.moving, fixed, np.eye(fixed.ndim + 1), float(fixed.extent.max()))
        if near is None:
            raise GeometryError(
                "extents of fixed and moving image",
                f"{in_mm(fixed)} and {in_mm(moving)}, apart in the world",
                f"images that overlap where their longest sides differ by a factor above {_SEARCHED:g}",
                "crop the larger one to the region of the smaller one, or correct the voxel size or origin where a "
                "header has the wrong unit (micrometres or metres read as mm: a factor of 1000)",
            )
        return near, linear_spacing(fixed, moving, near.grid)

    def refined(self, matrix: FloatArray) -> tuple[Image, float]:
        """Return the part of the moving scan around the fixed scan under a linear map, and the voxel size [mm].

        Parameters
        ----------
        matrix : array, shape (D+1, D+1)
            Linear map, fixed RAS mm to moving RAS mm.
        """
        fixed, moving = self.fixed.grid, self.moving.grid
        if not self.divisible or ratio(moving, fixed) <= SIMILAR:
            return self.moving, linear_spacing(fixed, moving)
        near = around(self.moving, fixed, matrix, _MARGIN * float(fixed.extent.max())) or self.moving
        return near, linear_spacing(fixed, moving, near.grid)
