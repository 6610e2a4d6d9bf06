"""Transform sampled on a grid: the form from which images are warped, files written and scores computed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from learngn import kernels
from learngn.arrays import Array, in_order, like, namespace, shared
from learngn.errors import LabelError, SettingsError
from learngn.geometry import bspline, sampling
from learngn.geometry.background import background_of
from learngn.geometry.grid import FloatArray, Grid
from learngn.geometry.image import Image

Interpolation = Literal["linear", "nearest", "bspline"]
INTERPOLATIONS: tuple[str, ...] = get_args(Interpolation)


@dataclass(frozen=True)
class Resampling:
    """How an image is resampled; the defaults suit scans and label maps.

    Attributes
    ----------
    interpolation : {"linear", "nearest", "bspline"}, optional
    background : float, optional
        Value outside the image. See :meth:`GridMap.warp`.
    """

    interpolation: Interpolation | None = None
    background: float | None = None


@dataclass(frozen=True, eq=False)
class GridMap:
    """Transform sampled on a grid: a displacement on the grid, followed by an affine of the world.

    Every chain of transforms can be brought to this form on a given grid, so that an image is interpolated only once,
    however many transforms there are.

    Attributes
    ----------
    grid : Grid
        Grid of the output.
    field : Array, shape (1, D, *S) [voxel of grid], or None for zero
    world : array, shape (D+1, D+1)
        Affine applied after the displacement [RAS mm to RAS mm].
    """

    grid: Grid
    field: Array | None = dataclasses.field(repr=False)
    world: FloatArray = dataclasses.field(repr=False)

    def warp(
        self,
        image: Image,
        *,
        interpolation: Interpolation | None = None,
        background: float | Literal["border"] | None = None,
    ) -> Image:
        """Resample an image onto the grid.

        Parameters
        ----------
        image : Image
            Moving image; its grid may differ from the map's.
        interpolation : {"linear", "nearest", "bspline"}, optional
            ``"bspline"`` is cubic, on the CPU. By default linear; for label maps nearest, the only allowed one.
        background : float or "border", optional
            Value outside the image. By default the image's own background
            (:func:`learngn.geometry.background.background_of`): 0 for label maps, air for CT. ``"border"`` repeats the
            outermost voxels (linear interpolation only).

        Returns
        -------
        Image, (N, C, *S)

        Raises
        ------
        LabelError
            If another interpolation than nearest is asked for a label map.
        SettingsError
            If the interpolation is unknown, or does not support the background ``"border"``.
        """
        chosen = _interpolation(image, interpolation, background)
        matrix, shape = self.grid.index_map(image.grid, self.world), self.grid.shape
        field = shared(self.field, image.data)
        outside = None if background == "border" else background_of(image) if background is None else float(background)
        if chosen == "nearest":
            data = sampling.warp_nearest(image.data, field, matrix, shape, outside=outside or 0.0)
        else:
            xp = namespace(image.data)
            floating = xp.isdtype(image.data.dtype, "real floating")
            source = image.data if floating else xp.astype(image.data, xp.float32)
            if chosen == "linear":
                data = sampling.warp(source, field, matrix, shape, outside=outside)
            else:
                data = bspline.warp(source, field, matrix, shape, outside=outside or 0.0)
        return Image(in_order(data), self.grid, image.labels, stored=_stored(image.stored, outside))

    def displacement(self, moving: Grid | None = None, planes: slice | None = None) -> Array:
        """Return the whole displacement, affine included, shape (1, D, *S).

        Its unit is voxels of the map's grid. If the moving image's grid is given, it is the index in the moving image
        minus the index in the fixed image, as Learn2Reg defines it for different grids. With `planes` it is that of a
        part of the grid, along the first axis.
        """
        # Without rounding, errors of the matrices would move the outermost voxels out of the moving image.
        matrix = np.round(self.grid.index_map(moving or self.grid, self.world), 10)
        first = range(self.grid.shape[0])[planes or slice(None)]
        ndim, shape = self.grid.ndim, (len(first), *self.grid.shape[1:])
        if self.field is None:
            field: Array = np.zeros((1, ndim, *shape), dtype=np.float32)
        else:
            field = self.field[:, :, first.start : first.stop]
        xp, affine = namespace(field), like(matrix, field)
        moved = xp.reshape(affine[:-1, :-1] @ xp.reshape(field, (ndim, -1)), (1, ndim, *shape))
        # The displacement of the affine is added axis by axis, without storing coordinates of all voxels.
        offset = matrix[:-1, :-1] - np.eye(ndim)
        for axis, n in enumerate(shape):
            along = np.arange(n) + (first.start if axis == 0 else 0)
            index = like(along.reshape([-1 if other == axis else 1 for other in range(ndim)]), field)
            for component in np.flatnonzero(offset[:, axis]):
                moved[0, component] += float(offset[component, axis]) * index
        moved += xp.reshape(affine[:-1, -1], (1, ndim, *[1] * ndim))
        return moved

    def jacobian_determinant(self) -> Array:
        """Return the Jacobian determinant of the map in the world, shape (1, *S); ≤ 0 where it folds."""
        determinant = float(np.linalg.det(self.world[:-1, :-1]))
        if self.field is None:
            return np.full((1, *self.grid.shape), determinant, dtype=np.float32)
        return kernels.determinant(self.field) * determinant


def _interpolation(image: Image, wanted: str | None, background: object) -> str:
    """Return the interpolation to use; raise an error if it does not suit the image or the background."""
    chosen = wanted or ("nearest" if image.labels else "linear")
    if chosen not in INTERPOLATIONS:
        raise SettingsError("interpolation", repr(chosen), f"one of {', '.join(INTERPOLATIONS)}", "choose one of these")
    if image.labels and chosen != "nearest":
        raise LabelError(
            f"label map {image.name}",
            f"the interpolation {chosen}, which makes labels that no structure has",
            "nearest",
            "leave the interpolation of label maps to the default",
        )
    if background == "border" and chosen != "linear":
        raise SettingsError(
            "background", f"'border' with the interpolation {chosen}", "linear interpolation", "name a value instead"
        )
    return chosen


def _stored(kind: str | None, outside: float | None) -> str | None:
    """Return the integer type that holds values of a type and a background; None if there is none."""
    if kind is None or outside is None:
        return kind
    if not outside.is_integer():  # NaN included
        return None
    wider = np.result_type(np.dtype(kind), np.min_scalar_type(int(outside)))
    return wider.name if wider.kind in "iu" else None
