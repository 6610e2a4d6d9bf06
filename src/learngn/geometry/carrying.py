"""Points carried by a transform or by its inverse, with what is known of each of them afterwards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learngn.arrays import as_numpy
from learngn.errors import ShapeError
from learngn.geometry import sampling
from learngn.geometry.grid import FloatArray, Grid
from learngn.geometry.transform import Composite, DisplacementField, Transform

_BLOCK = 1_000_000  # points at a time, so that a large tractogram needs no more memory than a small one
_STEPS = 40
_TOLERANCE = 1e-5  # at which a point's inverse is done [voxel]
_LONGEST = 8.0  # longest step of the iteration [voxel]
_FITTED = 4096  # voxels, about, by which a displacement is compared with an affine map
_DIFFERENCE = 0.05  # of a point, for the Jacobian [mm]


@dataclass(frozen=True, eq=False)
class Carried:
    """Points carried by a transform.

    Attributes
    ----------
    points : array, shape (M, D) [RAS mm]
    outside : array, shape (M,), bool
        Points about which a displacement says nothing, because they lie outside its grid: they are not displaced by it.
    error : array, shape (M,) [mm]
        Distance of each given point from where the transform maps its carried point; 0 if no inverse was asked for.
        It is large where the transform folds, or where nothing is mapped to.
    transform : Transform
    inverse : bool
        Whether the inverse of the transform was applied.
    """

    points: FloatArray
    outside: NDArray[np.bool_]
    error: FloatArray
    transform: Transform
    inverse: bool
    _fixed: FloatArray  # the points' places in the fixed image, where the transform is differentiated

    def jacobian(self, every: int = 1) -> FloatArray:
        """Return the Jacobian of the transform at the points, in the direction in which they were carried.

        Parameters
        ----------
        every : int
            Distance of the points at which it is computed, in their order; 1 for all of them.

        Returns
        -------
        array, shape (M / every, D, D)
            ``J[m, a, b]`` is the derivative of coordinate a of the carried point by coordinate b of the given one.
        """
        places, ndim = self._fixed[::every], self.points.shape[1]
        columns = []
        for step in _DIFFERENCE * np.eye(ndim):
            ahead, behind = (self.transform.map_points(places + shift) for shift in (step, -step))
            columns.append((ahead - behind) / (2 * _DIFFERENCE))
        forward = np.stack(columns, axis=-1)
        return np.asarray(np.linalg.pinv(forward) if self.inverse else forward)


def carry(transform: Transform, points: FloatArray, *, inverse: bool = False) -> Carried:
    """Carry points of the fixed image to the moving image, or with `inverse` those of the moving image to the fixed.

    The inverse is solved at the points themselves, to a hundred-thousandth of a voxel, and therefore also where an
    inverse displacement on the grid of the field would end: a field that holds the whole transform, affine included,
    maps points from far outside its own grid.

    Parameters
    ----------
    transform : Transform
        From the fixed to the moving image.
    points : array, shape (M, D) [RAS mm]
    inverse : bool

    Returns
    -------
    Carried

    Raises
    ------
    ShapeError
        If the points have another dimension than the transform.

    References
    ----------
    Broyden, "A class of methods for solving nonlinear simultaneous equations", Math. Comp. 19, 1965.
    """
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != transform.ndim:
        expected = f"(M, {transform.ndim}) for a {transform.ndim}D transform"
        raise ShapeError("points", f"shape {points.shape}", expected, "pass a row for each point")
    one_way = _backward if inverse else _forward
    parts, mapped = _parts(transform), np.empty_like(points)
    outside, error = np.zeros(len(points), dtype=bool), np.zeros(len(points))
    for start in range(0, len(points), _BLOCK):
        block = slice(start, start + _BLOCK)
        mapped[block], outside[block] = one_way(parts, points[block])
        if inverse:
            error[block] = np.linalg.norm(transform.map_points(mapped[block]) - points[block], axis=1)
    return Carried(mapped, outside, error, transform, inverse, mapped if inverse else points)


def _parts(transform: Transform) -> list[Transform]:
    """Return the parts of a chain, of chains in it too, in the order in which they are applied."""
    return [p for part in transform.parts for p in _parts(part)] if isinstance(transform, Composite) else [transform]


def _forward(parts: list[Transform], points: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    outside = np.zeros(len(points), dtype=bool)
    for part in parts:
        if isinstance(part, DisplacementField):
            outside |= ~_inside(part.grid.world_to_index(points), part.grid)
        points = part.map_points(points)
    return points, outside


def _backward(parts: list[Transform], points: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    outside = np.zeros(len(points), dtype=bool)
    for part in reversed(parts):
        if isinstance(part, DisplacementField):
            points, beyond = _solved(part, points)
            outside |= beyond
        else:
            points = part.inverse().map_points(points)
    return points, outside


def _inside(index: FloatArray, grid: Grid) -> NDArray[np.bool_]:
    return np.asarray(((index >= -0.5) & (index <= np.asarray(grid.shape) - 0.5)).all(axis=1))


def _solved(field: DisplacementField, points: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Solve x + u(x) = c for points, by Broyden's method; also return which of them have no solution in the grid.

    Outside its grid, where a displacement is zero, every point is its own solution. This one is taken only if there is
    none inside.
    """
    grid, data = field.grid, as_numpy(field.data).astype(np.float64)
    given = grid.world_to_index(points)
    matrix, shift = _affine_fit(data)
    inverse: FloatArray = np.asarray(np.linalg.inv(matrix), dtype=np.float64)
    limit = np.asarray(grid.shape) - 1.0
    x = np.clip((given - shift) @ inverse.T, 0, limit)
    residual = x + sampling.sample_points(data, x) - given
    best, least = x.copy(), np.linalg.norm(residual, axis=1)
    estimate = np.broadcast_to(inverse, (len(x), *inverse.shape)).copy()  # of the inverse Jacobian
    active = np.flatnonzero(least > _TOLERANCE)
    for _ in range(_STEPS):
        if not len(active):
            break
        now, was, b = best[active], residual[active], estimate[active]
        step = -np.einsum("mab,mb->ma", b, was)
        length = np.linalg.norm(step, axis=1, keepdims=True)
        step *= np.minimum(1.0, _LONGEST / np.maximum(length, 1e-12))
        there = now + step
        found = there + sampling.sample_points(data, there) - given[active]
        estimate[active] = _updated(b, step, found - was, inverse)
        size = np.linalg.norm(found, axis=1)
        better = size < least[active]
        chosen = active[better]
        best[chosen], residual[chosen], least[chosen] = there[better], found[better], size[better]
        active = active[least[active] > _TOLERANCE]
    beyond = ~_inside(best, grid)
    own = beyond & ~_inside(given, grid)
    best[own] = given[own]
    return grid.index_to_world(best), beyond


