"""Jacobian determinant of any transform on a grid, whole or without its affine part."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from learngn.arrays import Array, as_numpy, like, namespace
from learngn.errors import ShapeError, TransformError
from learngn.evaluation.deformation import slabs
from learngn.geometry.grid import FloatArray, Grid
from learngn.geometry.grid_map import GridMap
from learngn.geometry.image import Image
from learngn.geometry.transform import Affine, Composite, Transform

Removed = Literal["nothing", "chain", "fit"]
_SMALLEST = 1e-3  # determinant whose logarithm is that of folds, which have none
_DESCRIPTIONS: dict[Removed, str] = {
    "nothing": "affine kept",
    "chain": "affine parts left out",
    "fit": "fitted affine left out",
}


@dataclass(frozen=True, eq=False)
class Jacobian:
    """Jacobian determinant of a transform on a grid: volume in the moving scan by volume in the fixed scan.

    Attributes
    ----------
    determinant : Image, (1, 1, *S)
        0 or less where the transform folds; 1 outside the mask.
    removed : {"nothing", "chain", "fit"}
        What was left out: nothing; the affine maps of the chain; or, as the chain has none, the affine map that fits
        the displacement best, by least squares over the mask.
    affine : array, shape (D+1, D+1)
        The affine map left out, fixed RAS mm to moving RAS mm; the identity if nothing was.
    field : Array, shape (1, D, *S) [voxel], or None for zero
        The displacement v of which it is the determinant: ``factor · det(I + ∇v)``.
    factor : float
        That of the affine part that was not left out.
    mask : array of bool, shape S, optional
        Voxels that count.
    """

    determinant: Image
    removed: Removed
    affine: FloatArray
    field: Array | None
    factor: float
    mask: NDArray[np.bool_] | None = None

    @cached_property
    def logarithm(self) -> Image:
        """Natural logarithm of the determinant: positive where the moving scan is larger; folds get log 0.001."""
        data = self.determinant.data
        xp = namespace(data)
        return Image(xp.log(xp.clip(data, _SMALLEST, None)), self.determinant.grid)

    def image(self, *, log: bool = False) -> Image:
        """Return the logarithm or the determinant."""
        return self.logarithm if log else self.determinant

    @property
    def values(self) -> NDArray[Any]:
        """Determinants inside the mask, shape (V,)."""
        values: NDArray[Any] = as_numpy(self.determinant.data)[0, 0]
        return values.reshape(-1) if self.mask is None else values[self.mask]

    def summary(self) -> dict[str, float | int]:
        """Return numbers over the mask: voxels, folds, the change of its volume, and statistics of log det J."""
        values = self.values.astype(np.float64)
        logs = np.log(values.clip(_SMALLEST, None))
        low, high = np.percentile(logs, (1, 99))
        return {
            "voxels": int(values.size),
            "folds": int(np.count_nonzero(values <= 0)),
            "change_percent": 100 * (float(values.mean()) - 1),
            "log_mean": float(logs.mean()),
            "log_deviation": float(logs.std()),
            "log_p1": float(low),
            "log_p99": float(high),
            "affine_volume_factor": float(np.linalg.det(self.affine[:-1, :-1])),
        }

    def description(self, direction: str = "moving / fixed", *, log: bool = False) -> str:
        """Return one line for a file's header, which says what the values are; NIfTI holds 79 characters."""
        kind = "log det J" if log else "det J"
        return f"{kind} = volume {direction}, {_DESCRIPTIONS[self.removed]}"


