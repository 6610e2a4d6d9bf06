"""Carrying of structures from the moving to the fixed scan: contours by their regions, points one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learngn.arrays import as_numpy
from learngn.errors import LabelError, TransformError, require_packages
from learngn.geometry.grid import FloatArray, Grid, apply_affine
from learngn.geometry.grid_map import GridMap
from learngn.geometry.transform import Transform
from learngn.io import Contour, Structure
from learngn.radiotherapy.plane import FAR
from learngn.radiotherapy.solid import Solid

_FINE = 0.15  # distance of the points at which a region is evaluated beside its boundary [mm]
_AT_ONCE, _STEP = 6, 4  # times as many points along an axis in the last step at most, and in each before it
_STRAIGHT = 0.01  # distance within which corners of a contour are left out [mm]
_LEAST = 0.05  # area of the smallest contour that is kept [mm²]


@dataclass(frozen=True, eq=False)
class Carried:
    """Structures in the fixed world.

    Attributes
    ----------
    structures : tuple of Structure
        As many as in the moving scan, in the same order; without contours where nothing could be carried.
    notes : tuple of str
        Warnings: what was left out, and why.
    """

    structures: tuple[Structure, ...]
    notes: tuple[str, ...]


def carry_structures(
    structures: Sequence[Structure], transform: Transform, fixed: Grid, moving: Grid, inverse: Transform | None = None
) -> Carried:
    """Carry structures of the moving scan to the slices of the fixed scan.

    A point p of a fixed slice lies in the carried structure if T(p) lies in the structure. The boundary of these points
    is found by marching squares on points at most 0.15 mm apart: contours drawn on slices which the transform leaves
    in place return within 0.1 mm. Points are mapped by the inverse; open lines are left out.

    Parameters
    ----------
    structures : sequence of Structure
        Drawn on the moving scan, in planes parallel to its slices.
    transform : Transform
        From the fixed to the moving world.
    fixed, moving : Grid
        Grids of both scans; slices are along the third axis.
    inverse : Transform, optional
        Inverse of the transform, for points; by default computed if there are any.

    Returns
    -------
    Carried
    """
    require_packages("carrying contours", "dicom", "shapely", "skimage")
    notes: list[str] = []
    solids: dict[int, Solid] = {}
    for number, structure in enumerate(structures):
        if structure.regions:
            try:
                solids[number] = Solid.of(structure.regions, moving, structure.name)
            except LabelError as error:
                notes.append(f"{structure.name} is not carried: {error.got}")
        elif not structure.contours:
            notes.append(f"{structure.name} has no contours")
        if any(contour.form == "line" for contour in structure.contours):
            notes.append(f"open lines of {structure.name} are not carried")
    found: dict[int, list[Contour]] = {number: [] for number in range(len(structures))}
    on_grid = transform.on(fixed)
    for plane in range(fixed.shape[2]):
        if not solids:
            break
        targets = _targets(on_grid, plane)
        for number, solid in solids.items():
            found[number] += [Contour(points) for points in _section(solid, targets, fixed, plane)]
    points = {
        number: np.concatenate(single)
        for number, structure in enumerate(structures)
        if (single := [contour.points for contour in structure.contours if contour.form == "point"])
    }
    if points:
        try:
            back = inverse or transform.inverse()
            for number, places in points.items():
                found[number] += [Contour(place[None], "point") for place in back.map_points(places)]
        except TransformError as error:
            notes.append(f"points are not carried: {error}")
    for number in solids:
        if not found[number]:
            notes.append(f"{structures[number].name} lies outside the fixed scan")
    carried = tuple(replace(structure, contours=tuple(found[n])) for n, structure in enumerate(structures))
    return Carried(carried, tuple(notes))


def _targets(on_grid: GridMap, plane: int) -> FloatArray:
    """Return the points of the moving world to which the voxels of a slice are mapped, shape (H, W, 3) [RAS mm]."""
    height, width, _ = on_grid.grid.shape
    index = np.empty((height, width, 3))
    index[..., 0], index[..., 1], index[..., 2] = np.arange(height)[:, None], np.arange(width), plane
    if on_grid.field is not None:
        index += np.moveaxis(as_numpy(on_grid.field[0, :, :, :, plane]), 0, -1)
    return apply_affine(on_grid.world @ on_grid.grid.affine, index)


def _section(solid: Solid, targets: FloatArray, grid: Grid, plane: int) -> list[FloatArray]:
    """Return the contours in which a fixed slice, whose voxels are mapped to `targets`, cuts a region [RAS mm]."""
    find_contours: Any = import_module("skimage.measure").find_contours

    local = targets @ solid.axes
    reach = max(float(np.abs(np.diff(local, axis=axis)).max(initial=0)) for axis in (0, 1))
    low, high = solid.bounds[0] - reach, solid.bounds[1] + reach
    near = ((local > low) & (local < high)).all(axis=-1)
    if not near.any():
        return []
    first, last = zip(*(_span(near.any(axis=axis)) for axis in (1, 0)), strict=True)
    box = tuple(
        slice(max(start - 1, 0), min(stop + 2, n)) for start, stop, n in zip(first, last, near.shape, strict=True)
    )
    local = local[box]
    factor = max(1, int(np.ceil(float(grid.spacing[:2].max()) / _FINE)))
    values, factor = _values(solid, local, factor)
    padded = np.pad(values, 1, constant_values=-_FINE)  # closes contours at the edge of the scan
    contours = []
    for curve in find_contours(padded, 0.0):
        offset = np.array([part.start for part in box])
        place = np.clip((curve - 1) / factor, 0, np.array(local.shape[:2]) - 1) + offset
        points = grid.index_to_world(np.column_stack([place, np.full(len(place), plane)]))
        simple = _simplified(points @ grid.direction)
        if simple is not None:
            contours.append(simple @ grid.direction.T)
    return contours


def _values(solid: Solid, local: FloatArray, factor: int) -> tuple[FloatArray, int]:
    """Evaluate a region at least `factor` times as densely as at points, shape (H, W, 3), in steps.

    Beside the boundary the values are exact; elsewhere they have the right sign only.

    Returns
    -------
    array, int
        The values, and how many times as dense they are.
    """
    values = solid.inside(local.reshape(-1, 3)).reshape(local.shape[:2])
    if min(values.shape) < 2:
        return values, 1
    reached = 1
    while reached < factor:
        rest = -(-factor // reached)
        times = rest if rest <= _AT_ONCE else _STEP
        values = _refined(solid, values, local, times)
        reached *= times
        if reached < factor:
            local = _denser(local, times)
    return values, reached


def _crossed(values: FloatArray, local: FloatArray) -> NDArray[np.bool_]:
    """Return which cells between four points the boundary may cross, shape (H - 1, W - 1)."""
    corners = np.stack([values[:-1, :-1], values[1:, :-1], values[:-1, 1:], values[1:, 1:]])
    diagonals = [local[1:, 1:] - local[:-1, :-1], local[1:, :-1] - local[:-1, 1:]]
    half = 0.5 * np.max([np.linalg.norm(diagonal, axis=-1) for diagonal in diagonals], axis=0)
    return np.asarray((np.abs(corners).min(0) <= half) | (corners.min(0) * corners.max(0) <= 0))


def _refined(solid: Solid, values: FloatArray, local: FloatArray, times: int) -> FloatArray:
    """Evaluate a region at points `times` as dense in the cells that its boundary crosses; keep the sign elsewhere."""
    if times == 1:
        return values
    crossed = np.repeat(np.repeat(_crossed(values, local), times, 0), times, 1)
    axes = [np.arange((n - 1) * times + 1) for n in values.shape]
    near = [np.minimum((axis + times // 2) // times, n - 1) for axis, n in zip(axes, values.shape, strict=True)]
    result = np.where(values[np.ix_(*near)] > 0, FAR, -FAR)
    fine = np.zeros(result.shape, bool)
    for rows in range(2):  # a point on the edge of a cell belongs to both of its sides
        for columns in range(2):
            fine[rows : rows + crossed.shape[0], columns : columns + crossed.shape[1]] |= crossed
    i, j = np.nonzero(fine)
    result[i, j] = solid.inside(_interpolated(local, i / times, j / times))
    return result


def _interpolated(values: FloatArray, i: FloatArray, j: FloatArray) -> FloatArray:
    """Interpolate linearly in an array, shape (H, W, 3), at indices of shape (n,)."""
    row = np.minimum(i.astype(int), values.shape[0] - 2)
    column = np.minimum(j.astype(int), values.shape[1] - 2)
    s, t = (i - row)[:, None], (j - column)[:, None]
    upper = (1 - t) * values[row, column] + t * values[row, column + 1]
    lower = (1 - t) * values[row + 1, column] + t * values[row + 1, column + 1]
    return np.asarray((1 - s) * upper + s * lower)


def _denser(values: FloatArray, times: int) -> FloatArray:
    """Interpolate an array, shape (H, W, 3), linearly at points `times` as dense."""
    for axis in range(2):
        n = values.shape[axis]
        place = np.arange((n - 1) * times + 1) / times
        first = np.minimum(place.astype(int), n - 2)
        share = np.expand_dims(place - first, [other for other in range(3) if other != axis])
        values = (1 - share) * values.take(first, axis) + share * values.take(first + 1, axis)
    return values


def _span(used: Any) -> tuple[int, int]:
    index = np.flatnonzero(used)
    return int(index[0]), int(index[-1])


def _simplified(points: FloatArray) -> FloatArray | None:
    """Leave out corners of a contour, shape (n, 3), in planes of its first two coordinates; None if it is too small."""
    import shapely

    height = float(points[0, 2])
    polygon = shapely.Polygon(points[:, :2])
    if polygon.area < _LEAST:
        return None
    ring = shapely.get_coordinates(shapely.simplify(polygon.exterior, _STRAIGHT))[:-1]
    return None if len(ring) < 3 else np.column_stack([ring, np.full(len(ring), height)])
