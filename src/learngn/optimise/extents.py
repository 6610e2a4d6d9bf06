"""Scans whose extents differ widely: which of them are refused, and where in the larger one the smaller is sought."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from learngn.errors import GeometryError
from learngn.geometry.grid import FloatArray, Grid, index_range
from learngn.geometry.image import Image
from learngn.memory import SIMILAR, linear_spacing

_DISTINCT = 4  # from this ratio of the longest sides on, the smaller scan has to span
_FEWEST = 4  # so many voxels of the larger one
_SEARCHED = 12.0  # up to this ratio a scan is sought in all of the other
_MARGIN = 0.25  # of the smaller scan's longest side: what of the larger one is seen around it


def ratio(first: Grid, second: Grid) -> float:
    """Longest side of one grid over that of another."""
    return float(first.extent.max() / second.extent.max())


def check_extents(fixed: Grid, moving: Grid) -> None:
    """Refuse two grids of which one is about as small as a voxel of the other.

    Raises
    ------
    GeometryError
        If nothing of the smaller one can be recognised in the larger one.
    """
    small, large = sorted((fixed, moving), key=lambda grid: float(grid.extent.max()))
    voxel = float(large.spacing.min())
    if ratio(large, small) > _DISTINCT and float(small.extent.max()) < _FEWEST * voxel:
        raise GeometryError(
            "extents of fixed and moving image",
            f"{in_mm(fixed)} and {in_mm(moving)}",
            f"the smaller one to span at least {_FEWEST} voxels of the larger one, {_FEWEST * voxel:.4g} mm",
            "mend the voxel size where a header has the wrong unit (micrometres or metres read as mm: a factor of "
            "1000), or give two images of the same region",
        )


def in_mm(grid: Grid) -> str:
    """Extent for people: ``"24 x 24 x 30 mm"``."""
    return " x ".join(f"{side:.4g}" for side in grid.extent) + " mm"


def around(image: Image, fixed: Grid, matrix: FloatArray, margin: float) -> Image | None:
    """The part of an image that a fixed grid is mapped to; None if they do not meet.

    Parameters
    ----------
    image : Image
    fixed : Grid
    matrix : array, shape (D+1, D+1)
        Fixed RAS mm to the image's RAS mm.
    margin : float
        What else is kept on each side [mm].
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
        data=image.data[(slice(None), slice(None), *box)].contiguous(),
        grid=image.grid.part(first.tolist(), shape),
    )


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What of a moving scan, and how finely, the linear stage looks at.

    Parameters
    ----------
    fixed, moving : Image
    divisible : bool
        Whether features of a part of the moving scan can be computed without the rest.

    Notes
    -----
    Scans of similar extents are seen whole. A fixed scan that is much smaller is sought in the whole moving scan, on
    voxels that are so large that their number is bounded, and then refined in the part where it was found, on voxels
    of its own size. One that is smaller still is sought about where the headers place it alone.
    """

    fixed: Image
    moving: Image
    divisible: bool = True

    def searched(self) -> tuple[Image, float]:
        """Part of the moving scan to search, and voxel size [mm].

        Raises
        ------
        GeometryError
            If the fixed scan is too small to be sought in all of the moving one, and the headers place it elsewhere.
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
                "crop the larger one to the region of the smaller one, or mend the voxel size or origin where a header "
                "has the wrong unit (micrometres or metres read as mm: a factor of 1000)",
            )
        return near, linear_spacing(fixed, moving, near.grid)

    def refined(self, matrix: FloatArray) -> tuple[Image, float]:
        """Part of the moving scan about a place that has been found, and voxel size [mm].

        Parameters
        ----------
        matrix : array, shape (D+1, D+1)
            Fixed RAS mm to moving RAS mm.
        """
        fixed, moving = self.fixed.grid, self.moving.grid
        if not self.divisible or ratio(moving, fixed) <= SIMILAR:
            return self.moving, linear_spacing(fixed, moving)
        near = around(self.moving, fixed, matrix, _MARGIN * float(fixed.extent.max())) or self.moving
        return near, linear_spacing(fixed, moving, near.grid)
