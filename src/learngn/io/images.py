"""Scans and label maps: files to images and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

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
    suffix_of,
    write_file,
)
from learngn.io.itk import to_sitk
from learngn.io.nifti_writer import write_nifti
from learngn.io.source import values_to_write


def read_image(path: str | Path, *, labels: bool = False) -> Image:
    """Read a scan or a label map.

    Parameters
    ----------
    path : Path
        NIfTI, MGH, MetaImage, NRRD, TIFF, PNG, JPEG or DICOM file, or a folder that holds one series of DICOM slices.
        Where a file has no voxel size, it is 1 mm.
    labels : bool
        Whether the values name classes.

    Returns
    -------
    Image
        (1, 1, *S) on its grid: float32, of colours the luminance; label maps uint8, int16 or, where that does not
        suffice, int32. The file decides between 2D and 3D: a volume of one slice stays a volume, because a slice has a
        place in space.

    Raises
    ------
    ImageError
        If there is no such file, it is no image, is cut short, or holds vectors or several volumes.
    LabelError
        If a label map holds something else than whole numbers.
    GeometryError
        If its header makes no sense.

    Warns
    -----
    HeaderWarning
        Where the header contradicts itself (sform and qform), does not say where the image lies, or has axes that are
        noticeably rounded; where colours are made grey.
    """
    path = Path(path)
    source = read_file(path)
    try:
        return replace(source.image(labels, f"image {path}"), path=path)
    except LearnGNError as error:
        raise named(error, path) from None


def read_grid(path: str | Path) -> Grid:
    """Read where an image lies: of a file the header alone. Raises as :func:`read_image` does.

    Of a series of volumes (4D) it is the grid that all of them share.
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


def write_image(image: Image, path: str | Path) -> None:
    """Write a scan or a label map (integers) in the format that the suffix names, whole or not at all.

    Parameters
    ----------
    image : Image, (1, 1, *S)
        A scan that was read from a file of integers, or warped from one, is rounded to its type (:attr:`Image.stored`);
        others are written as float32.
    path : Path
        ``.nii.gz``, ``.nii``, ``.mha``, ``.mhd``, ``.nrrd``; in 2D also ``.tif``, ``.tiff`` and ``.png``, which keep
        the voxel size but neither origin nor axes. PNG holds whole numbers from 0 to 65535: scans are rounded.

    Raises
    ------
    OutputError
        If the format is unknown or does not keep the image's position, or the file cannot be written.
    """
    path = Path(path)
    check_output(path)
    if suffix_of(path) in NIFTI_SUFFIXES:
        values = values_to_write(image)
        with atomic_path(path) as temporary:
            write_nifti(temporary, image.grid.shape, values.dtype, image.grid, [values])
        return
    result = to_sitk(image, stored=True)
    write_file(_rounded(result) if suffix_of(path) == ".png" else result, path)


def _rounded(image: Any) -> Any:
    """Values that a PNG can hold."""
    values = np.rint(sitk.GetArrayFromImage(image).astype(np.float64)).clip(0, np.iinfo(np.uint16).max)
    result = sitk.GetImageFromArray(values.astype(np.uint8 if values.max() <= np.iinfo(np.uint8).max else np.uint16))
    result.CopyInformation(image)
    return result
