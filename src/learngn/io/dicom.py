"""A folder of DICOM slices, read as one volume."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from learngn.errors import ImageError
from learngn.io.dicom_slices import Slice, in_order, read_slice, volumes_of, without_copies
from learngn.io.itk import ITK_FAILURES, quietly, reason, size_of
from learngn.io.limits import check_memory
from learngn.io.simpleitk import sitk

_LISTED = 20  # most series or volumes that a message names
_UNEQUAL = 0.1  # tolerance of a slice's position, as a fraction of the distance between slices


def read_series(folder: Path) -> Any:
    """Read the only series of slices in a folder, in the order of their positions.

    If the folder itself holds no series, its subfolders are searched. Files that are not images, and copies of a slice,
    are ignored.

    Returns
    -------
    SimpleITK.Image
        3D, rescaled as each slice says (HU for CT).

    Raises
    ------
    ImageError
        If the folder holds no series or several, or the series several volumes (the message lists them), or if slices
        are missing or tilted.
    """
    what = f"DICOM folder {folder}"
    with quietly():
        slices = slices_of(folder)
    return read_volume(what, slices)


def read_volume(what: str, slices: Sequence[Slice]) -> Any:
    """Read the slices of one volume, in the order of their positions; `what` names it in an :class:`ImageError`."""
    slices = in_order(slices)
    with quietly():
        _check_memory(what, slices)
        image = _read(what, slices)
    _check_slices(what, image, slices)
    return image


def slices_of(folder: Path) -> list[Slice]:
    """Return the slices of the only series of a folder, in the order in which :func:`read_series` stacks them.

    Raises
    ------
    ImageError
        If the folder holds no series or several, or the series several volumes.
    """
    series = series_of(folder)
    if len(series) != 1:
        raise wrong_number(folder, series)
    (slices,) = series.values()
    volumes = volumes_of(slices)
    if len(volumes) > 1:
        raise ImageError(
            f"DICOM folder {folder}",
            f"a series of {len(volumes)} volumes ({slices[0].title}): {_listed(volumes)}",
            "one volume",
            "move the slices of the volume you want to a folder of their own, or convert the series with dcm2niix; "
            "learngn series takes all of them",
        )
    return in_order(slices)


def series_of(folder: Path) -> dict[str, list[Slice]]:
    """Return the slices of every scan of a folder, or else of its subfolders, by the series instance UID.

    Doses lie beside the scan for which they are computed, and count only where there is no scan.
    """
    series = _all_series_of(folder)
    scans = {uid: slices for uid, slices in series.items() if not slices[0].is_dose}
    return scans or series


def _all_series_of(folder: Path) -> dict[str, list[Slice]]:
    series = _series_in(folder)
    if not all(slices[0].is_dose for slices in series.values()):
        return series
    merged: dict[str, list[Slice]] = defaultdict(list)
    for place, folders, _ in os.walk(folder):
        folders.sort()
        if Path(place) != folder:
            for uid, slices in _series_in(Path(place)).items():
                merged[uid] += slices
    return {uid: without_copies(slices) for uid, slices in merged.items()} or series


def _series_in(folder: Path) -> dict[str, list[Slice]]:
    series = {}
    for uid in sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder)):
        names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uid)
        read = [(name, read_slice(name)) for name in names]
        slices = [slice_ for _, slice_ in read if slice_ is not None]
        if not slices:
            continue  # reports, structures, presentation states
        for name, slice_ in read:
            if slice_ is None:
                raise _unreadable(f"DICOM folder {folder}", f"the slice {Path(name).name}, which SimpleITK cannot read")
        series[uid] = without_copies(slices)
    return series


def _read(what: str, slices: Sequence[Slice]) -> Any:
    reader: Any
    if len(slices) == 1:
        reader = sitk.ImageFileReader()
        reader.SetFileName(slices[0].path)
    else:
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames([slice_.path for slice_ in slices])
        if len({slice_.scaling for slice_ in slices}) > 1:
            # Otherwise all slices would be cast to the type that fits the values of the first one.
            reader.SetOutputPixelType(sitk.sitkFloat32)
    try:
        image = reader.Execute()
    except ITK_FAILURES as failure:
        raise _unreadable(what, f"slices that SimpleITK cannot read ('{reason(failure)}')") from failure
    axes = slices[0].axes
    if len(slices) == 1 and image.GetDimension() == 3 and image.GetSize()[2] == 1 and axes is not None:
        # A negative distance between slices, which some scanners write, would reverse the third axis.
        image.SetDirection(np.stack([*axes, np.cross(*axes)], axis=1).ravel().tolist())
    return image


def _check_memory(what: str, slices: Sequence[Slice]) -> None:
    """Raise :class:`ImageError` if all slices together, each as large as the first, exceed the memory."""
    first = sitk.ImageFileReader()
    first.SetFileName(slices[0].path)
    first.ReadImageInformation()
    check_memory(size_of(first) * len(slices), what, ImageError)


def _check_slices(what: str, image: Any, slices: Sequence[Slice]) -> None:
    """Raise :class:`ImageError` if the slices do not lie at equal distances along their normal."""
    known = [slice_.position for slice_ in slices if slice_.position is not None]
    if image.GetDimension() != 3 or len(slices) == 1 or not known:
        return
    if len(known) != len(slices):
        raise ImageError(what, "positions that are not three numbers", "those of DICOM", "check the files")
    positions = np.array(known)
    step = np.asarray(image.GetDirection()).reshape(3, 3)[:, 2] * image.GetSpacing()[2]
    expected = positions[0] + np.arange(len(slices))[:, None] * step
    deviation = float(np.linalg.norm(positions - expected, axis=1).max())
    if deviation > _UNEQUAL * image.GetSpacing()[2]:
        raise ImageError(
            what,
            f"slices up to {deviation:.2f} mm from where equal distances would have them",
            "equal distances along the normal",
            "look for missing slices or a tilted gantry, or resample the series first",
        )


def wrong_number(folder: Path, series: dict[str, list[Slice]]) -> ImageError:
    """Return the error for a folder with no series or several, which are listed."""
    if not series:
        return ImageError(
            f"image {folder}",
            "a folder without a DICOM series, in its subfolders too",
            "a file, or a folder of DICOM slices",
            "name the file",
        )
    places = {uid: Path(slices[0].path).parent for uid, slices in series.items()}
    apart = len(set(places.values())) == len(series)
    named = {
        f"{slices[0].title or 'series'}, {os.path.relpath(places[uid], folder) if apart else uid}": slices
        for uid, slices in series.items()
    }
    return ImageError(
        f"DICOM folder {folder}",
        f"{len(series)} series: {_listed(named)}",
        "one",
        "name the folder of the series you want"
        if apart
        else "move the slices of the series you want to a folder of their own",
    )


def _listed(groups: dict[str, list[Slice]]) -> str:
    """Describe groups of slices by name and number of slices."""
    parts = [_described(name, slices) for name, slices in list(groups.items())[:_LISTED]]
    more = len(groups) - len(parts)
    return "; ".join([*parts, *([f"and {more} more"] if more else [])])


def _described(name: str, slices: Sequence[Slice]) -> str:
    count = sum(slice_.frames for slice_ in slices)
    return f"{name} ({count} slice{'' if count == 1 else 's'}, first {Path(slices[0].path).name})"


def _unreadable(what: str, got: str) -> ImageError:
    return ImageError(
        what, got, "one series of equal slices", "check the files, or convert the series to NIfTI with dcm2niix"
    )
