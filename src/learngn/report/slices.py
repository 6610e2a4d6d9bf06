"""Slices of a pair before and after registration, as pictures for notebooks and figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from learngn.arrays import as_numpy
from learngn.geometry.background import background_of
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.geometry.transform import Affine, Transform
from learngn.registration import Registration
from learngn.report import volumes
from learngn.report.orientation import VIEWS, Orientation, View

SIDE = 240  # longest side of a picture [pixel]
_DARKEST = 70  # grey of the first label; background is black

Picture: TypeAlias = NDArray[np.uint8]
Tone: TypeAlias = Callable[[NDArray[Any]], Picture]


@dataclass(frozen=True, eq=False)
class Slice:
    """One of the orthogonal slices through a grid, with square pixels, in radiological convention.

    Attributes
    ----------
    view : View
    grid : Grid
        Grid of the slice: one voxel thick, or 2D.
    turn : Orientation
        Orientation of its array for the picture.
    """

    view: View
    grid: Grid
    turn: Orientation

    def of(self, image: Image, transform: Transform | None = None, outside: float | None = None) -> NDArray[Any]:
        """Return the values of an image, warped by a transform if there is one, shape (rows, columns).

        `outside` is the value outside of it, by default its background, which takes longer to find than the slice.
        """
        still = replace(image, data=as_numpy(image.data))
        moved = (transform or Affine.identity(self.grid.ndim)).warp(still, self.grid, background=outside)
        return self.picture(moved.data[0, 0])

    def picture(self, values: NDArray[Any]) -> NDArray[Any]:
        """Turn values on the slice's grid for the picture, shape (rows, columns)."""
        turned: NDArray[Any] = self.turn.volume(values)[0]
        return turned


def slices_of(grid: Grid, labels: Image | None = None) -> list[Slice]:
    """Return the three orthogonal slices through a grid, or the only one in 2D.

    They lie in the middle, or where the labels are largest.

    Parameters
    ----------
    grid : Grid
    labels : Image, optional
        Label map on the grid.
    """
    turn, pixel = Orientation.of(grid), float(grid.extent.max()) / SIDE
    place = [n // 2 for n in grid.shape]
    if labels is not None:
        array = as_numpy(labels.data)[0, 0]
        place = volumes.fullest(volumes.codes_of(array, volumes.label_values(array)))
    found = []
    for view in VIEWS[grid.ndim]:
        through = turn.order[2 - view.through] if grid.ndim == 3 else None
        first = [place[axis] if axis == through else 0 for axis in range(grid.ndim)]
        plane = grid.part(first, [1 if axis == through else n for axis, n in enumerate(grid.shape)])
        shape = [
            1 if axis == through else max(1, round(float(length) / pixel)) for axis, length in enumerate(plane.extent)
        ]
        found.append(Slice(view, plane.resized(shape), turn.facing(view) if grid.ndim == 3 else turn))
    return found


def tones_of(*images: Image) -> list[Tone]:
    """Return functions from values to greys, 0 to 255: of scans between two percentiles, of label maps by label."""
    known = sorted({label for image in images if image.labels for label in image.label_values})
    labels = np.array([0, *known])
    greys = np.array([0, *np.linspace(_DARKEST, 255, len(known))]).astype(np.uint8)

    def tone(image: Image) -> Tone:
        if image.labels:
            return lambda values: greys[np.searchsorted(labels, values)]
        window = volumes.window_of(as_numpy(image.data)[0, 0])
        return lambda values: volumes.grey(values, window)

    return [tone(image) for image in images]


def before_and_after(registration: Registration) -> list[tuple[Slice, Picture, Picture]]:
    """Return every slice of a registration with the fixed and the moving scan over each other, before and after.

    Pictures have the shape (rows, columns, 3), in the colours of the report: grey where both scans agree, orange where
    the fixed one is brighter, blue where the moving one is.
    """
    fixed, moving = registration.fixed, registration.moving
    tones, found = tones_of(fixed, moving), []
    outside = background_of(moving)
    for cut in slices_of(fixed.grid, registration.pair.fixed.labels):
        still = tones[0](cut.of(fixed, outside=0.0))  # the slice lies within it
        before, after = (tones[1](cut.of(moving, by, outside)) for by in (None, registration.transform))
        found.append((cut, _overlay(still, before), _overlay(still, after)))
    return found


def _overlay(fixed: Picture, moving: Picture) -> Picture:
    mean = ((fixed.astype(np.uint16) + moving) // 2).astype(np.uint8)
    return np.stack([fixed, mean, moving], axis=-1)


def jpeg(picture: Picture, quality: int = 85) -> bytes:
    """Return a picture, grey or RGB, as JPEG."""
    grey = picture.ndim == 2
    pixels = np.ascontiguousarray(picture[..., None] if grey else picture)
    return simplejpeg.encode_jpeg(pixels, quality, colorspace="GRAY" if grey else "RGB")  # type: ignore[no-any-return]
