"""Registration of all frames of a series to one of them, or to their mean."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from learngn.clock import Clock
from learngn.errors import ImageError, SettingsError
from learngn.geometry.background import background_of
from learngn.geometry.grid import FloatArray
from learngn.geometry.image import Image, check_scan
from learngn.geometry.transform import Transform
from learngn.registration import Request
from learngn.series.deformable import DeformableMotion
from learngn.series.linear import LinearMotion
from learngn.series.motion import SeriesMotion, check_frame, mean_of
from learngn.series.settings import DEFORMABLE, TransformKind, check_transform, series_request
from learngn.series.smoothing import smoother

_LOG = logging.getLogger(__name__)
_FEWEST = 2  # frames of a series


def _ignore(*_: object) -> None:
    """Ignore an event."""


@dataclass(frozen=True)
class SeriesEvents:
    """Functions called while a series is registered, to show progress.

    Attributes
    ----------
    begins : callable
        Called with the number of registrations.
    step : callable
        Called before every registration, with the number of the frame.
    stage : callable
        Called with the name of every later stage.
    """

    begins: Callable[[int], None] = _ignore
    step: Callable[[int], None] = _ignore
    stage: Callable[[str], None] = _ignore


class Motion(Protocol):
    """Motion of all frames, while it is found."""

    def align(self, number: int, reference: Image, neighbour: int) -> None:
        """Register a frame to a reference, from the motion of a neighbour, or from its own so far."""

    def recentre(self) -> None:
        """Change the reference so that the mean of the transforms is the identity."""

    def smooth(self, weights: FloatArray) -> None:
        """Replace the motion of every frame by a weighted sum of that of all frames."""

    def transforms(self) -> tuple[Transform, ...]:
        """Return the transforms from the reference to every frame."""

    def inverses(self) -> tuple[Transform, ...]:
        """Return the transforms from every frame to the reference."""


def register_frames(
    frames: Sequence[Image],
    *,
    frame: int | None = None,
    transform: TransformKind = DEFORMABLE,
    request: Request | None = None,
    rounds: int = 3,
    smooth: float | None = None,
    step: float | None = None,
    events: SeriesEvents | None = None,
) -> SeriesMotion:
    """Register all frames of a series to one of them, or to their mean.

    Frames are registered in the order of their distance in time from the reference, each from the motion of its
    neighbour. Without a chosen frame, all are registered to the middle one first. Then their mean in their mean shape
    (the mean of the transforms is the identity) becomes the reference, and all are registered to it from the motion
    found so far, until there were `rounds` rounds: no frame is preferred.

    Parameters
    ----------
    frames : sequence of Image
        Scans on one grid, in the order of time.
    frame : int, optional
        Number of the reference, from 0; by default the mean.
    transform : str
        ``"deformable"``, or a family of linear maps: ``"rigid"`` corrects the motion of a head.
    request : Request, optional
        Features and settings; by default :data:`learngn.series.SERIES`. Of a linear transform, the features alone.
    rounds : int
        Number of registrations of every frame, for a series without a chosen frame.
    smooth : float, optional
        Smooth the motion in time: period of which half is kept [frame]; see
        :func:`learngn.series.smoothing.smoother`.
    step : float, optional
        Time from one frame to the next [s], for the result.
    events : SeriesEvents, optional

    Returns
    -------
    SeriesMotion

    Raises
    ------
    ImageError
        If there are fewer than two frames, they are not on one grid, or one is constant.
    SettingsError
        If there is no such frame or transform, or a setting does not suit a series.
    LearnGNError
        If a frame cannot be registered.
    """
    frames, kind, events, clock = tuple(frames), check_transform(transform), events or SeriesEvents(), Clock()
    _check_frames(frames)
    if frame is not None:
        check_frame(frame, len(frames))
    if rounds < 1:
        raise SettingsError("rounds", str(rounds), "one at least", "leave it out")
    weights = None if smooth is None else smoother(len(frames), smooth, frame)
    deformable = DeformableMotion(frames, series_request(request, frames[0].grid)) if kind == DEFORMABLE else None
    motion: Motion = LinearMotion(frames, kind, request) if deformable is None else deformable
    start = len(frames) // 2 if frame is None else frame
    rounds = rounds if frame is None else 1
    events.begins(rounds * len(frames) - 1)
    with clock.stage("register"):
        for number, neighbour in outwards(start, len(frames)):
            events.step(number)
            motion.align(number, frames[start], neighbour)
        for done in range(1, rounds):
            motion.recentre()
            mean = _mean(frames, motion)
            _LOG.info("round %d: registering all frames to their mean", done + 1)
            for number in range(len(frames)):
                events.step(number)
                motion.align(number, mean, number)
        if frame is None:
            motion.recentre()
    if weights is not None:
        events.stage("smoothing in time")
        with clock.stage("smooth"):
            motion.smooth(weights)
    return SeriesMotion(
        frames=frames,
        reference=_mean(frames, motion) if frame is None else frames[frame],
        frame=frame,
        transforms=motion.transforms(),
        inverses=motion.inverses(),
        kind=kind,
        verdicts=(None,) * len(frames) if deformable is None else tuple(deformable.verdicts),
        resolved=None if deformable is None else deformable.resolved,
        step=step,
        smoothing=smooth,
        seconds=clock.seconds,
    )


def outwards(start: int, count: int) -> list[tuple[int, int]]:
    """Return all frames but one by their distance in time from it, each with its neighbour on the way there."""
    others = [number for number in range(count) if number != start]
    ordered = sorted(others, key=lambda number: (abs(number - start), number))
    return [(number, number + 1 if number < start else number - 1) for number in ordered]


def _mean(frames: Sequence[Image], motion: Motion) -> Image:
    """Return the mean of the frames on the reference."""
    outside, grid = background_of(frames[0]), frames[0].grid
    pairs = zip(frames, motion.transforms(), strict=True)
    return mean_of(transform.warp(frame, grid, background=outside) for frame, transform in pairs)


def _check_frames(frames: Sequence[Image]) -> None:
    if len(frames) < _FEWEST:
        raise ImageError(
            "series", f"{len(frames)} frame{'' if len(frames) == 1 else 's'}", "two frames or more",
            "name a 4D file, a folder, or several files",
        )  # fmt: skip
    for number, image in enumerate(frames):
        if not image.grid.same_space(frames[0].grid):
            raise ImageError(
                f"frame {number} of the series", f"another grid ({image.grid})", f"that of frame 0 ({frames[0].grid})",
                "resample it first: learngn apply FRAME --identity --reference FRAME_0 -o OUT",
            )  # fmt: skip
        check_scan(image, f"frame {number} of the series")
