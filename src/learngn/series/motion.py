"""Motion of a series: the transforms between its reference and its frames, and what they carry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from learngn.arrays import as_numpy
from learngn.errors import SettingsError
from learngn.geometry.background import background_of
from learngn.geometry.grid import FloatArray, Grid
from learngn.geometry.image import Image
from learngn.geometry.transform import Affine, Transform
from learngn.quality import Verdict
from learngn.registration import Resolved
from learngn.series.carry import carried_labels
from learngn.series.settings import DEFORMABLE, TransformKind


@dataclass(frozen=True, eq=False)
class SeriesMotion:
    """Motion of the frames of a series.

    Attributes
    ----------
    frames : tuple of Image
        The scans, on one grid.
    reference : Image
        Scan to which all are registered: one of the frames, or their mean.
    frame : int or None
        Number of the frame that is the reference, from 0; None for the mean.
    transforms, inverses : tuple of Transform
        For every frame the transform from the reference to the frame (pull-back: it warps the frame onto the
        reference), and its inverse.
    kind : str
        ``"deformable"``, or a family of linear maps.
    verdicts : tuple of Verdict or None
        Verdict on every registration; None for the reference, and for linear maps.
    resolved : Resolved or None
        Settings of the registrations; None for linear maps.
    step : float or None
        Time from one frame to the next [s].
    smoothing : float or None
        Period of the smoothing in time [frame]; see :func:`learngn.series.smoothing.smoother`.
    seconds : dict
        Times of the stages [s].
    """

    frames: tuple[Image, ...] = field(repr=False)
    reference: Image
    frame: int | None
    transforms: tuple[Transform, ...] = field(repr=False)
    inverses: tuple[Transform, ...] = field(repr=False)
    kind: TransformKind = DEFORMABLE
    verdicts: tuple[Verdict | None, ...] = field(default=(), repr=False)
    resolved: Resolved | None = field(default=None, repr=False)
    step: float | None = None
    smoothing: float | None = None
    seconds: dict[str, float] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def grid(self) -> Grid:
        """Grid of the reference and of all frames."""
        return self.reference.grid

    def warped(self) -> Iterator[Image]:
        """Yield every frame without its motion: warped onto the reference, interpolated once."""
        outside = background_of(self.frames[0])  # one for all, so that the series does not flicker
        for frame, transform in zip(self.frames, self.transforms, strict=True):
            yield transform.warp(frame, self.grid, background=outside)

    def between(self, source: int, target: int) -> Transform:
        """Return the transform from the world of one frame to that of another, by way of the reference.

        Parameters
        ----------
        source, target : int
            Numbers of frames, from 0.

        Returns
        -------
        Transform
            Maps points of frame `source` to frame `target`, and warps the image `target` onto `source`.

        Raises
        ------
        SettingsError
            If there is no such frame.
        """
        for number in (source, target):
            check_frame(number, len(self))
        if source == target:
            return Affine.identity(self.grid.ndim)
        if source == self.frame:
            return self.transforms[target]
        if target == self.frame:
            return self.inverses[source]
        return self.inverses[source].then(self.transforms[target])

    def labels(self, labels: Image, frame: int) -> Iterator[Image]:
        """Carry a label map of one frame to all frames, in their order.

        Parameters
        ----------
        labels : Image
            Label map of `frame`.
        frame : int
            Number of its frame, from 0. There, the label map is not changed if it is on the frame's grid.

        Yields
        ------
        Image
            Label map on the grid of the frames; see :func:`learngn.series.carried_labels`.
        """
        check_frame(frame, len(self))
        for number in range(len(self)):
            if number == frame and labels.grid.same_space(self.grid):
                yield labels
            else:
                yield carried_labels(labels, self.between(number, frame), self.grid)

    def trajectories(self, points: ArrayLike, frame: int) -> FloatArray:
        """Carry points of one frame to all frames.

        Parameters
        ----------
        points : array, shape (M, D) [RAS mm]
            Points in `frame`.
        frame : int
            Number of their frame, from 0.

        Returns
        -------
        array, shape (T, M, D) [RAS mm]
            Positions in every frame.
        """
        check_frame(frame, len(self))
        return np.stack([self.between(frame, number).map_points(points) for number in range(len(self))])

    def save(self, directory: str | Path) -> Path:
        """Write the folder that ``learngn series`` writes, without labels and points; see docs/series.md.

        Raises
        ------
        OutputError
            If the folder cannot be written.
        """
        from learngn.workflow.series import save_series

        return save_series(self, Path(directory))


def mean_of(images: Sequence[Image] | Iterator[Image]) -> Image:
    """Return the mean of images on one grid, (1, 1, *S), float32."""
    total, count, grid = None, 0, None
    for image in images:
        data = as_numpy(image.data).astype(np.float64)
        total, count, grid = (data if total is None else total + data), count + 1, image.grid
    if total is None or grid is None:
        raise ValueError("no images")
    return Image((total / count).astype(np.float32), grid)


def check_frame(number: int, count: int) -> int:
    """Return the number of a frame.

    Raises
    ------
    SettingsError
        If there is no such frame.
    """
    if not 0 <= number < count:
        raise SettingsError(
            "frame", f"{number}", f"a number from 0 to {count - 1}: frames are counted from 0", "correct it"
        )
    return number
