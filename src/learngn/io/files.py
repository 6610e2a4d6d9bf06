"""Image files: NIfTI, Analyze and MGH are read by nibabel, all other formats by SimpleITK."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learngn.errors import HeaderWarning, ImageError, LearnGNError, OutputError
from learngn.io import dicom, nifti, nifti_values
from learngn.io.atomic import atomic_path
from learngn.io.itk import ITK_FAILURES, header_of, quietly, reason, source_of
from learngn.io.limits import check_size, check_text_header
from learngn.io.orientation import in_millimetres
from learngn.io.simpleitk import sitk
from learngn.io.source import Header, Source

NIFTI_SUFFIXES = (".nii.gz", ".nii")  # for writing
IMAGE_SUFFIXES = (*NIFTI_SUFFIXES, ".mha", ".mhd", ".nrrd", ".tif", ".tiff", ".png")
_DOSE_SCALING = "3004|000e"


def suffix_of(path: Path) -> str:
    """Return the suffix that names the format, in lower case: ``".nii.gz"``, ``".mha"``, ``".h5"``, ..."""
    name = path.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else Path(name).suffix


def check_exists(path: Path, what: str, error: type[LearnGNError]) -> None:
    """Raise `error` unless a path is a folder or a file that is not empty and can be read."""
    check_name(path, what, error)
    try:
        if not path.exists():
            raise error(f"{what} {path}", "no such file", "a file that exists", "check the path")
        if path.is_dir():
            return
        if not path.is_file():
            raise error(f"{what} {path}", "a device or a pipe", "a file", "write it to a file first")
        if path.stat().st_size == 0:
            raise error(f"{what} {path}", "an empty file", "one with content", "write or fetch it again")
        path.open("rb").close()
    except OSError as failure:
        raise error(
            f"{what} {path}", failure.strerror or str(failure), "a file that can be read", "check its path and rights"
        ) from failure


def check_name(path: Path, what: str, error: type[LearnGNError]) -> None:
    """Raise `error` if a path is not valid UTF-8 or has a null byte: ITK, which is C++, would end the process."""
    try:
        usable = b"\0" not in str(path).encode()
    except UnicodeEncodeError:
        usable = False
    if not usable:
        shown = str(path).encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
        raise error(f"{what} {shown}", "a name that is not in UTF-8", "one that is", "rename it")


def read_file(path: Path, *, what: str = "image", error: type[LearnGNError] = ImageError) -> Source:
    """Read an image file or a folder of DICOM slices.

    Parameters
    ----------
    path : Path
    what : str
        Kind of file in messages.
    error : type of LearnGNError
        Raised if the file cannot be read.

    Returns
    -------
    Source
        Header and values, with the dimensions and the type of the file.

    Warns
    -----
    HeaderWarning
        If the header contradicts itself, or has no position of the image.
    """
    check_exists(path, what, error)
    if path.is_dir():
        return source_of(dicom.read_series(path))
    if nifti.reads(path):
        stored = nifti.read_stored(path, what, error)
        _warn(path, what, stored.header)
        return nifti_values.read_source(stored, f"{what} {path}", error)
    reader, header = _read_by_itk(path, what, error)
    check_size(path, header, what, error)
    _warn(path, what, header)
    try:
        with quietly():
            source = source_of(reader.Execute())
    except ITK_FAILURES as failure:
        raise _unreadable(path, what, error, reason(failure)) from failure
    scaling = _dose_scaling(reader)
    if scaling is not None:
        return Source(replace(header, dtype=np.dtype(np.float64)), source.values * scaling)
    return replace(source, header=header)


def read_scan(path: Path) -> tuple[Header, NDArray[np.float32]] | None:
    """Read a single volume of real numbers in NIfTI as float32; None for other files. Raises and warns as `read_file`.

    This takes less time and memory than a conversion of :func:`read_file`'s values.
    """
    check_exists(path, "image", ImageError)
    if path.is_dir() or not nifti.reads(path):
        return None
    stored = nifti.read_stored(path, "image", ImageError)
    header = stored.header
    volumes, axes = math.prod(header.shape) // math.prod(header.space), len(header.space)
    if header.components > 1 or volumes > 1 or axes not in (2, 3) or stored.dtype.kind == "c":
        return None
    _warn(path, "image", header)
    return header, nifti_values.read_scan(stored, f"image {path}", ImageError)


def read_header(path: Path, *, what: str = "image", error: type[LearnGNError] = ImageError) -> Header:
    """Read an image file's header, and check that the file can hold that many voxels. Warns as :func:`read_file`."""
    check_exists(path, what, error)
    if path.is_dir():
        raise error(f"{what} {path}", "a folder", "a file", "name the file itself")
    if nifti.reads(path):
        stored = nifti.read_stored(path, what, error)
        nifti_values.check(stored, f"{what} {path}", error)
        header = stored.header
    else:
        _, header = _read_by_itk(path, what, error)
        check_size(path, header, what, error)
    _warn(path, what, header)
    return header


