"""Implicit shapes, given by the depth of points inside them in mm, which can be evaluated on any grid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Point = tuple[float, float, float]
Coordinates = tuple[Array, Array, Array]


class Shape(Protocol):
    """Solid in the coordinates of the body, RAS mm about its centre."""

    def depth(self, points: Coordinates) -> Array:
        """Compute the depth below the surface at points, negative outside [mm, near the surface]."""

    def bounds(self) -> tuple[Array, Array]:
        """Return the lowest and highest corner of a bounding box, each of shape (3,) [mm]."""

    def varied(self, shift: Array, scale: float) -> Shape:
        """Return the shape moved by `shift` [mm] and scaled about its own centre."""


@dataclass(frozen=True)
class Ellipsoid:
    """Ellipsoid whose axes are rotated about x, y, z in this order.

    Parameters
    ----------
    centre : three floats [mm]
    axes : three floats
        Semi-axes [mm].
    turn : three floats
        Angles of rotation [degree].
    """

    centre: Point
    axes: Point
    turn: Point = (0.0, 0.0, 0.0)

    def depth(self, points: Coordinates) -> Array:
        """See :meth:`Shape.depth`; the surface and the sign are exact."""
        rows = (self._rotation() / np.asarray(self.axes)).T.astype(np.float32)
        x, y, z = (p - np.float32(c) for p, c in zip(points, self.centre, strict=True))
        one, two, three = ((a * x + b * y + c * z) ** 2 for a, b, c in rows)
        return np.asarray((1 - np.sqrt(one + two + three)) * min(self.axes), dtype=np.float32)

    def bounds(self) -> tuple[Array, Array]:
        """See :meth:`Shape.bounds`."""
        reach = np.linalg.norm(self._rotation() * np.asarray(self.axes), axis=1)
        centre = np.asarray(self.centre)
        return (centre - reach).astype(np.float32), (centre + reach).astype(np.float32)

    def varied(self, shift: Array, scale: float) -> Ellipsoid:
        """See :meth:`Shape.varied`."""
        x, y, z = np.asarray(self.centre) + shift
        a, b, c = np.asarray(self.axes) * scale
        return replace(self, centre=(x, y, z), axes=(a, b, c))

    def _rotation(self) -> NDArray[np.float64]:
        matrix = np.eye(3)
        for axis, angle in enumerate(np.deg2rad(self.turn)):
            one, two = [k for k in range(3) if k != axis]
            turn = np.eye(3)
            turn[one, one] = turn[two, two] = np.cos(angle)
            turn[one, two], turn[two, one] = -np.sin(angle), np.sin(angle)
            matrix = turn @ matrix
        return matrix


@dataclass(frozen=True)
class Tube:
    """Tube along a polyline, whose radius is linear between its points.

    Parameters
    ----------
    points : points [mm]
    radii : float a point [mm]
    """

    points: tuple[Point, ...]
    radii: tuple[float, ...]

    def depth(self, points: Coordinates) -> Array:
        """See :meth:`Shape.depth`."""
        x, y, z = points
        deepest = np.full(np.broadcast_shapes(x.shape, y.shape, z.shape), -np.inf, dtype=np.float32)
        line, radii = np.asarray(self.points, dtype=np.float32), np.asarray(self.radii, dtype=np.float32)
        for start, end, r0, r1 in zip(line[:-1], line[1:], radii[:-1], radii[1:], strict=True):
            along = end - start
            dx, dy, dz = x - start[0], y - start[1], z - start[2]
            t = np.clip((dx * along[0] + dy * along[1] + dz * along[2]) / (along @ along), 0, 1)
            distance = np.sqrt((dx - t * along[0]) ** 2 + (dy - t * along[1]) ** 2 + (dz - t * along[2]) ** 2)
            np.maximum(deepest, r0 + t * (r1 - r0) - distance, out=deepest)
        return deepest

    def bounds(self) -> tuple[Array, Array]:
        """See :meth:`Shape.bounds`."""
        line, radii = np.asarray(self.points, dtype=np.float32), np.asarray(self.radii, dtype=np.float32)[:, None]
        return (line - radii).min(axis=0), (line + radii).max(axis=0)

    def varied(self, shift: Array, scale: float) -> Tube:
        """See :meth:`Shape.varied`; only the radii are scaled, so that the ends stay connected to their neighbours."""
        moved = np.asarray(self.points) + shift
        return Tube(tuple((x, y, z) for x, y, z in moved.tolist()), tuple(r * scale for r in self.radii))
