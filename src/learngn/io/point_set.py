"""Base of points, meshes and streamlines: objects made of points, which a transform carries."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

import numpy as np

from learngn.errors import LearnGNError
from learngn.geometry.carrying import Carried, carry
from learngn.geometry.grid import FloatArray
from learngn.geometry.transform import Transform

World = Literal["lps", "ras"]
_Self = TypeVar("_Self", bound="PointSet")


class PointSet(ABC):
    """Geometry made of points in the world: landmarks, a mesh or streamlines."""

    kind: ClassVar[str]
    points: FloatArray  # (M, D) [RAS mm]

    @abstractmethod
    def carried(self: _Self, carried: Carried) -> _Self:
        """Return the same geometry with its points replaced by carried ones; normals are turned with them.

        Parameters
        ----------
        carried : Carried
            These points, in this order, as :func:`learngn.geometry.carrying.carry` returns them.
        """

    def map(self: _Self, transform: Transform, *, inverse: bool = False) -> _Self:
        """Carry the geometry of the fixed image to the moving image, or with `inverse` that of the moving image back.

        Parameters
        ----------
        transform : Transform
            From the fixed to the moving image, as a registration returns it.
        inverse : bool
            Whether the geometry lies in the moving image.

        Raises
        ------
        ShapeError
            If the transform has another dimension.
        """
        return self.carried(carry(transform, self.points, inverse=inverse))

    def lost_in(self, path: Path) -> tuple[str, ...]:
        """Return what a file of this name would not hold, in the user's terms; nothing if it holds everything."""
        return ()


def checked_points(points: FloatArray, what: str, error: type[LearnGNError]) -> FloatArray:
    """Return points as float64; raise `error` unless there are some, all in 3D and finite."""
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3:
        raise error(what, f"points of shape {points.shape}", "(M, 3)", "pass a row for each point")
    if not len(points):
        raise error(what, "no points", "at least one", "check the file")
    if not np.isfinite(points).all():
        count = int((~np.isfinite(points).all(axis=1)).sum())
        raise error(what, f"{count} points that are not finite", "finite coordinates", "remove these points")
    return points
