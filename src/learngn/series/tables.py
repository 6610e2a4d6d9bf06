"""Tables of a series: volumes of labels, motion of frames, trajectories of points."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learngn.arrays import as_numpy
from learngn.geometry.grid import FloatArray, Grid, apply_affine
from learngn.geometry.image import Image
from learngn.geometry.transform import Affine
from learngn.series.motion import SeriesMotion

_ML = 1000.0  # mm³


@dataclass(frozen=True)
class LabelVolume:
    """Volume of a label in a frame.

    Attributes
    ----------
    frame : int
        From 0.
    label : int
    volume : float
        Volume [ml]; in 2D, area [mm²].
    """

    frame: int
    label: int
    volume: float


def label_volumes(motion: SeriesMotion, labels: Image, frame: int) -> list[LabelVolume]:
    """Measure the volume of labels in all frames.

    The Jacobian determinant of the motion is summed over the voxels of a label in its own frame. This follows changes
    far below a voxel; counting the voxels of carried label maps does not.

    Parameters
    ----------
    motion : SeriesMotion
    labels : Image
        Label map of `frame`.
    frame : int
        Number of its frame, from 0.
    """
    codes, found = as_numpy(labels.data).reshape(-1), []
    known = np.flatnonzero(codes)
    unit = _unit(labels.grid)
    for number in range(len(motion)):
        determinant = as_numpy(motion.between(frame, number).on(labels.grid).jacobian_determinant()).reshape(-1)
        sums = np.bincount(codes[known], determinant[known].astype(np.float64))
        found += [LabelVolume(number, label, float(sums[label]) * unit) for label in labels.label_values]
    return found


def ejection_fraction(volumes: Sequence[float]) -> float:
    """Return the largest volume minus the smallest, as a fraction of the largest [%]; of a ventricle, its EF."""
    largest = max(volumes, default=0.0)
    return 100 * (largest - min(volumes)) / largest if largest > 0 else 0.0


def volumes_csv(
    volumes: Sequence[LabelVolume], frame: int, step: float | None, names: Mapping[int, str], ndim: int = 3
) -> str:
    """Return a table with a row for every frame and label: volume, and change from the labelled frame [%]."""
    first = {one.label: one.volume for one in volumes if one.frame == frame}
    rows = [
        [
            one.frame,
            _time(one.frame, step),
            one.label,
            names.get(one.label, ""),
            f"{one.volume:.6g}",
            f"{100 * (one.volume / first[one.label] - 1):.4g}" if first.get(one.label) else "",
        ]
        for one in volumes
    ]
    unit = "volume_ml" if ndim == 3 else "area_mm2"
    return _csv(["frame", "time_s", "label", "name", unit, "change_percent"], rows)


def trajectories_csv(points: FloatArray, frame: int, step: float | None, names: Sequence[str] | None) -> str:
    """Return a table with a row for every frame and point: position [RAS mm], and way from the first frame [mm].

    Parameters
    ----------
    points : array, shape (T, M, D) [RAS mm]
    frame : int
        Frame in which the points were placed.
    step : float, optional
        Time from one frame to the next [s].
    names : sequence of str, optional
    """
    axes = ("x_ras", "y_ras", "z_ras")[: points.shape[2]]
    rows = []
    for number, places in enumerate(points):
        for index, place in enumerate(places):
            name = names[index] if names else f"{index + 1}"
            moved = float(np.linalg.norm(place - points[frame, index]))
            rows.append(
                [number, _time(number, step), index + 1, name, *(f"{x:.4f}" for x in place.tolist()), f"{moved:.4f}"]
            )
    return _csv(["frame", "time_s", "point", "name", *axes, "moved_mm"], rows)


def motion_rows(motion: SeriesMotion) -> list[dict[str, Any]]:
    """Return numbers on the motion of every frame.

    For a linear transform these are the translation of the grid's centre [mm], the rotation [degree] about its axes,
    and the mean distance over the grid from the position in the reference and in the frame before [mm]; for a
    deformable one, the mean, the 95th percentile and the largest length of the displacement [mm], and the smallest
    Jacobian determinant.
    """
    rows: list[dict[str, Any]] = []
    for number, transform in enumerate(motion.transforms):
        row: dict[str, Any] = {"frame": number, "time_s": None if motion.step is None else number * motion.step}
        if isinstance(transform, Affine):
            before = motion.transforms[max(0, number - 1)]
            row |= _linear_row(transform, before, motion.grid)
        else:
            on_grid = transform.on(motion.grid)
            length = _lengths(as_numpy(on_grid.displacement()), motion.grid)
            row |= {
                "mean_mm": float(length.mean()),
                "p95_mm": float(np.percentile(length, 95)),
                "largest_mm": float(length.max()),
                "smallest_jacobian": float(as_numpy(on_grid.jacobian_determinant()).min()),
            }
        verdict = motion.verdicts[number] if motion.verdicts else None
        row["verdict"] = None if verdict is None else verdict.status
        rows.append(row)
    return rows


def motion_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the numbers on the motion of every frame as a table."""
    keys = [key for key in rows[0] if any(row[key] is not None for row in rows)]
    cells = [
        ["" if row[key] is None else f"{row[key]:.5g}" if isinstance(row[key], float) else row[key] for key in keys]
        for row in rows
    ]
    return _csv(keys, cells)


def _linear_row(transform: Affine, before: object, grid: Grid) -> dict[str, float]:
    centre, matrix = grid.centre, transform.matrix
    shift = apply_affine(matrix, centre) - centre
    row = {f"{axis}_mm": float(value) for axis, value in zip("xyz", shift, strict=False)}
    row |= {f"r{axis}_deg": angle for axis, angle in _angles(matrix[:-1, :-1]).items()}
    row["mean_mm"] = _apart(transform, Affine.identity(grid.ndim), grid)
    row["from_frame_before_mm"] = _apart(transform, before, grid) if isinstance(before, Affine) else 0.0
    return row


def _angles(linear: FloatArray) -> dict[str, float]:
    """Return the rotation about every axis of the world [degree]: its vector, or in 2D its angle about z."""
    left, _, right = np.linalg.svd(linear)
    rotation = left @ right
    if len(rotation) == 2:
        return {"z": float(np.degrees(np.arctan2(rotation[1, 0], rotation[0, 0])))}
    skew = np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]])
    sine, cosine = np.linalg.norm(skew) / 2, (np.trace(rotation) - 1) / 2
    angle = np.arctan2(sine, cosine)
    vector = skew / 2 * (angle / sine if sine > 1e-12 else 1.0)
    return {axis: float(np.degrees(value)) for axis, value in zip("xyz", vector, strict=True)}


def _apart(first: Affine, second: Affine, grid: Grid) -> float:
    """Return the mean distance between two maps over a grid's corners and centre [mm]."""
    ends = [(-0.5, n - 0.5) for n in grid.shape]
    corners = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, grid.ndim)
    points = np.concatenate([grid.index_to_world(corners), grid.centre[None]])
    return float(np.linalg.norm(first.map_points(points) - second.map_points(points), axis=1).mean())


def _lengths(field: NDArray[Any], grid: Grid) -> NDArray[Any]:
    moved = grid.affine[:-1, :-1].astype(np.float32) @ field.reshape(grid.ndim, -1)
    return np.asarray(np.sqrt((moved**2).sum(axis=0)))


def _unit(grid: Grid) -> float:
    voxel = float(np.prod(grid.spacing))
    return voxel / _ML if grid.ndim == 3 else voxel


def _time(frame: int, step: float | None) -> str:
    return "" if step is None else f"{frame * step:.6g}"


def _csv(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    return text.getvalue()
