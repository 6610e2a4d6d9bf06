"""Series of volumes in one file (4D): time points, echoes, diffusion directions; read and written frame by frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from learngn.errors import ImageError, LearnGNError, OutputError
from learngn.image import Image
from learngn.io.files import named, read_file, read_header, suffix_of, write_file
from learngn.io.itk import from_sitk, to_sitk

_SUFFIXES = (".nii.gz", ".nii")


def frame_count(path: str | Path) -> int:
    """Return the number of volumes that an image file holds, 1 for a single scan; the header alone is read.

    Raises
    ------
    ImageError
        If there is no such file, it is no image, or has more than four axes.
    """
    path = Path(path)
    return 1 if path.is_dir() else _count(read_header(path).GetSize(), path)


def frame_step(path: str | Path) -> float | None:
    """Return the time from one volume of a series to the next [s]; None where the file is no series or does not say."""
    path = Path(path)
    if frame_count(path) == 1:
        return None
    step = float(read_header(path).GetSpacing()[3])
    return step if step > 0 else None


def read_frames(path: str | Path, labels: bool = False) -> Iterator[Image]:
    """Read the volumes of a series, one after the other; a single scan is a series of one.

    Parameters
    ----------
    path : Path
    labels : bool
        Whether the values name classes.

    Yields
    ------
    Image
        (1, 1, *S), as :func:`learngn.io.read_image` gives it, all on the same grid.

    Raises
    ------
    LearnGNError
        As :func:`learngn.io.read_image` does.
    """
    path = Path(path)
    source = read_file(path)
    count = _count(source.GetSize(), path)
    for index in range(count):
        frame = source
        while frame.GetDimension() > 3:
            last = index if frame.GetDimension() == 4 else 0
            frame = frame[(slice(None),) * (frame.GetDimension() - 1) + (last,)]
        try:
            yield replace(from_sitk(frame, labels), path=path)
        except LearnGNError as error:
            raise named(error, path) from None


def write_frames(images: Iterable[Image], path: str | Path, step: float | None = None) -> None:
    """Write volumes as one 4D NIfTI file, whole or not at all.

    Parameters
    ----------
    images : iterable of Image, (1, 1, *S)
        On one grid, all scans or all label maps.
    path : Path
        ``.nii.gz`` or ``.nii``.
    step : float, optional
        Time from one volume to the next [s].

    Raises
    ------
    OutputError
        If the suffix is another, there is no image, they do not lie on one 3D grid, or the file cannot be written.
    """
    path = Path(path)
    if suffix_of(path) not in _SUFFIXES:
        raise OutputError(
            f"output {path}",
            f"the suffix {suffix_of(path)!r}",
            "one of .nii.gz, .nii for a series",
            "rename the output",
        )
    frames: list[Any] = [to_sitk(image) for image in images]
    if not frames or len({frame.GetSize() for frame in frames}) != 1 or frames[0].GetDimension() != 3:
        raise OutputError(
            f"output {path}", f"{len(frames)} volumes", "at least one, in 3D and on one grid", "check the series"
        )
    write_file(sitk.JoinSeries(frames, 0.0, step or 1.0), path)


def _count(size: tuple[int, ...], path: Path) -> int:
    if any(n != 1 for n in size[4:]):
        raise ImageError(
            f"image {path}", f"{len(size)} dimensions, {size}", "a series of volumes, at most 4 axes", "split the file"
        )
    return int(size[3]) if len(size) > 3 else 1
