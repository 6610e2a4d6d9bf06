"""Motion of a series of scans, from files to a result folder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from learngn._version import __version__
from learngn.clock import Clock
from learngn.errors import header_warnings
from learngn.geometry.grid import FloatArray, Grid
from learngn.geometry.image import Image
from learngn.interop import ImageLike, as_image
from learngn.io import TimeSeries, labels_on, read_time_series, write_json, write_text
from learngn.memory import give_back, peak_bytes
from learngn.registration import Request
from learngn.registration.pair import check_labels
from learngn.registration.points import PointsLike, read_points
from learngn.report.series import page_of_series
from learngn.results import check_inputs_kept, result_folder, sha256
from learngn.results.series import series_files, write_series_files
from learngn.series import SeriesMotion, ejection_fraction, label_volumes, register_frames
from learngn.series.motion import check_frame
from learngn.series.register import SeriesEvents
from learngn.series.settings import DEFORMABLE, TransformKind
from learngn.series.tables import motion_rows, trajectories_csv, volumes_csv

SeriesLike: TypeAlias = str | Path | Sequence[ImageLike]
"""A 4D file, a folder of frames or of DICOM slices, or a sequence of files or images."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Carried:
    """Labels and points that are carried from one frame to all others.

    Attributes
    ----------
    labels : Image, optional
        Label map on the grid of the frames.
    labels_frame : int
        Number of its frame, from 0.
    points : array, shape (M, D) [RAS mm], optional
    points_frame : int
    point_names : tuple of str, optional
    label_names : dict
    """

    labels: Image | None = None
    labels_frame: int = 0
    points: FloatArray | None = None
    points_frame: int = 0
    point_names: tuple[str, ...] | None = None
    label_names: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        grid: Grid,
        labels: ImageLike | None = None,
        points: PointsLike | None = None,
        frames: tuple[int, int] = (0, 0),
        label_names: Mapping[int, str] | None = None,
    ) -> Carried:
        """Read labels and points of the frames with the given numbers.

        Raises
        ------
        LearnGNError
            If one cannot be read, or does not fit the grid of the frames.
        """
        label_map = None
        if labels is not None:
            image = as_image(labels, labels=True)
            check_labels(image, "labels")
            label_map = labels_on(image, grid, f"labels of frame {frames[0]}")
        found = None if points is None else read_points(points, grid, f"points of frame {frames[1]}")
        if found is None:
            return cls(label_map, frames[0], label_names=label_names or {})
        return cls(label_map, frames[0], found.points, frames[1], found.names, label_names or {})


def register_series(
    source: SeriesLike,
    *,
    frame: int | None = None,
    transform: TransformKind = DEFORMABLE,
    request: Request | None = None,
    rounds: int = 3,
    smooth: float | None = None,
    events: SeriesEvents | None = None,
) -> SeriesMotion:
    """Register all frames of a series to one of them, or to their mean.

    Parameters
    ----------
    source : SeriesLike
        A 4D file, a folder of frames or of DICOM slices (see :func:`learngn.io.read_time_series`), or a sequence of
        files or images.
    frame : int, optional
        Number of the reference, from 0; by default the mean of all frames.
    transform, request, rounds, smooth, events
        See :func:`learngn.series.register_frames`.

    Returns
    -------
    SeriesMotion
        Carries label maps and points from one frame to all others, and saves the files of ``learngn series``.

    Raises
    ------
    LearnGNError
        If a file cannot be read, or the series cannot be registered.
    """
    series = _read(source)
    return register_frames(
        series.frames, frame=frame, transform=transform, request=request, rounds=rounds, smooth=smooth,
        step=series.step, events=events,
    )  # fmt: skip


@dataclass(frozen=True)
class SeriesOptions:
    """Options for the motion; see :func:`learngn.series.register_frames`."""

    frame: int | None = None
    transform: TransformKind = DEFORMABLE
    rounds: int = 3
    smooth: float | None = None


@dataclass(frozen=True)
class CarriedFiles:
    """Files of one frame that are carried to all others.

    Attributes
    ----------
    labels, points : path, optional
        Label map and points.
    labels_frame, points_frame : int, optional
        Number of their frame, from 0; by default that of the reference.
    label_names : dict, optional
        Names of the labels.
    """

    labels: str | Path | None = None
    labels_frame: int | None = None
    points: str | Path | None = None
    points_frame: int | None = None
    label_names: Mapping[int, str] | None = None


def register_series_files(
    paths: Sequence[str | Path],
    output: str | Path,
    request: Request | None = None,
    *,
    options: SeriesOptions | None = None,
    carry: CarriedFiles | None = None,
    report: bool = True,
    command: str = "",
    events: SeriesEvents | None = None,
    ends: Callable[[Path], None] | None = None,
) -> dict[str, Any]:
    """Register a series and write its folder, as ``learngn series`` does: all files or none.

    Parameters
    ----------
    paths : sequence of path
        See :func:`learngn.io.read_time_series`.
    output : path
        Result folder, created if necessary.
    request, events
        See :func:`learngn.series.register_frames`.
    options : SeriesOptions, optional
        Reference, kind of motion, and smoothing.
    carry : CarriedFiles, optional
        Labels and points of one frame.
    report : bool
        Write ``report.html``.
    command : str
        Command line that repeats the run.
    ends : callable, optional
        Called with the folder in which all files have been written, before they are moved.

    Returns
    -------
    dict
        Content of ``metrics.json``, see docs/series.md.

    Raises
    ------
    LearnGNError
        If a file cannot be read, the series cannot be registered, or the folder cannot be written.
    """
    output, events, clock = Path(output), events or SeriesEvents(), Clock()
    options, carry = options or SeriesOptions(), carry or CarriedFiles()
    with clock.stage("read"), header_warnings() as notes:
        series = read_time_series(paths)
        count = len(series.frames)
        place = 0 if options.frame is None else check_frame(options.frame, count)
        places = tuple(
            place if one is None else check_frame(one, count) for one in (carry.labels_frame, carry.points_frame)
        )
        carried = Carried.read(
            series.frames[0].grid, carry.labels, carry.points, (places[0], places[1]), carry.label_names
        )
    given = {"labels": carry.labels, "points": carry.points}
    inputs = {f"series_{n}" if len(paths) > 1 else "series": path for n, path in enumerate(series.paths)}
    inputs |= {role: Path(path) for role, path in given.items() if path is not None}
    names = series_files(count, output)
    check_inputs_kept(inputs, output, names)
    with result_folder(output, names) as folder:
        motion = register_frames(
            series.frames, frame=options.frame, transform=options.transform, request=request, rounds=options.rounds,
            smooth=options.smooth, step=series.step, events=events,
        )  # fmt: skip
        events.stage("writing")
        clock.seconds.update(motion.seconds)
        metrics = _write(motion, folder, carried, clock, inputs=inputs, command=command, notes=notes, report=report)
        if ends is not None:
            ends(folder)
    return metrics


