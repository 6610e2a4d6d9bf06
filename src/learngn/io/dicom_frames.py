"""A folder of DICOM slices, read as a series in time: the volumes of one series, or one series for every frame."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from learngn.io.dicom import read_volume, series_of, wrong_number
from learngn.io.dicom_slices import Slice, volumes_of
from learngn.io.itk import quietly

_SERIES_NUMBER = "0020|0011"
_CLOCKS = ("acquisition time", "content time")  # hours, minutes and seconds as HHMMSS.F
_MILLISECONDS = ("trigger time",)
_UNEQUAL = 0.2  # tolerance of the times of frames, as a fraction of the time between them


class _Volume(NamedTuple):
    """Slices of one frame, with their place in the order of frames and their time [s], if it is known."""

    order: float
    time: float | None
    name: str
    slices: list[Slice]


def read_dicom_frames(folder: Path) -> tuple[list[Any], float | None]:
    """Read the frames of a series in a folder of DICOM slices.

    The folder, or its subfolders, hold either one series of several volumes, told apart by trigger time, temporal
    position, acquisition time or repetition, or several series of one volume each, as the phases of a 4D CT often are.
    Frames are in the order of their times, or of the numbers of their series.

    Returns
    -------
    images : list of SimpleITK.Image
        3D, rescaled as each slice says.
    step : float or None
        Time from one frame to the next [s], if the slices tell it.

    Raises
    ------
    ImageError
        If there is no series, or several that are not the frames of one; if slices are missing.
    """
    with quietly():
        series = series_of(folder)
    if not series:
        raise wrong_number(folder, series)
    if len(series) == 1:
        (slices,) = series.values()
        volumes = [_volume(name, group, number) for number, (name, group) in enumerate(volumes_of(slices).items())]
    else:
        volumes = _one_each(folder, series)
    volumes.sort(key=lambda volume: volume.order)
    images = [read_volume(f"DICOM folder {folder}, {one.name or 'its only volume'}", one.slices) for one in volumes]
    return images, _step([volume.time for volume in volumes])


def _one_each(folder: Path, series: Mapping[str, list[Slice]]) -> list[_Volume]:
    """Return series of one volume each, with the same number of slices and the same size."""
    kinds = {(len(slices), slices[0].size) for slices in series.values()}
    if len(kinds) > 1 or any(len(volumes_of(slices)) > 1 for slices in series.values()):
        raise wrong_number(folder, dict(series))
    found = []
    for slices in series.values():
        number = slices[0].tags.get(_SERIES_NUMBER, "")
        found.append(_Volume(_number(number, 0.0), None, f"series {number}", slices))
    # The phases of a 4D CT are often named by their percentage, and numbered in any order.
    phases = [_phase(volume.slices[0].title) for volume in found]
    if None not in phases and len(set(phases)) == len(phases):
        found = [one._replace(order=phase) for one, phase in zip(found, phases, strict=True) if phase is not None]
    return found


def _volume(name: str, slices: list[Slice], number: int) -> _Volume:
    """Read the time in the name that :func:`volumes_of` gives to a group, such as ``trigger time 40``."""
    kind, _, value = name.rpartition(" ")
    known = _number(value, float("nan"))
    if not np.isfinite(known):
        return _Volume(float(number), None, name, slices)
    if kind in _CLOCKS:
        whole, rest = divmod(known, 100)
        known = whole // 100 * 3600 + whole % 100 * 60 + rest
        return _Volume(known, known, name, slices)
    return _Volume(known, known / 1000 if kind in _MILLISECONDS else None, name, slices)


def _step(times: Sequence[float | None]) -> float | None:
    """Return the time between frames, if all are known and at about equal distances."""
    known = [time for time in times if time is not None]
    if len(known) < 2 or len(known) < len(times):
        return None
    steps = np.diff(known)
    step = float(np.mean(steps))
    return step if step > 0 and float(np.abs(steps - step).max()) <= _UNEQUAL * step else None


def _phase(title: str) -> float | None:
    found = re.findall(r"(\d+(?:\.\d+)?)\s*%", title)
    return float(found[-1]) if found else None


def _number(text: str, otherwise: float) -> float:
    try:
        return float(text)
    except ValueError:
        return otherwise
