"""Series of volumes in one file (4D), such as time points, echoes or diffusion directions, frame by frame."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learngn.errors import ImageError, LearnGNError, OutputError
from learngn.geometry.image import Image
from learngn.io import nifti, nifti_values
from learngn.io.atomic import atomic_path
from learngn.io.files import NIFTI_SUFFIXES, check_exists, check_output, named, read_file, read_header
from learngn.io.nifti_writer import write_series
from learngn.io.source import Header, Source, image_of, values_to_write


def frame_count(path: str | Path) -> int:
    """Return the number of volumes in an image file, 1 for a single scan. Only the header is read.

    Raises
    ------
    ImageError
        If the file does not exist, is not an image, or has more than four axes.
    """
    path = Path(path)
    return 1 if path.is_dir() else _series_header(path).frames


def frame_step(path: str | Path) -> float | None:
    """Return the time from one volume of a series to the next [s]; None if the file is no series or has no time."""
    path = Path(path)
    return None if path.is_dir() else _series_header(path).step


def read_frames(path: str | Path, labels: bool = False) -> Iterator[Image]:
    """Read the volumes of a series, one after another; a single scan is a series of one.

    Parameters
    ----------
    path : Path
    labels : bool
        Whether the images are label maps.

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
    check_exists(path, "image", ImageError)
    if path.is_dir() or not nifti.reads(path):
        source = read_file(path)
        header, blocks = source.header, _of_source(source)
    else:
        header, blocks = _of_nifti(path)
    try:
        header.check_series()
        for values in blocks:
            yield replace(image_of(values, header, labels), path=path)
    except LearnGNError as error:
        raise named(error, path) from None


def write_frames(images: Iterable[Image], path: str | Path, step: float | None = None) -> None:
    """Write volumes as one 4D NIfTI file, atomically.

    Parameters
    ----------
    images : iterable of Image, (1, 1, *S)
        Volumes on one grid, all scans or all label maps.
    path : Path
        ``.nii.gz`` or ``.nii``.
    step : float, optional
        Time from one volume to the next [s].

    Raises
    ------
    OutputError
        If the suffix is another, there is no image, the images are not on one 3D grid, or the file cannot be written.
    """
    path = Path(path)
    check_output(path, NIFTI_SUFFIXES)
    frames = iter(images)
    first = next(frames, None)
    if first is None or first.grid.ndim != 3:
        got = "no volume" if first is None else "a 2D image"
        raise OutputError(f"output {path}", got, "volumes", "check the series")
    dtype = values_to_write(first).dtype
    if first.labels:  # the labels of later frames may be larger
        dtype = np.dtype(np.int32) if dtype.itemsize > 1 else dtype
    with atomic_path(path) as temporary:
        write_series(temporary, first.grid, dtype, _checked(chain([first], frames), first, dtype, path), step)


def _checked(images: Iterable[Image], first: Image, dtype: np.dtype[Any], path: Path) -> Iterator[NDArray[Any]]:
    for number, image in enumerate(images):
        if image.grid != first.grid or image.labels != first.labels:
            raise OutputError(
                f"output {path}", f"frame {number} on another grid or of another kind ({image.grid})",
                f"frames like the first ({first.grid})", "bring all onto one grid first",
            )  # fmt: skip
        values = values_to_write(image)
        if not np.can_cast(values.dtype, dtype) and (values.min() < 0 or values.max() > np.iinfo(dtype).max):
            raise OutputError(
                f"output {path}", f"labels from {values.min()} to {values.max()} in frame {number}",
                f"labels that {dtype} holds, as those of the first frame do", "number the labels anew",
            )  # fmt: skip
        yield values


def _series_header(path: Path) -> Header:
    header = read_header(path)
    try:
        header.check_series()
    except LearnGNError as error:
        raise named(error, path) from None
    return header


def _of_source(source: Source) -> Iterator[NDArray[Any]]:
    header = source.header
    frames = source.values.reshape((*header.space, header.frames, *source.values.shape[len(header.shape) :]))
    for index in range(header.frames):
        yield frames[(slice(None),) * len(header.space) + (index,)]


def _of_nifti(path: Path) -> tuple[Header, Iterator[NDArray[Any]]]:
    """Return the header, and the frames while the file is decompressed, with one frame in memory at a time."""
    header = read_header(path)  # warns once
    stored = nifti.read_stored(path, "image", ImageError)
    if header.components > 1:  # components of vectors are the slowest axis, after the frames
        return header, _of_source(nifti_values.read_source(stored, f"image {path}", ImageError))
    counts = [math.prod(header.space)] * header.frames
    blocks = nifti_values.read_blocks(stored, counts, f"image {path}", ImageError)
    return header, (stored.arranged(values, frames=1) for values in blocks)