def jacobian_of(
    transform: Transform, grid: Grid, *, affine: bool = True, mask: NDArray[np.generic] | None = None
) -> Jacobian:
    """Compute the Jacobian determinant of a transform.

    Parameters
    ----------
    transform : Transform
        From the fixed to the moving world.
    grid : Grid
        Grid of the fixed world.
    affine : bool
        Whether of the whole transform. Otherwise the affine parts of a chain are left out, wherever they stand in it;
        if it has none, as a displacement of ITK in which the affine map is already inside, that is left out which fits
        the transform best.
    mask : array, shape S, optional
        Voxels that count (not zero), by default all.

    Raises
    ------
    ShapeError
        If the mask has another shape, or is empty.
    TransformError
        If the transform has another number of dimensions than the grid.

    Notes
    -----
    On a grid every chain is a displacement v followed by an affine W (:class:`learngn.geometry.grid_map.GridMap`), and
    ``det ∇T = det W · det(I + ∇v)``: the affine parts are exactly W, whatever their order. Derivatives are central
    differences.
    """
    chosen = None if mask is None else _checked(mask, grid)
    on_grid = transform.on(grid)
    removed: Removed = "nothing"
    matrix: FloatArray = np.eye(grid.ndim + 1)
    if not affine:
        removed, matrix = _affine_of(transform, on_grid, chosen)
    part = on_grid if removed == "nothing" else replace(on_grid, world=np.eye(grid.ndim + 1))
    determinant, factor = part.jacobian_determinant(), float(np.linalg.det(part.world[:-1, :-1]))
    if removed == "fit":
        fitted = float(np.linalg.det(matrix[:-1, :-1]) / np.linalg.det(on_grid.world[:-1, :-1]))
        if fitted <= 0:
            raise TransformError(
                "affine part", f"a fitted map of determinant {fitted:.3g}", "a positive one", "check the transform"
            )
        determinant, factor = determinant / fitted, 1 / fitted
    if chosen is not None:
        xp = namespace(determinant)
        inside = like(chosen[None].astype(np.float32), determinant)
        determinant = xp.where(inside > 0, determinant, xp.ones_like(determinant))
    return Jacobian(Image(determinant[:, None], grid), removed, matrix, on_grid.field, factor, chosen)


def _affine_of(transform: Transform, on_grid: GridMap, mask: NDArray[np.bool_] | None) -> tuple[Removed, FloatArray]:
    if _has_affine(transform):
        return "chain", on_grid.world
    return "fit", fitted_affine(on_grid, mask)


def _has_affine(transform: Transform) -> bool:
    if isinstance(transform, Composite):
        return any(_has_affine(part) for part in transform.parts)
    return isinstance(transform, Affine)


def fitted_affine(on_grid: GridMap, mask: NDArray[np.generic] | None = None) -> FloatArray:
    """Return the affine map of the world that fits a transform best, by least squares over the voxels of a mask.

    Parameters
    ----------
    on_grid : GridMap
    mask : array, shape S, optional
        Voxels that count (not zero), by default all. An axis of the grid along which they do not extend, such as that
        of a single slice, is kept.

    Returns
    -------
    array, shape (D+1, D+1)
        Fixed RAS mm to moving RAS mm.
    """
    grid, ndim = on_grid.grid, on_grid.grid.ndim
    if on_grid.field is None:
        return on_grid.world
    field = as_numpy(on_grid.field)[0]
    # Displacements, not positions, are fitted, and about the centre: sums of large numbers would lose digits.
    centre = (np.array(grid.shape) - 1) / 2
    squares, products = np.zeros((ndim + 1, ndim + 1)), np.zeros((ndim + 1, ndim))
    for planes in slabs(grid.shape):
        part = field[:, planes].astype(np.float64)
        axes = [np.arange(n, dtype=np.float64) for n in grid.shape]
        axes[0] = axes[0][planes]
        index = np.stack([a.reshape(-1) for a in np.meshgrid(*axes, indexing="ij")]) - centre[:, None]
        rows = np.concatenate([index, np.ones((1, index.shape[1]))])
        moved = part.reshape(ndim, -1)
        if mask is not None:
            inside = (mask[planes] != 0).reshape(-1)
            rows, moved = rows[:, inside], moved[:, inside]
        squares += rows @ rows.T
        products += rows @ moved.T
    solution = np.linalg.pinv(squares, rcond=1e-12, hermitian=True) @ products
    voxels = np.eye(ndim + 1)
    voxels[:-1, :-1] += solution[:-1].T
    voxels[:-1, -1] = solution[-1] - solution[:-1].T @ centre
    return np.asarray(on_grid.world @ grid.affine @ voxels @ np.linalg.inv(grid.affine))


def _checked(mask: NDArray[np.generic], grid: Grid) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = np.asarray(mask) != 0
    if inside.shape != grid.shape:
        raise ShapeError("mask", f"shape {inside.shape}", f"the grid's {grid.shape}", "pass a mask on this grid")
    if not inside.any():
        raise ShapeError("mask", "no voxel", "one at least", "pass the mask of a structure")
    return inside
