"""Colour pictures: their channels, one by one, and grey made of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import SimpleITK as sitk

from learngn.errors import ImageError, LearnGNError, OutputError
from learngn.image import Image
from learngn.io.files import named, read_file, read_header, write_file
from learngn.io.itk import from_sitk, stored_type, to_file

_WIDTHS = (sitk.sitkVectorUInt8, sitk.sitkVectorUInt16)
_COLOURS = (3, 4)  # red, green, blue, and perhaps transparency


def is_colour(path: str | Path) -> bool:
    """Return whether an image file holds colours: 3 or 4 values of 8 or 16 bits a voxel; the header alone is read."""
    path = Path(path)
    if path.is_dir():
        return False
    header = read_header(path)
    return header.GetNumberOfComponents() in _COLOURS and header.GetPixelID() in _WIDTHS


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
    if source.GetNumberOfComponentsPerPixel() not in _COLOURS:
        raise ImageError(
            f"image {path}",
            f"{source.GetNumberOfComponentsPerPixel()} values a voxel",
            "a colour picture",
            "name another",
        )
    for channel in range(source.GetNumberOfComponentsPerPixel()):
        part = sitk.VectorIndexSelectionCast(source, channel)
        try:
            yield replace(from_sitk(part), path=path, stored=stored_type(part))
        except LearnGNError as error:
            raise named(error, path) from None


def write_colour(channels: Iterable[Image], path: str | Path) -> None:
    """Write channels as one colour picture, whole or not at all, in the format that the suffix names.

    Parameters
    ----------
    channels : iterable of Image, (1, 1, *S)
        Three or four on one grid, in the order of :func:`read_colour`; values are rounded to the integer type of the
        file that they come from.
    path : Path

    Raises
    ------
    OutputError
        If the channels do not make a picture, or the file cannot be written.
    """
    path = Path(path)
    parts = [to_file(channel) for channel in channels]
    if len(parts) not in _COLOURS or len({(part.GetSize(), part.GetPixelID()) for part in parts}) != 1:
        raise OutputError(
            f"output {path}", f"{len(parts)} channels", "3 or 4 of one size and type", "write each to its own file"
        )
    write_file(sitk.Compose(parts), path)
