"""Reading and writing of scans and label maps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from learngn.errors import ImageError, LearnGNError
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.io.atomic import atomic_path
from learngn.io.files import (
    NIFTI_SUFFIXES,
    check_exists,
    check_output,
    named,
    read_file,
    read_header,
    read_scan,
    suffix_of,
    write_file,
)
from learngn.io.itk import to_sitk
from learngn.io.nifti_writer import write_nifti
from learngn.io.simpleitk import sitk
from learngn.io.source import Source, part_to_write, scan_of


def read_image(path: str | Path, *, labels: bool = False) -> Image:
    """Read a scan or a label map.

    Parameters
    ----------
    path : Path
        NIfTI, MGH, MetaImage, NRRD, TIFF, PNG, JPEG or DICOM file, or a folder that holds one series of DICOM slices.
        A file without a voxel size gets 1 mm.
    labels : bool
        Whether the image is a label map.

    Returns
    -------
    Image
        (1, 1, *S) on its grid: scans float32, colours as their luminance; label maps uint8 or int16, or int32 if their
        values need it. Its dimension is that of the file: a volume of one slice stays 3D, because a slice has a
        position in space.

    Raises
    ------
    ImageError
        If the file does not exist, is not an image, is truncated, or holds vectors or several volumes.
    LabelError
        If a label map holds other values than whole numbers.
    GeometryError
        If the header has implausible voxel sizes or positions.

    Warns
    -----
    HeaderWarning
        If the header contradicts itself (sform and qform), has no position of the image, or has axes that are
        noticeably rounded; if colours are converted to grey.
    """
    path = Path(path)
    scan = None if labels else read_scan(path)
    source = scan or read_file(path)
    try:
        image = source.image(labels, f"image {path}") if isinstance(source, Source) else scan_of(*source)
        return replace(image, path=path)
    except LearnGNError as error:
        raise named(error, path) from None


def read_grid(path: str | Path) -> Grid:
    """Read the grid of an image, from a file's header alone. Raises as :func:`read_image` does.

    For a series of volumes (4D), return the grid that all volumes share.
    """
    path = Path(path)
    check_exists(path, "image", ImageError)
    if path.is_dir():
        return read_image(path).grid
    header = read_header(path)
    try:
        header.check_series()
        return header.grid
    except LearnGNError as error:
        raise named(error, path) from None


def write_image(image: Image, path: str | Path, *, notes: str = "") -> None:
    """Write a scan or a label map (integers), atomically, in the format that the suffix names.

    Parameters
    ----------
    image : Image, (1, 1, *S)
        A scan that was read from a file of integers, or warped from one, is rounded to its type (:attr:`Image.stored`);
        others are written as float32.
    path : Path
        ``.nii.gz``, ``.nii``, ``.mha``, ``.mhd``, ``.nrrd``; in 2D also ``.tif``, ``.tiff`` and ``.png``, which keep
        the voxel size, but not the origin and axes. PNG holds whole numbers from 0 to 65535: scans are rounded.
    notes : str
        What the values are, for NIfTI's field `descrip`, at most 79 characters; other formats do not have it.

    Raises
    ------
    OutputError
        If the format is unknown or cannot hold the image's position, or the file cannot be written.
    """
    path = Path(path)
    check_output(path)
    if suffix_of(path) in NIFTI_SUFFIXES:
        dtype, part = part_to_write(image)
        with atomic_path(path) as temporary:
            write_nifti(temporary, image.grid.shape, dtype, image.grid, [part], notes=notes)
        return
    result = to_sitk(image, stored=True)
    write_file(_rounded(result) if suffix_of(path) == ".png" else result, path)


def _rounded(image: Any) -> Any:
    """Round a SimpleITK image to values that a PNG can hold."""
    values = np.rint(sitk.GetArrayFromImage(image).astype(np.float64)).clip(0, np.iinfo(np.uint16).max)
    result = sitk.GetImageFromArray(values.astype(np.uint8 if values.max() <= np.iinfo(np.uint8).max else np.uint16))
    result.CopyInformation(image)
    return result
