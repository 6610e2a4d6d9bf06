"""Region of a structure in space, from contours in parallel planes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from learngn.errors import LabelError
from learngn.geometry.grid import FloatArray, Grid
from learngn.radiotherapy.plane import FAR, Plane

_SAME_PLANE = 0.1  # contours closer than this are in one plane [mm]
_GAP = 1.5  # distance of planes above which the region ends between them, in multiples of the usual distance
_ON_PLANE = 1e-3  # in multiples of the distance of planes


@dataclass(frozen=True, eq=False)
class _Run:
    """Planes that follow each other without a gap, and their places along the normal [mm]."""

    places: FloatArray
    planes: tuple[Plane, ...]


@dataclass(frozen=True, eq=False)
class Solid:
    """Region of a structure: between its planes by interpolated signed distances, and half a distance beyond the last.

    Shape-based interpolation: S. P. Raya, J. K. Udupa, IEEE Trans. Med. Imaging 9(1):32-42, 1990,
    doi:10.1109/42.52980.

    Attributes
    ----------
    axes : array, shape (3, 3)
        Unit vectors of the planes and, last, of their normal, as columns [RAS].
    spacing : float
        Usual distance of the planes [mm].
    runs : tuple
        Planes without gaps.
    """

    axes: FloatArray
    spacing: float
    runs: tuple[_Run, ...]

    @classmethod
    def of(cls, contours: Sequence[FloatArray], grid: Grid, name: str = "structure") -> Solid:
        """Make the region of closed polygons in planes of a scan.

        Parameters
        ----------
        contours : sequence of array, shape (n, 3) [RAS mm]
        grid : Grid
            Grid of the scan: contours are parallel to its first two axes. The size of its voxels along the third is the
            thickness of a region with a single plane.
        name : str
            Name of the structure in messages.

        Raises
        ------
        LabelError
            If there is no contour of three points, or one is not in a plane of the scan.
        """
        axes = grid.direction
        by_place: list[tuple[float, FloatArray]] = []
        for contour in contours:
            local = contour @ axes
            height = local[:, 2]
            if np.ptp(height) > _SAME_PLANE:
                raise LabelError(
                    f"structure {name}", f"a contour that extends {np.ptp(height):.2f} mm across the slices",
                    "contours in planes parallel to the slices", "export it as contours on the slices of the scan",
                )  # fmt: skip
            if len(local) > 2:
                by_place.append((float(height.mean()), local[:, :2]))
        by_place.sort(key=lambda pair: pair[0])
        groups: list[list[tuple[float, FloatArray]]] = []
        for place, ring in by_place:
            if not groups or place - groups[-1][-1][0] > _SAME_PLANE:
                groups.append([])
            groups[-1].append((place, ring))
        drawn = [
            (float(np.mean([place for place, _ in group])), Plane([ring for _, ring in group])) for group in groups
        ]
        drawn = [(place, plane) for place, plane in drawn if plane.area > 0]
        if not drawn:
            raise LabelError(f"structure {name}", "no contour that encloses an area", "closed contours", "draw them")
        places = np.array([place for place, _ in drawn])
        spacing = float(np.median(np.diff(places))) if len(places) > 1 else float(grid.spacing[2])
        ends = np.flatnonzero(np.diff(places) > _GAP * spacing) + 1
        runs = tuple(
            _Run(places[part], tuple(drawn[n][1] for n in part)) for part in np.split(np.arange(len(places)), ends)
        )
        return cls(axes, spacing, runs)

    @property
    def volume(self) -> float:
        """Sum of the areas, each times the thickness of its plane [mm³]."""
        return sum(
            plane.area * float(thickness)
            for run in self.runs
            for plane, thickness in zip(run.planes, self._thickness(run), strict=True)
        )

    @property
    def bounds(self) -> FloatArray:
        """Smallest and largest coordinates along the axes, shape (2, 3) [mm]."""
        half = self.spacing / 2
        boxes = np.array([plane.bounds for run in self.runs for plane in run.planes])
        low, high = self.runs[0].places[0] - half, self.runs[-1].places[-1] + half
        return np.array([[*boxes[:, 0].min(0), low], [*boxes[:, 1].max(0), high]])

    def inside(self, local: ArrayLike, within: float = FAR) -> FloatArray:
        """Compute how far points lie inside the region.

        Parameters
        ----------
        local : array, shape (n, 3)
            Coordinates along :attr:`axes` [mm].
        within : float
            Largest distance; larger ones become this [mm].

        Returns
        -------
        array, shape (n,)
            Signed distance to the region's boundary [mm]: positive inside. It is exact near contours, in their planes.
        """
        points = np.asarray(local, dtype=np.float64)
        result = np.full(len(points), -within)
        half = self.spacing / 2
        for run in self.runs:
            low, high = run.places[0] - half, run.places[-1] + half
            near = np.flatnonzero((points[:, 2] > low) & (points[:, 2] < high))
            if near.size:
                cap = np.minimum(points[near, 2] - low, high - points[near, 2])
                result[near] = np.maximum(result[near], np.minimum(_between(run, points[near], within), cap))
        return result

    def layers(self, step: float) -> Iterator[tuple[float, float]]:
        """Yield places along the normal, about `step` apart, and the thickness of each layer [mm]."""
        for run in self.runs:
            thickness = self._thickness(run)
            edges = run.places[0] - self.spacing / 2 + np.concatenate([[0.0], np.cumsum(thickness)])
            for low, high in pairwise(edges):
                count = max(1, round((high - low) / step))
                for n in range(count):
                    yield low + (n + 0.5) * (high - low) / count, (high - low) / count

    def _thickness(self, run: _Run) -> FloatArray:
        gaps = np.diff(run.places)
        return np.asarray(0.5 * (np.append(gaps, self.spacing) + np.append(self.spacing, gaps)))


def _between(run: _Run, points: FloatArray, within: float) -> FloatArray:
    """Interpolate the signed distances of the planes below and above every point."""
    level = np.interp(points[:, 2], run.places, np.arange(len(run.places)))
    level = np.where(np.abs(level - np.rint(level)) < _ON_PLANE, np.rint(level), level)
    below, share = np.floor(level).astype(int), level - np.floor(level)
    result = np.zeros(len(points))
    for number in np.unique(np.concatenate([below, below[share > 0] + 1])):
        weight = np.where(below == number, 1 - share, np.where(below + 1 == number, share, 0))
        used = np.flatnonzero(weight)
        result[used] += weight[used] * run.planes[number].distance(points[used, :2], within)
    return result
