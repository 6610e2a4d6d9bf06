"""Region of a structure in one plane, from its contours."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import spatial

from learngn.errors import require_packages
from learngn.geometry.grid import FloatArray

FAR = 10.0  # distances are exact up to it [mm]
_STEP = 0.25  # distance of points on the boundary among which the nearest is sought [mm]


class Plane:
    """Region between contours in a plane; contours within one another are holes (even-odd rule).

    Parameters
    ----------
    rings : sequence of array, shape (n, 2)
        Corners of closed polygons [mm]. They may touch and cross themselves, as the channels to a hole do.

    Raises
    ------
    MissingPackageError
        Without the extra ``[dicom]``.
    """

    def __init__(self, rings: Sequence[FloatArray]) -> None:
        require_packages("contours", "dicom", "shapely")
        import shapely

        region: Any = shapely.Polygon()
        for ring in rings:
            if len(ring) > 2:
                region = region.symmetric_difference(shapely.make_valid(shapely.Polygon(ring)))
        parts = [part for part in shapely.get_parts(region, return_index=False) if part.area > 0]
        self.region: Any = shapely.union_all([part for part in parts if part.geom_type in ("Polygon", "MultiPolygon")])
        shapely.prepare(self.region)

    @property
    def area(self) -> float:
        """Area of the region [mm²]."""
        return float(self.region.area)

    @property
    def bounds(self) -> FloatArray:
        """Smallest and largest coordinates, shape (2, 2) [mm]."""
        return np.asarray(self.region.bounds, dtype=np.float64).reshape(2, 2)

    def distance(self, points: FloatArray, within: float = FAR) -> FloatArray:
        """Compute distances to the boundary, positive inside.

        Parameters
        ----------
        points : array, shape (n, 2) [mm]
        within : float
            Largest distance; larger ones become this [mm].

        Returns
        -------
        array, shape (n,)
            [mm]
        """
        import shapely

        tree, corners, before, after = self._boundary
        _, nearest = tree.query(points, distance_upper_bound=within)
        distance = np.full(len(points), within)
        found = np.flatnonzero(nearest < len(corners))
        here, place = nearest[found], points[found]
        distance[found] = np.minimum(
            _to_segment(place, corners[before[here]], corners[here]),
            _to_segment(place, corners[here], corners[after[here]]),
        )
        inside = shapely.contains_xy(self.region, points[:, 0], points[:, 1])
        return np.where(inside, distance, -distance)

    @cached_property
    def _boundary(self) -> tuple[Any, FloatArray, NDArray[np.intp], NDArray[np.intp]]:
        """A search tree of points on the boundary, the points, and the numbers of those before and after them."""
        import shapely

        corners, before, after, first = [], [], [], 0
        for part in shapely.get_parts(self.region):
            for ring in (part.exterior, *part.interiors):
                points = shapely.get_coordinates(shapely.segmentize(ring, _STEP))[:-1]
                index = first + np.arange(len(points))
                corners.append(points)
                before.append(np.roll(index, 1))
                after.append(np.roll(index, -1))
                first += len(points)
        points = np.concatenate(corners)
        return spatial.cKDTree(points), points, np.concatenate(before), np.concatenate(after)


def _to_segment(points: FloatArray, start: FloatArray, end: FloatArray) -> FloatArray:
    """Compute the distances of points to one segment each, shape (n,)."""
    along, rest = end - start, points - start
    length = np.maximum((along**2).sum(-1), 1e-30)
    share = np.clip((along * rest).sum(-1) / length, 0, 1)
    return np.asarray(np.linalg.norm(rest - share[:, None] * along, axis=-1))
