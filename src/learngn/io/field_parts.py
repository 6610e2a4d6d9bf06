"""Displacements part by part, in the unit and with the precision of a file, without a second field in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from learngn.arrays import as_numpy
from learngn.geometry.grid import FloatArray, Grid
from learngn.geometry.grid_map import GridMap
from learngn.io.tiles import Box, Part

STEP = 1 / 128  # of displacements in compressed files [mm]; a power of two, so that the last bits of a number are zero
_STEPS_PER_VOXEL = 64  # at least: the voxels of microscopy are smaller than a step


def rounding(voxel: float, unit: float = 1.0) -> float:
    """Return the step to which displacements in compressed files are rounded, a power of two.

    Parameters
    ----------
    voxel : float
        Size of a voxel [mm].
    unit : float
        Length of the unit in which displacements are stored [mm].

    Returns
    -------
    float
        Step [unit]: at most 1/128 mm, and at most 1/64 of a voxel.
    """
    return float(2.0 ** np.floor(np.log2(min(STEP, voxel / _STEPS_PER_VOXEL) / unit)))


def components(
    on_grid: GridMap,
    *,
    moving: Grid | None = None,
    basis: FloatArray | None = None,
    steps: Sequence[float] | None = None,
    dtype: DTypeLike = np.float32,
) -> list[Part]:
    """Return the components of a whole displacement, affine included, as functions of a part of the grid.

    Parameters
    ----------
    on_grid : GridMap
        Transform on the grid of the file.
    moving : Grid, optional
        Grid in whose voxels the displacement is, as in :meth:`GridMap.displacement`; by default that of the map.
    basis : array, shape (D, D), optional
        Matrix from these voxels to the unit of the file; by default the file is in voxels, too.
    steps : sequence of float, optional
        Powers of two to whose multiples the components are rounded [unit of the file].
    dtype : dtype
        Type of the values, float32 or float64.
    """
    ndim, kind = on_grid.grid.ndim, np.dtype(dtype)
    # Without rounding, errors of the matrices would move the outermost voxels out of the moving image.
    matrix = np.round(on_grid.grid.index_map(moving or on_grid.grid, on_grid.world), 10)
    unit = np.eye(ndim) if basis is None else basis
    affine = np.column_stack([unit @ (matrix[:-1, :-1] - np.eye(ndim)), unit @ matrix[:-1, -1]])
    linear = unit @ matrix[:-1, :-1]
    field = None if on_grid.field is None else as_numpy(on_grid.field)[0]
    return [
        _Component(field, linear[row], affine[row], None if steps is None else steps[row], kind).part
        for row in range(ndim)
    ]


class _Component:
    """Component of a displacement: a linear combination of a field's components and an affine function of the index."""

    def __init__(
        self,
        field: NDArray[Any] | None,
        linear: FloatArray,
        affine: FloatArray,
        step: float | None,
        dtype: np.dtype[Any],
    ) -> None:
        self._field, self._step, self._dtype = field, step, dtype
        # Counted in steps, so that rounding is to whole numbers; a power of two changes no bit of the mantissa.
        self._linear, self._affine = (linear, affine) if step is None else (linear / step, affine / step)

    def part(self, box: Box) -> NDArray[Any]:
        """Return the values in a part of the grid."""
        # In the order of a file, where sums with a function of one axis run over the long first axis.
        values = np.ascontiguousarray(self._of_field(box).T)
        if self._affine.any():
            along = [factor * np.arange(part.start, part.stop) for factor, part in zip(self._affine, box, strict=False)]
            others = np.add.outer(along[2], along[1]) if len(along) > 2 else along[1]
            values += along[0].astype(self._dtype)
            values += (others[..., None] + self._affine[-1]).astype(self._dtype)
        if self._step is not None:
            np.rint(values, out=values)
            values *= self._dtype.type(self._step)
            values += 0  # no negative zeros, which would interrupt runs of zeros
        return values.T

    def _of_field(self, box: Box) -> NDArray[Any]:
        used = np.flatnonzero(self._linear)  # one component where the axes of the grid are those of the world
        if self._field is None or not len(used):
            return np.zeros([part.stop - part.start for part in box], self._dtype)
        total = self._scaled(self._field, used[0], box)
        for index in used[1:]:
            total += self._scaled(self._field, index, box)
        return total

    def _scaled(self, field: NDArray[Any], index: int, box: Box) -> NDArray[Any]:
        return np.asarray(np.multiply(field[index][box], self._dtype.type(self._linear[index]), dtype=self._dtype))
