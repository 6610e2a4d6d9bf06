"""Colour pictures: their channels, one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from learngn.arrays import empty_channels_last
from learngn.errors import ImageError, OutputError
from learngn.geometry import sampling
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.io.atomic import atomic_path
from learngn.io.files import NIFTI_SUFFIXES, check_output, read_file, read_header, suffix_of, write_file
from learngn.io.itk import place_of, put_on_grid
from learngn.io.nifti_writer import write_nifti
from learngn.io.simpleitk import sitk
from learngn.io.source import Header, values_to_write
from learngn.io.vectors import components_of

_TYPES = (np.uint8, np.uint16)
_COLOURS = (3, 4)  # red, green, blue, and perhaps transparency


def is_colour(path: str | Path) -> bool:
    """Return whether an image file holds colours: 3 or 4 values of 8 or 16 bits a voxel. Only the header is read."""
    path = Path(path)
    if path.is_dir():
        return False
    return _is_colour(read_header(path))


def read_colour(path: str | Path) -> Iterator[Image]:
    """Read the channels of a colour picture, one after the other: red, green, blue, and transparency if it has one.

    Parameters
    ----------
    path : Path

    Yields
    ------
    Image
        (1, 1, *S), float32, all on the same grid.

    Raises
    ------
    ImageError
        If the file cannot be read or holds no colours.
    """
    path = Path(path)
    source = read_file(path)
    if not _is_colour(source.header):
        raise ImageError(
            f"image {path}", f"{source.header.components} values a voxel", "a colour picture", "name another"
        )
    yield from components_of(source, path)


def is_picture(path: str | Path) -> bool:
    """Return whether an image file is a colour picture in 2D, from its header."""
    path = Path(path)
    if path.is_dir():
        return False
    header = read_header(path)
    return _is_colour(header) and len(header.space) == 2


def read_picture(path: str | Path, *, most: int | None = None) -> Image:
    """Read a colour picture in 2D with its three channels; transparency is left out.

    Parameters
    ----------
    path : Path
    most : int, optional
        Largest number of pixels: a larger picture is averaged over squares of whole pixels, on a grid of the same
        extent, so that world coordinates stay those of the file.

    Returns
    -------
    Image
        (1, 3, *S), float32: red, green and blue, as stored (0 to 255, or to 65535).

    Raises
    ------
    ImageError
        If the file cannot be read or is no colour picture in 2D.
    """
    path = Path(path)
    channels = read_colour(path)
    first = next(channels)
    if first.grid.ndim != 2:
        raise ImageError(f"image {path}", f"colours in {first.grid.ndim}D", "a picture in 2D", "name another")
    grid, factor = first.grid, 1
    while most is not None and grid.size > most:
        factor += 1
        grid = first.grid.resized([max(1, round(n / factor)) for n in first.grid.shape])
    data = empty_channels_last((1, 3, *grid.shape), first.data)
    for index in range(3):
        channel = first if index == 0 else next(channels)
        data[:, index] = sampling.pool(channel.data, grid.shape)[:, 0]
    return replace(first, data=data, grid=grid)


def write_colour(channels: Iterable[Image], path: str | Path) -> None:
    """Write channels as one colour picture, atomically, in the format that the suffix names.

    Parameters
    ----------
    channels : iterable of Image, (1, 1, *S)
        Three or four channels on one grid, in the order of :func:`read_colour`; values are rounded to the integer type
        of the file that they come from.
    path : Path

    Raises
    ------
    OutputError
        If the channels do not make a picture, or the file cannot be written.
    """
    path, images = Path(path), list(channels)
    check_output(path)
    parts = [values_to_write(image) for image in images]
    if len(parts) not in _COLOURS or len({(part.shape, part.dtype) for part in parts}) != 1:
        raise OutputError(
            f"output {path}", f"{len(parts)} channels", "3 or 4 of one size and type", "write each to its own file"
        )
    grid = images[0].grid
    if suffix_of(path) not in NIFTI_SUFFIXES:
        result = sitk.GetImageFromArray(np.stack([part.T for part in parts], axis=-1), isVector=True)
        put_on_grid(result, grid)
        write_file(result, path)
        return
    if parts[0].dtype != np.uint8:
        raise OutputError(
            f"output {path}", f"colours of type {parts[0].dtype}", "NIfTI's, which are of 8 bits", "write .nrrd instead"
        )
    packed = np.empty(grid.shape, [(name, np.uint8) for name in "RGBA"[: len(parts)]])
    for name, part in zip("RGBA", parts, strict=False):
        packed[name] = part
    with atomic_path(path) as temporary:
        write_nifti(temporary, grid.shape, packed.dtype, grid, [packed.__getitem__])


def is_plain(grid: Grid) -> bool:
    """Whether a grid in 2D lies as formats without a position have it: PNG, JPEG, TIFF."""
    _, origin, direction = place_of(grid)
    return grid.ndim == 2 and not np.abs(origin).max() and bool((direction == np.eye(2)).all())


def _is_colour(header: Header) -> bool:
    return header.components in _COLOURS and header.dtype in _TYPES
