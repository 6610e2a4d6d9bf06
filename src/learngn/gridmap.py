"""A transform brought onto a grid: what warping, writing and scoring start from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from learngn import kernels, sampling
from learngn.grid import FloatArray, Grid
from learngn.image import Image


@dataclass(frozen=True, eq=False)
class GridMap:
    """A transform brought onto a grid: first a displacement on the grid, then an affine of the world.

    Every chain of transforms has this form on a given grid, which is why an image is interpolated once
    whatever the number of transforms.

    Attributes
    ----------
    grid : Grid
        Grid of the output.
    field : Tensor, shape (1, D, *S) [voxel of grid], or None for zero
    world : array, shape (D+1, D+1)
        Affine that follows [RAS mm to RAS mm].
    """

    grid: Grid
    field: Tensor | None
    world: FloatArray

    def warp(self, image: Image, *, nearest: bool | None = None, outside: float | None = 0.0) -> Image:
        """Resample an image onto the grid.

        Parameters
        ----------
        image : Image
            Moving image; its grid may differ from the map's.
        nearest : bool, optional
            Take the nearest voxel instead of interpolating linearly; by default for label maps alone.
        outside : float, optional
            Value outside the image; None repeats the border (linear interpolation only).
        """
        matrix = self.grid.index_map(image.grid, self.world)
        if image.labels if nearest is None else nearest:
            data = sampling.warp_nearest(image.data, self.field, matrix, self.grid.shape, outside=outside or 0.0)
        else:
            source = image.data if image.data.is_floating_point() else image.data.to(torch.float32)
            data = sampling.warp(source, self.field, matrix, self.grid.shape, outside=outside)
        return Image(data.contiguous(), self.grid, image.labels)

    def displacement(self, moving: Grid | None = None) -> Tensor:
        """Whole displacement, affine included, shape (1, D, *S).

        In voxels of the map's grid, or, given the moving image's grid, as Learn2Reg has it for unequal
        grids: index in the moving image minus index in the fixed one.
        """
        # Rounding errors of the matrices would push the outermost voxels out of the moving image.
        matrix = np.round(self.grid.index_map(moving or self.grid, self.world), 10)
        ndim, shape = self.grid.ndim, self.grid.shape
        field = torch.zeros((1, ndim, *shape)) if self.field is None else self.field
        affine = torch.as_tensor(matrix, dtype=field.dtype, device=field.device)
        moved = (affine[:-1, :-1] @ field.reshape(ndim, -1)).reshape(1, ndim, *shape)
        # The affine's own displacement, axis by axis: no lattice of coordinates is stored.
        offset = matrix[:-1, :-1] - np.eye(ndim)
        for axis, n in enumerate(shape):
            index = torch.arange(n, dtype=field.dtype, device=field.device)
            index = index.reshape([-1 if other == axis else 1 for other in range(ndim)])
            for component in np.flatnonzero(offset[:, axis]):
                moved[0, component] += float(offset[component, axis]) * index
        moved += affine[:-1, -1].reshape(1, ndim, *[1] * ndim)
        return moved

    def jacobian_determinant(self) -> Tensor:
        """Determinant of the map's derivative in the world, shape (1, *S); ≤ 0 where it folds."""
        determinant = float(np.linalg.det(self.world[:-1, :-1]))
        if self.field is None:
            return torch.full((1, *self.grid.shape), determinant)
        return kernels.best(self.field).determinant(self.field) * determinant