def save_series(motion: SeriesMotion, directory: Path) -> Path:
    """Write the folder of a series; see :meth:`learngn.series.SeriesMotion.save`."""
    inputs = {f"frame_{n}": frame.path for n, frame in enumerate(motion.frames) if frame.path is not None}
    names = series_files(len(motion), directory)
    check_inputs_kept(inputs, directory, names)
    with result_folder(directory, names) as folder:
        _write(motion, folder, Carried(), Clock(dict(motion.seconds)))
    return directory


def _write(
    motion: SeriesMotion,
    folder: Path,
    carried: Carried,
    clock: Clock,
    *,
    inputs: Mapping[str, Path] | None = None,
    command: str = "",
    notes: Sequence[str] = (),
    report: bool = True,
) -> dict[str, Any]:
    """Write all files of a series, and return the content of ``metrics.json``."""
    give_back()
    with clock.stage("carry"):
        labels = [] if carried.labels is None else list(motion.labels(carried.labels, carried.labels_frame))
        more = _carried_metrics(motion, folder, carried)
    with clock.stage("write"):
        change = write_series_files(motion, folder, labels)
    rows = motion_rows(motion)
    metrics: dict[str, Any] = {
        "version": __version__,
        "command": command,
        "inputs": {
            role: {"path": str(path.resolve()), "sha256": sha256(path)} for role, path in (inputs or {}).items()
        },
        "transform": motion.kind,
        "reference": "mean" if motion.frame is None else motion.frame,
        "settings": None if motion.resolved is None else motion.resolved.settings.as_dict(),
        "smooth_in_time": motion.smoothing,
        "step_s": motion.step,
        "frames": rows,
        "change_in_time": change,
        **more,
        "seconds": {**clock.seconds, "total": sum(clock.seconds.values())},
        "peak_memory_mb": peak_bytes() / 2**20,
        "warnings": [*notes, *_warnings(rows)],
    }
    write_json(metrics, folder / "metrics.json")
    if report:
        write_text(page_of_series(motion, metrics, labels=labels), folder / "report.html")
    for warning in metrics["warnings"]:
        _LOG.info("warning: %s", warning)
    return metrics


def _carried_metrics(motion: SeriesMotion, folder: Path, carried: Carried) -> dict[str, Any]:
    """Write the tables of labels and points, and return what of them belongs to ``metrics.json``."""
    found: dict[str, Any] = {}
    if carried.labels is not None:
        known = carried.labels.label_values
        volumes = label_volumes(motion, carried.labels, carried.labels_frame)
        names = carried.label_names
        table = volumes_csv(volumes, carried.labels_frame, motion.step, names, motion.grid.ndim)
        write_text(table, folder / "volumes.csv")
        found["labels_frame"] = carried.labels_frame
        found["volume_unit"] = "ml" if motion.grid.ndim == 3 else "mm²"
        found["labels"] = {}
        for label in known:
            values = [one.volume for one in volumes if one.label == label]
            found["labels"][str(label)] = {
                "name": names.get(label, ""), "volumes": values, "ejection_fraction": ejection_fraction(values)
            }  # fmt: skip
    if carried.points is not None:
        paths = motion.trajectories(carried.points, carried.points_frame)
        table = trajectories_csv(paths, carried.points_frame, motion.step, carried.point_names)
        write_text(table, folder / "trajectories.csv")
        moved = np.linalg.norm(paths - paths[carried.points_frame], axis=-1)
        titles = carried.point_names or [f"{n + 1}" for n in range(len(carried.points))]
        found["points_frame"] = carried.points_frame
        found["trajectories"] = [
            {"name": title, "moved_mm": way.tolist()} for title, way in zip(titles, moved.T, strict=True)
        ]
    return found


def _warnings(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    doubtful = [f"{row['frame']} ({row['verdict']})" for row in rows if row["verdict"] not in (None, "ok")]
    folded = [str(row["frame"]) for row in rows if row.get("smallest_jacobian", 1.0) <= 0]
    messages = [f"The verdict on some frames is not ok: {', '.join(doubtful)}."] if doubtful else []
    if folded:
        messages.append(f"The motion of some frames folds: {', '.join(folded)}. Raise the last λ.")
    return messages


def _read(source: SeriesLike) -> TimeSeries:
    if isinstance(source, str | Path):
        return read_time_series([source])
    paths = [path for path in source if isinstance(path, str | Path)]
    if paths and len(paths) == len(source):
        return read_time_series(paths)
    return TimeSeries(tuple(as_image(image) for image in source), None, ())
