"""A folder of DICOM slices, read as one volume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from learngn.errors import ImageError
from learngn.io.itk import ITK_FAILURES, quietly, reason, size_of
from learngn.io.limits import check_memory

_POSITION, _SERIES_NUMBER, _DESCRIPTION = "0020|0032", "0020|0011", "0008|103e"


def read_series(folder: Path) -> Any:
    """Read the one series of slices in a folder, in the order of their positions.

    Returns
    -------
    SimpleITK.Image
        3D, rescaled as the slices say (HU for CT).

    Raises
    ------
    ImageError
        If the folder holds no series or several (which the message lists), or if slices are missing or tilted.
    """
    with quietly():
        series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
        if len(series) != 1:
            raise _wrong_number(folder, series)
        names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series[0])
        _check_memory(folder, names)
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(names)
        reader.MetaDataDictionaryArrayUpdateOn()
        try:
            image = reader.Execute()
        except ITK_FAILURES as failure:
            raise ImageError(
                f"DICOM folder {folder}",
                f"slices that SimpleITK cannot read ('{reason(failure)}')",
                "one series of equal slices",
                "check the files, or convert the series to NIfTI",
            ) from failure
    _check_slices(folder, image, reader, len(names))
    return image


def _check_memory(folder: Path, names: tuple[str, ...]) -> None:
    """Raise where the first slice's header, times the slices, asks for more memory than there is."""
    first = sitk.ImageFileReader()
    first.SetFileName(names[0])
    try:
        first.ReadImageInformation()
    except ITK_FAILURES:
        return  # the reader of the series says what is wrong
    check_memory(size_of(first) * len(names), f"DICOM folder {folder}", ImageError)


def _check_slices(folder: Path, image: Any, reader: Any, count: int) -> None:
    """Raise where slices do not lie at equal distances along the normal, as a grid's do."""
    if image.GetDimension() != 3 or not all(reader.HasMetaDataKey(n, _POSITION) for n in range(count)):
        return
    try:
        found = np.array([[float(x) for x in reader.GetMetaData(n, _POSITION).split("\\")] for n in range(count)])
    except (ValueError, IndexError):
        found = np.empty(0)
    if found.shape != (count, 3) or not np.isfinite(found).all():
        raise ImageError(
            f"DICOM folder {folder}", "positions that are not three numbers", "those of DICOM", "check the files"
        )
    step = np.asarray(image.GetDirection()).reshape(3, 3)[:, 2] * image.GetSpacing()[2]
    expected = found[0] + np.arange(count)[:, None] * step
    deviation = float(np.linalg.norm(found - expected, axis=1).max())
    if deviation > 0.1 * image.GetSpacing()[2]:
        raise ImageError(
            f"DICOM folder {folder}",
            f"slices up to {deviation:.2f} mm from where equal distances would have them",
            "equal distances along the normal",
            "look for missing slices or a tilted gantry, or resample the series first",
        )


def _wrong_number(folder: Path, series: tuple[str, ...]) -> ImageError:
    if not series:
        return ImageError(
            f"image {folder}", "a folder without a DICOM series", "a file, or a folder of DICOM slices", "name the file"
        )
    described = "; ".join(_describe(folder, uid) for uid in series)
    return ImageError(
        f"DICOM folder {folder}",
        f"{len(series)} series: {described}",
        "one",
        "move the slices of the series you want to a folder of their own",
    )


def _describe(folder: Path, uid: str) -> str:
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uid)
    reader = sitk.ImageFileReader()
    reader.SetFileName(names[0])
    try:
        reader.ReadImageInformation()
    except ITK_FAILURES:
        return f"{uid} ({len(names)} files, first {Path(names[0]).name})"
    tags = [reader.GetMetaData(key).strip() for key in (_SERIES_NUMBER, _DESCRIPTION) if reader.HasMetaDataKey(key)]
    return f"{' '.join(tags) or uid} ({len(names)} files, first {Path(names[0]).name})"
