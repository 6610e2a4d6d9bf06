"""Voxel arrays on which shapes are painted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from learngn.phantom.shapes import Array, Coordinates, Shape

Box = tuple[slice, slice, slice]
Mask = NDArray[np.bool_]


class Canvas:
    """Intensities and labels of voxels with known positions in the mean anatomy.

    Parameters
    ----------
    points : three arrays of one shape (H, W, D)
        Positions of the voxels [mm].
    hounsfield : float
        Intensity of the background.
    """

    def __init__(self, points: Coordinates, hounsfield: float) -> None:
        self.points = points
        self.hounsfield: Array = np.full(points[0].shape, hounsfield, dtype=np.float32)
        self.labels: NDArray[np.uint8] = np.zeros(points[0].shape, dtype=np.uint8)
        # Range of each coordinate over the slices of its own array axis, to find the slices that a shape can touch.
        others = ((1, 2), (0, 2), (0, 1))
        self._ranges = [(p.min(axis=axes), p.max(axis=axes)) for p, axes in zip(points, others, strict=True)]

    def box(self, shape: Shape) -> Box:
        """Return a box of voxels that contains the shape."""
        slices = []
        for (low, high), start, end in zip(self._ranges, *shape.bounds(), strict=True):
            touched = np.flatnonzero((high >= start) & (low <= end))
            slices.append(slice(int(touched[0]), int(touched[-1]) + 1) if len(touched) else slice(0, 0))
        return slices[0], slices[1], slices[2]

    def at(self, box: Box) -> Coordinates:
        """Return the positions of a box's voxels [mm]."""
        x, y, z = self.points
        return x[box], y[box], z[box]

    def fill(self, shape: Shape, hounsfield: float, within: Mask) -> None:
        """Paint a shape that has no label, in the voxels of the mask `within`, shape (H, W, D)."""
        box = self.box(shape)
        self.hounsfield[box][(shape.depth(self.at(box)) > 0) & within[box]] = hounsfield
