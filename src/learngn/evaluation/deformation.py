"""Smoothness of a deformation: Learn2Reg's SDlogJ, folding, and the spread of the log Jacobian determinant."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learngn import kernels
from learngn.arrays import Array, as_numpy
from learngn.errors import ShapeError
from learngn.geometry.grid import Grid
from learngn.geometry.grid_map import GridMap
from learngn.quality.inside import Body

_MARGIN = 2
_AT_ONCE = 2**20  # voxels
_LEAST = 8  # planes, as every slab of determinants needs two planes more
_CHALLENGE_SHIFT = 3.0
_SMALLEST = 1e-9
_LARGEST = 1e9


def sdlogj(displacement: Array, mask: NDArray[np.generic] | None = None) -> float:
    """Compute Learn2Reg's SDlogJ: the standard deviation of ``log(clip(det(I + ∇u) + 3, 1e-9, 1e9))``.

    It uses central differences in voxels, without the two outermost voxels on every side. The shift of 3 makes the
    logarithm finite at folds, and the result about a quarter of the standard deviation of the determinant: compare it
    only with other values of the challenge. :func:`std_log_jacobian` is the quantity that the name describes.

    Parameters
    ----------
    displacement : Array, shape (1, D, *S) [voxel, components in array order]
        The whole displacement, affine included.
    mask : array, shape S, optional
        Voxels to include, those of value 1.

    Returns
    -------
    float
        NaN if no voxel remains: an axis has fewer than five voxels, or the mask is empty.

    Raises
    ------
    ShapeError
        If the mask has another shape.
    """
    return _scores(displacement, 1.0, 1.0, mask)["sdlogj"]


def smoothness(
    on_grid: GridMap, moving: Grid, mask: NDArray[np.generic] | None = None, body: Body | None = None
) -> dict[str, float]:
    """Compute ``sdlogj``, ``folds_percent`` and ``std_log_jacobian`` of a transform, some planes at a time.

    With a body also ``folds_body_percent``.

    Parameters
    ----------
    on_grid : GridMap
        Transform on the fixed grid.
    moving : Grid
        Grid of the moving image, in whose voxels :func:`sdlogj` is computed.
    mask : array, shape S, optional
        Mask on the fixed grid for :func:`sdlogj`.
    body : Body, optional
        Body of the fixed scan.

    Raises
    ------
    ShapeError
        If the mask has another shape.
    """
    ndim, field = on_grid.grid.ndim, on_grid.field
    if field is None:
        field = np.broadcast_to(np.float32(0), (1, ndim, *on_grid.grid.shape))
    # The affine that follows the displacement multiplies the determinant, without another pass over the displacement.
    to_moving = np.round(on_grid.grid.index_map(moving, on_grid.world), 10)
    of_voxels, of_world = (float(np.linalg.det(m[:-1, :-1])) for m in (to_moving, on_grid.world))
    return _scores(field, of_voxels, of_world, mask, body)


def _scores(
    field: Array,
    of_voxels: float,
    of_world: float,
    mask: NDArray[np.generic] | None = None,
    body: Body | None = None,
) -> dict[str, float]:
    """Compute the three scores of a field (1, D, *S) that is followed by an affine of these determinants."""
    shape = tuple(field.shape[2:])
    if mask is not None and mask.shape != shape:
        raise ShapeError("SDlogJ", f"a mask of shape {mask.shape}", f"the field's {shape}", "mask the fixed grid")
    challenge, spread, folds, inside = _Spread(), _Spread(), 0, 0
    others = (slice(_MARGIN, -_MARGIN),) * (len(shape) - 1)
    for planes in slabs(shape):
        determinant = _determinant(field, planes)
        # Away from the border, the differences do not depend on the values that an implementation assumes outside.
        first, last = max(planes.start, _MARGIN), min(planes.stop, shape[0] - _MARGIN)
        if first < last:
            inner = determinant[(slice(first - planes.start, last - planes.start), *others)]
            inner = inner.copy() if mask is None else inner[mask[(slice(first, last), *others)] == 1]
            inner *= of_voxels
            inner += _CHALLENGE_SHIFT
            challenge.add_log(inner)
        determinant *= of_world
        positive = determinant > 0
        count = int(np.count_nonzero(positive))
        folded = determinant <= 0
        if found := int(np.count_nonzero(folded)):
            folds += found
            if body is not None:
                offset = np.array([planes.start, *(0 for _ in others)])
                inside += int(np.count_nonzero(body.holds(np.argwhere(folded) + offset)))
        spread.add_log(determinant if count == determinant.size else determinant[positive])
    scores = {
        "sdlogj": challenge.deviation,
        "folds_percent": 100 * folds / math.prod(shape),
        "std_log_jacobian": spread.deviation,
    }
    if body is not None:
        scores["folds_body_percent"] = 100 * inside / max(body.voxels, 1)
    return scores


def slabs(shape: Sequence[int]) -> Iterator[slice]:
    """Divide a grid along its first axis into slabs of some planes, of about a million voxels."""
    planes = max(_LEAST, _AT_ONCE * shape[0] // max(1, math.prod(shape)))
    for start in range(0, shape[0], planes):
        yield slice(start, min(shape[0], start + planes))


def _determinant(field: Array, planes: slice) -> NDArray[Any]:
    """Return ``det(I + ∇u)`` of some planes, an array of its own, from a field (1, D, *S)."""
    start, stop = max(planes.start - 1, 0), min(planes.stop + 1, field.shape[2])
    determinant = as_numpy(kernels.determinant(field[:, :, start:stop]))[0]
    return np.array(determinant[planes.start - start : planes.stop - start], order="C")


def folds_percent(determinant: Array) -> float:
    """Compute the percentage of voxels with folding (det J ≤ 0).

    Parameters
    ----------
    determinant : Array, shape (1, *S)
        :meth:`learngn.geometry.grid_map.GridMap.jacobian_determinant`.
    """
    values = as_numpy(determinant)
    return 100 * int(np.count_nonzero(values <= 0)) / values.size


def std_log_jacobian(determinant: Array) -> float:
    """Compute the standard deviation of the log Jacobian determinant over the voxels without folding.

    Parameters
    ----------
    determinant : Array, shape (1, *S)
        :meth:`learngn.geometry.grid_map.GridMap.jacobian_determinant`.

    Returns
    -------
    float
        NaN if every voxel has folding.
    """
    values = as_numpy(determinant)
    unfolded = values > 0
    spread = _Spread()
    spread.add_log(values.copy() if unfolded.all() else values[unfolded])
    return spread.deviation


class _Spread:
    """Standard deviation of the logarithm of clipped values that are added part by part; NaN without values."""

    def __init__(self) -> None:
        self._count, self._mean, self._squares = 0, 0.0, 0.0

    def add_log(self, values: NDArray[Any]) -> None:
        """Add the logarithms of values, which are overwritten."""
        if not values.size:
            return
        np.log(values.clip(_SMALLEST, _LARGEST, out=values), out=values)
        exact = values.astype(np.float64).reshape(-1)
        count, mean = values.size, float(exact.mean())
        exact -= mean
        # Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979.
        total, shift = self._count + count, mean - self._mean
        self._squares += float(exact @ exact) + shift**2 * self._count * count / total
        self._count, self._mean = total, self._mean + shift * count / total

    @property
    def deviation(self) -> float:
        """The standard deviation."""
        return math.sqrt(self._squares / self._count) if self._count else float("nan")