def _updated(inverse: FloatArray, step: FloatArray, change: FloatArray, start: FloatArray) -> FloatArray:
    """Update estimates of an inverse Jacobian so that they map the change of the residual to the step."""
    predicted = np.einsum("mab,mb->ma", inverse, change)
    row = np.einsum("ma,mab->mb", step, inverse)
    scale = np.einsum("ma,ma->m", step, predicted)
    usable = np.abs(scale) > 1e-9 * np.maximum(np.einsum("ma,ma->m", step, step), 1e-12)
    scale = np.where(usable, scale, 1.0)[:, None, None]
    updated = inverse + (step - predicted)[:, :, None] * row[:, None, :] / scale
    usable &= np.abs(updated).max(axis=(1, 2)) < 1e3
    return np.where(usable[:, None, None], updated, start)


def _affine_fit(data: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Fit the map x -> x + u(x) of a field, shape (1, D, *S), by an affine one; return its matrix and shift [voxel]."""
    ndim, shape = data.shape[1], data.shape[2:]
    stride = max(1, round((np.prod(shape) / _FITTED) ** (1 / ndim)))
    axes = [np.arange(n)[:: min(stride, max(1, n // 4))] for n in shape]
    x = np.stack(np.meshgrid(*axes, indexing="ij")).reshape(ndim, -1).T
    u = data[0][(slice(None), *np.ix_(*axes))].reshape(ndim, -1).T
    design = np.column_stack([x, np.ones(len(x))])
    solution = np.asarray(np.linalg.lstsq(design, x + u, rcond=None)[0].T, dtype=np.float64)
    matrix, shift = solution[:, :ndim], solution[:, ndim]
    flat = np.asarray(shape) == 1  # along an axis of one voxel nothing is known of the slope
    matrix[:, flat] = np.eye(ndim)[:, flat]
    if abs(np.linalg.det(matrix)) < 1e-3:
        return np.eye(ndim), u.mean(axis=0)
    return matrix, shift
