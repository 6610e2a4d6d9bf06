"""The body of a scan in full resolution: which of its voxels are inside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.quality.body import Mask
from learngn.quality.coarse import CoarseScan

_VOXELS = {2: 20_000, 3: 250_000}  # most voxels of the grid on which the body is found: 5 mm for a chest
_AVERAGED = 3  # least voxels of a scan along every axis that are averaged: noise in air would be taken for tissue


@dataclass(frozen=True, eq=False)
class Body:
    """Body of a scan, found on a coarse grid over the same extent.

    Attributes
    ----------
    mask : array of bool, coarse shape
    shape : tuple of int
        Shape of the scan.
    """

    mask: Mask
    shape: tuple[int, ...]

    @classmethod
    def of(cls, image: Image) -> Body:
        """Find the body of a scan; that of a label map is its labels.

        Parameters
        ----------
        image : Image
        """
        return cls(CoarseScan.of(image, _coarse(image)).body, image.grid.shape)

    @property
    def voxels(self) -> int:
        """Number of the scan's voxels inside."""
        counts = self.mask.astype(np.int64)
        for axis, (n, m) in enumerate(zip(self.shape, self.mask.shape, strict=True)):
            per_cell = np.bincount(_cells(np.arange(n), n, m), minlength=m)
            counts = counts * per_cell.reshape([-1 if a == axis else 1 for a in range(counts.ndim)])
        return int(counts.sum())

    def holds(self, indices: NDArray[np.integer]) -> Mask:
        """Return which voxels are inside.

        Parameters
        ----------
        indices : array, shape (M, D)
            Indices in the scan.

        Returns
        -------
        array of bool, shape (M,)
        """
        cells = (
            _cells(indices[:, axis], n, m) for axis, (n, m) in enumerate(zip(self.shape, self.mask.shape, strict=True))
        )
        return np.asarray(self.mask[tuple(cells)])


def _cells(indices: NDArray[np.integer], n: int, m: int) -> NDArray[np.integer]:
    """Return the coarse index, of m, at which the centre of a voxel, of n, lies."""
    return (2 * indices + 1) * m // (2 * n)


def _coarse(image: Image) -> Grid:
    grid = image.grid
    most = _VOXELS[grid.ndim] if image.labels else min(_VOXELS[grid.ndim], grid.size // _AVERAGED**grid.ndim)
    spacing, coarse = float(grid.spacing.min()), grid
    while coarse.size > max(most, 1):
        spacing *= 1.1
        coarse = grid.coarsened(spacing)
    return coarse
