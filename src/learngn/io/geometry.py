"""Geometry of image headers: checks for every format, rounded axes, 2D slices in a 3D world."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from learngn.errors import GeometryError, ImageError
from learngn.geometry.grid import FloatArray, Grid

# Plausible sizes of voxels and positions of a scan [mm]; beyond them, arithmetic overflows.
_FINEST, _COARSEST, _FARTHEST = 1e-7, 1e6, 1e9
# Scalar products of two axes that come from rounding to float32, and to three decimals.
_NOISE, _ROUNDED = 1e-6, 2e-3
_WORTH_SAYING = 0.1  # shift of the voxels that is worth a warning [voxel]


def placed(shape: Sequence[int], affine: FloatArray) -> tuple[Grid, str | None]:
    """Return the grid of a header, its rounded axes made orthonormal, and a warning.

    Headers store direction cosines to three or four decimals, or in 32 bits. Such rounded axes are replaced by the
    nearest orthonormal ones about the grid's centre, so that every format can hold results on the grid; axes that are
    further from orthonormal are taken as sheared on purpose, and stay.

    Parameters
    ----------
    shape : sequence of int, (D,)
    affine : array, shape (D+1, D+1)
        Affine from index to RAS mm.

    Returns
    -------
    Grid
    str or None
        Warning of how far the voxels were moved, if that is more than a tenth of a voxel.

    Raises
    ------
    GeometryError
        If voxel sizes or positions are not plausible.
    """
    shape, affine = tuple(int(n) for n in shape), np.array(affine, dtype=np.float64)
    if affine.shape != (len(shape) + 1, len(shape) + 1) or not np.allclose(affine[-1], np.eye(len(shape) + 1)[-1]):
        return Grid(shape, affine), None  # Grid raises the error
    with np.errstate(all="ignore"):
        spacing, origin = np.linalg.norm(affine[:-1, :-1], axis=0), affine[:-1, -1]
    # Comparisons with NaN are False.
    if not ((spacing > _FINEST) & (spacing < _COARSEST)).all() or not (np.abs(origin) < _FARTHEST).all():
        raise GeometryError(
            "image header",
            f"voxels of {' x '.join(f'{v:g}' for v in spacing)} mm at {', '.join(f'{v:g}' for v in origin)}",
            f"sizes from {_FINEST:g} to {_COARSEST:g} mm, within {_FARTHEST:g} mm",
            "repair the header (spacing, origin), or fetch the file again",
        )
    directions = affine[:-1, :-1] / spacing
    deviation = float(np.abs(directions.T @ directions - np.eye(len(shape))).max())
    if not _NOISE < deviation <= _ROUNDED:
        return Grid(shape, affine + 0.0), None  # + 0.0: no negative zeros
    left, _, right = np.linalg.svd(directions)
    better = np.eye(len(affine))
    better[:-1, :-1] = left @ right * spacing
    centre = (np.asarray(shape) - 1) / 2
    better[:-1, -1] = affine[:-1, :-1] @ centre + origin - better[:-1, :-1] @ centre
    corners = np.array(list(product(*((0, n - 1) for n in shape))))
    moved = corners @ (better - affine)[:-1, :-1].T + (better - affine)[:-1, -1]
    voxels = float(np.abs(np.linalg.solve(better[:-1, :-1], moved.T)).max())
    note = f"axes that are not quite at right angles were made so, which moves voxels by up to {voxels:.2f} of a voxel"
    return Grid(shape, better + 0.0), note if voxels > _WORTH_SAYING else None


def flat_affine(matrix: FloatArray, ndim: int) -> FloatArray:
    """Return the affine of a 2D image, (3, 3), from that of a volume of one slice, (4, 4); return others unchanged.

    Raises
    ------
    ImageError
        If the slice is not in the plane of the world's x and y.
    """
    if ndim != 2 or matrix.shape != (4, 4):
        return matrix
    if not np.allclose(matrix[:2, 2], 0, atol=1e-6) or not np.allclose(matrix[2, :2], 0, atol=1e-6):
        raise ImageError(
            "2D image",
            "a slice that is not axial",
            "a slice in the world's x and y",
            "pass it as a volume of one slice",
        )
    keep = [0, 1, 3]
    return np.asarray(matrix[np.ix_(keep, keep)])


def volume_affine(grid: Grid) -> FloatArray:
    """Return the affine of a volume, (4, 4), for formats and libraries without 2D: a 2D grid lies at z = 0, 1 mm."""
    if grid.ndim == 3:
        return np.array(grid.affine)
    matrix, keep = np.eye(4), [0, 1, 3]
    matrix[np.ix_(keep, keep)] = grid.affine
    return matrix


def is_sheared(grid: Grid) -> bool:
    """Whether the axes of a grid are not orthonormal, so that neither a qform nor ITK's NIfTI reader can hold it."""
    return bool(np.abs(grid.direction.T @ grid.direction - np.eye(grid.ndim)).max() > 1e-4)
