"""Landmarks and key points of the page: where they are, and where the registered scan shows their counterparts."""

from __future__ import annotations

from typing import Any

import numpy as np

from learngn.geometry.grid import FloatArray, Grid
from learngn.geometry.transform import Transform
from learngn.report.orientation import Orientation

_MOST = 4000  # points of a page; of more every n-th is shown
_STEPS = 40  # of the inversion, until a point moves by less than a hundredth of a millimetre
_CLOSE = 0.01  # [mm]

Points = tuple[FloatArray, FloatArray]


def described(points: Points, transform: Transform | None, display: Grid, turn: Orientation) -> dict[str, Any]:
    """Describe pairs of points for the page.

    Parameters
    ----------
    points : (array, array), shape (M, D) [RAS mm]
        Points of the fixed scan and their counterparts in the moving scan.
    transform : Transform, optional
        Transform from the fixed to the moving world.
    display : Grid
        Grid of the page's volumes, before it is reoriented.
    turn : Orientation

    Returns
    -------
    dict
        ``numbers`` of the points in their file, from 1; ``fixed``, ``before`` and, with a transform, ``warped``:
        places (x, y, z) of the page [voxel] of the fixed points, and of their counterparts before and after
        registration; ``errors_before`` and ``errors_warped``, distances in the moving scan [mm].
    """
    step = -(-len(points[0]) // _MOST)
    fixed, moving = (np.asarray(array, dtype=np.float64)[::step] for array in points)
    found: dict[str, Any] = {
        "numbers": list(range(1, len(points[0]) + 1, step)),
        "fixed": _places(fixed, display, turn),
        "before": _places(moving, display, turn),
        "errors_before": _rounded(np.linalg.norm(fixed - moving, axis=1)),
    }
    if transform is not None:
        found["warped"] = _places(counterparts(transform, fixed, moving), display, turn)
        found["errors_warped"] = _rounded(np.linalg.norm(transform.map_points(fixed) - moving, axis=1))
    return found


def counterparts(transform: Transform, fixed: FloatArray, moving: FloatArray) -> FloatArray:
    """Return where the registered scan shows points of the moving scan: the inverse of the transform at them.

    Parameters
    ----------
    transform : Transform
    fixed : array, shape (M, D) [RAS mm]
        First guess: the corresponding points of the fixed scan.
    moving : array, shape (M, D) [RAS mm]

    Returns
    -------
    array, shape (M, D) [RAS mm]
        The closest place found; where the transform folds there may be none that is exact.
    """
    place = np.array(fixed, dtype=np.float64)
    best, least = place, np.full(len(place), np.inf)
    for _ in range(_STEPS):
        gap = transform.map_points(place) - moving
        distance = np.linalg.norm(gap, axis=1)
        closer = distance < least
        best, least = np.where(closer[:, None], place, best), np.where(closer, distance, least)
        if (least < _CLOSE).all():
            break
        place = place - gap
    return best


def _places(world: FloatArray, display: Grid, turn: Orientation) -> list[list[float]]:
    """Return places of the page, x, y, z [voxel], to a hundredth."""
    page = turn.points(display.world_to_index(world), display)
    if display.ndim == 2:
        page = np.pad(page, ((0, 0), (0, 1)))
    return [_rounded(place) for place in page]


def _rounded(values: FloatArray) -> list[float]:
    return [float(value) for value in np.round(values, 2)]