def write_file(image: Any, path: Path) -> None:
    """Write a SimpleITK image, atomically, in the format that the suffix names; NIfTI is written by nibabel.

    Raises
    ------
    OutputError
        If the format is unknown or cannot hold the image or its position, or the file cannot be written.
    """
    check_output(path)
    with atomic_path(path) as temporary:
        try:
            with quietly():
                sitk.WriteImage(image, str(temporary), useCompression=False)
        except RuntimeError as failure:
            raise OutputError(
                f"output {path}",
                f"'{reason(failure)}' from SimpleITK",
                f"an image that {suffix_of(path)} can hold, and room on the disk",
                "write .nii.gz instead, or free some space",
            ) from failure
        _check_position(image, _read_by_itk(temporary, "output", OutputError)[0], path)


def check_output(path: Path, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> None:
    """Raise :class:`OutputError` if a path is not a valid name, or has none of these suffixes."""
    check_name(path, "output", OutputError)
    if suffix_of(path) not in suffixes:
        raise OutputError(
            f"output {path}", f"the suffix {suffix_of(path)!r}", f"one of {', '.join(suffixes)}", "rename the output"
        )


def _read_by_itk(path: Path, what: str, error: type[LearnGNError]) -> tuple[Any, Header]:
    """Read a file's header by SimpleITK, and return the reader and the header."""
    unit = check_text_header(path, what, error)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        with quietly():
            reader.ReadImageInformation()
    except ITK_FAILURES as failure:
        raise _unreadable(path, what, error, reason(failure)) from failure
    header = header_of(reader)
    return reader, replace(header, affine=in_millimetres(header.affine, unit))


def _dose_scaling(reader: Any) -> float | None:
    """Return the dose of one unit of the values of a DICOM dose [Gy], which ITK leaves out; None for other files."""
    if not reader.HasMetaDataKey(_DOSE_SCALING):
        return None
    with suppress(ValueError):
        return float(reader.GetMetaData(_DOSE_SCALING))
    return None


def _warn(path: Path, what: str, header: Header) -> None:
    notes = header.notes
    if not notes:
        with suppress(LearnGNError):  # raised again when the grid is used
            note = header.place()[1]
            notes = (note,) if note else ()
    for note in notes:
        warnings.warn(HeaderWarning(f"{what} {path}", note), stacklevel=4)


def _check_position(image: Any, header: Any, path: Path) -> None:
    """Raise :class:`OutputError` if the written file lacks the voxels' position, or some voxels (PNG, TIFF)."""
    same = header.GetSize() == image.GetSize() and (
        np.allclose(header.GetSpacing(), image.GetSpacing(), rtol=1e-5)
        and np.allclose(header.GetDirection(), image.GetDirection(), atol=1e-5)
        and np.allclose(header.GetOrigin(), image.GetOrigin(), rtol=1e-5, atol=1e-4)
    )
    if not same:
        raise OutputError(
            f"output {path}",
            "an image whose slices, origin or axes this format does not keep",
            "a format that does",
            "write .nii.gz instead",
        )


def named(error: LearnGNError, path: Path) -> LearnGNError:
    """Return an error with the name of the file added."""
    what = error.what if str(path) in error.what else f"{error.what} {path}"
    return type(error)(what, error.got, error.expected, error.remedy)


def _unreadable(path: Path, what: str, error: type[LearnGNError], why: str) -> LearnGNError:
    return error(
        f"{what} {path}",
        f"a file that SimpleITK cannot read ('{why}')",
        "NIfTI, MGH, MetaImage, NRRD, TIFF, PNG or DICOM",
        "check that it is such a file and complete, or convert it",
    )
