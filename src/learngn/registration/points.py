"""Landmarks and key points of a call: from files or arrays, checked."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from learngn.errors import LandmarkError
from learngn.geometry.grid import FloatArray, Grid
from learngn.io import Landmarks, read_landmarks
from learngn.optimise import LandmarkPairs

PointsLike: TypeAlias = str | Path | ArrayLike
"""Points that functions take: a file, see :func:`learngn.io.read_landmarks`, or an array, shape (M, D) [RAS mm]."""


def read_points(source: PointsLike, grid: Grid, what: str) -> Landmarks:
    """Return points in the world of an image.

    Parameters
    ----------
    source : PointsLike
    grid : Grid
        Grid of the image.
    what : str
        Name for error messages: "fixed landmarks".

    Raises
    ------
    LandmarkError
        If the file cannot be read, or the array is not finite or has another dimension than the image.
    """
    if isinstance(source, str | Path):
        return read_landmarks(source, grid)
    points = Landmarks(np.asarray(source, dtype=np.float64), "ras")
    if points.points.shape[1] != grid.ndim:
        raise LandmarkError(
            what, f"shape {points.points.shape}", f"(M, {grid.ndim}), RAS mm", "pass the points of this image"
        )
    return points


def read_landmark_pair(
    sources: tuple[PointsLike | None, PointsLike | None], grids: tuple[Grid, Grid]
) -> tuple[FloatArray | None, FloatArray | None]:
    """Return the landmarks of both images, shape (M, D) [RAS mm]; None for an image without.

    Parameters
    ----------
    sources : (PointsLike or None, PointsLike or None)
    grids : (Grid, Grid)
        Grids of the images' files.

    Raises
    ------
    LandmarkError
        If a file cannot be read, or an array is not finite or has another dimension than its image.
    """
    fixed, moving = (
        None if source is None else read_points(source, grid, f"{side} landmarks")
        for source, grid, side in zip(sources, grids, ("fixed", "moving"), strict=True)
    )
    if fixed is not None and moving is not None:
        fixed, moving = corresponding(fixed, moving)
    return None if fixed is None else fixed.points, None if moving is None else moving.points


def corresponding(fixed: Landmarks, moving: Landmarks) -> tuple[Landmarks, Landmarks]:
    """Return the points of two images that correspond: by their order, or by name if one list is longer.

    Lists of different lengths whose points have names, or numbers, keep the names that occur in both, in the order of
    the fixed image. Others are returned unchanged.
    """
    if len(fixed.points) == len(moving.points) or fixed.names is None or moving.names is None:
        return fixed, moving
    names = [name for name in fixed.names if name and name in set(moving.names)]
    if not names or any(len(set(points.names or ())) < len(points.points) for points in (fixed, moving)):
        return fixed, moving
    return _named(fixed, names), _named(moving, names)


def _named(landmarks: Landmarks, names: list[str]) -> Landmarks:
    """Return the points with these names, in their order."""
    rows = [(landmarks.names or ()).index(name) for name in names]
    weights = None if landmarks.weights is None else landmarks.weights[rows]
    return Landmarks(landmarks.points[rows], landmarks.space, tuple(names), weights)


def read_keypoints(
    sources: tuple[PointsLike, PointsLike], grids: tuple[Grid, Grid], weight: float = 1.0, scale: float = float("inf")
) -> LandmarkPairs:
    """Return corresponding key points of both images; a column ``weight`` in files is their confidence.

    Parameters
    ----------
    sources : (PointsLike, PointsLike)
        Points of the fixed and of the moving image, in the same order.
    grids : (Grid, Grid)
        Grids of both images.
    weight, scale
        See :class:`learngn.optimise.LandmarkPairs`.

    Raises
    ------
    LandmarkError
        If a file cannot be read, or the numbers of points differ.
    """
    found = (
        read_points(source, grid, f"{side} key points")
        for source, grid, side in zip(sources, grids, ("fixed", "moving"), strict=True)
    )
    fixed, moving = corresponding(*found)
    trust = [points.weights for points in (fixed, moving) if points.weights is not None]
    confidence: FloatArray | None = None
    if trust and len(fixed.points) == len(moving.points):
        confidence = np.prod(trust, axis=0)
    return LandmarkPairs(fixed.points, moving.points, weight, confidence, scale)
