"""Series of scans in time, in any of the forms in which they are stored."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from learngn.errors import ImageError
from learngn.geometry.image import Image
from learngn.io.dicom_frames import read_dicom_frames
from learngn.io.files import IMAGE_SUFFIXES, check_exists, suffix_of
from learngn.io.images import read_image
from learngn.io.itk import source_of
from learngn.io.series import frame_step, read_frames
from learngn.io.source import image_of

_FILES = (*IMAGE_SUFFIXES, ".mgh", ".mgz", ".jpg", ".jpeg")


@dataclass(frozen=True, eq=False)
class TimeSeries:
    """Frames of a series.

    Attributes
    ----------
    frames : tuple of Image
        (1, 1, *S) each, in the order of time.
    step : float or None
        Time from one frame to the next [s], if the files tell it.
    paths : tuple of Path
        Files and folders from which they were read.
    """

    frames: tuple[Image, ...]
    step: float | None
    paths: tuple[Path, ...]


def read_time_series(paths: Sequence[str | Path]) -> TimeSeries:
    """Read a series of scans.

    Parameters
    ----------
    paths : sequence of Path
        - one file of several volumes (4D), such as NIfTI;
        - a folder of image files, one for every frame, in the natural order of their names (``2`` before ``10``);
        - a folder of DICOM slices, with several volumes in one series, or a series for every frame;
        - several files of one volume each, in the given order.

    Raises
    ------
    ImageError
        If there is no file, a file is not an image, or several files are named of which one has several volumes.
    LearnGNError
        As :func:`learngn.io.read_image` does.
    """
    given = tuple(Path(path) for path in paths)
    if not given:
        raise ImageError("series", "no files", "a 4D file, a folder, or several files", "name them")
    for path in given:
        check_exists(path, "series", ImageError)
    if len(given) > 1:
        return TimeSeries(tuple(read_image(path) for path in given), None, given)
    (path,) = given
    if not path.is_dir():
        return TimeSeries(tuple(read_frames(path)), frame_step(path), given)
    files = [file for file in path.iterdir() if file.is_file() and suffix_of(file) in _FILES]
    if files:
        files.sort(key=_natural)
        return TimeSeries(tuple(read_image(file) for file in files), None, given)
    images, step = read_dicom_frames(path)
    sources = [source_of(image) for image in images]
    frames = tuple(replace(image_of(one.values, one.header, labels=False), path=path) for one in sources)
    return TimeSeries(frames, step, given)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Return a key that sorts numbers in names by their values."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name.lower())]
