"""Image files on the disk, as SimpleITK reads and writes them, with what it leaves undone: truncated files, gzip."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from isal import igzip

from learngn.errors import ImageError, LearnGNError, OutputError
from learngn.io import dicom
from learngn.io.atomic import atomic_path
from learngn.io.itk import ITK_FAILURES, quietly, reason
from learngn.io.limits import check_size, check_text_header
from learngn.io.nifti import check_complete, check_gzip, check_header, restore_not_finite

IMAGE_SUFFIXES = (".nii.gz", ".nii", ".mha", ".mhd", ".nrrd", ".tif", ".tiff", ".png")
_BLOCK = 1 << 20


def suffix_of(path: Path) -> str:
    """Suffix that names the format, lower case: ``".nii.gz"``, ``".mha"``, ``".h5"``, ..."""
    name = path.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else Path(name).suffix


def check_exists(path: Path, what: str, error: type[LearnGNError]) -> None:
    """Raise `error` where there is no file, an empty one, or one that cannot be opened."""
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
    """Raise `error` where a path is no text in UTF-8: ITK, which is C++, would end the process."""
    try:
        usable = b"\0" not in str(path).encode()
    except UnicodeEncodeError:
        usable = False
    if not usable:
        shown = str(path).encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
        raise error(f"{what} {shown}", "a name that is not in UTF-8", "one that is", "rename it")


def read_file(path: Path, *, what: str = "image", error: type[LearnGNError] = ImageError) -> Any:
    """Read an image file or a folder of DICOM slices.

    Parameters
    ----------
    path : Path
    what : str
        Name of it in messages.
    error : type of LearnGNError
        Raised where it cannot be read.

    Returns
    -------
    SimpleITK.Image
        Of the dimension and pixel type of the file.
    """
    check_exists(path, what, error)
    if path.is_dir():
        return dicom.read_series(path)
    reader = read_header(path, what=what, error=error)
    check_size(path, reader, what, error)
    check_complete(path, reader, what, error)
    try:
        with quietly():
            image = reader.Execute()
    except ITK_FAILURES as failure:
        raise _unreadable(path, what, error, reason(failure)) from failure
    return restore_not_finite(image, path, reader)


def read_header(path: Path, *, what: str = "image", error: type[LearnGNError] = ImageError) -> Any:
    """Read an image file's header; returns a SimpleITK.ImageFileReader, which has it."""
    check_exists(path, what, error)
    if path.is_dir():
        raise error(f"{what} {path}", "a folder", "a file", "name the file itself")
    check_gzip(path, what, error)
    check_header(path, what, error)
    check_text_header(path, what, error)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        with quietly():
            reader.ReadImageInformation()
    except ITK_FAILURES as failure:
        raise _unreadable(path, what, error, reason(failure)) from failure
    return reader


def write_file(image: Any, path: Path) -> None:
    """Write a SimpleITK image, whole or not at all, in the format that the suffix names.

    ``.nii.gz`` is compressed by ISA-L, about ten times as fast as by zlib and as small; the same image gives the same
    bytes. Other formats are not compressed.

    Raises
    ------
    OutputError
        If the format is unknown or does not hold such an image or its position, or the file cannot be written.
    """
    check_name(path, "output", OutputError)
    suffix = suffix_of(path)
    if suffix not in IMAGE_SUFFIXES:
        raise OutputError(
            f"output {path}", f"the suffix {suffix!r}", f"one of {', '.join(IMAGE_SUFFIXES)}", "rename the output"
        )
    with atomic_path(path) as temporary:
        plain = temporary.with_suffix("") if suffix == ".nii.gz" else temporary
        try:
            with quietly():
                sitk.WriteImage(image, str(plain), useCompression=False)
        except RuntimeError as failure:
            raise OutputError(
                f"output {path}",
                f"'{reason(failure)}' from SimpleITK",
                f"an image that {suffix} can hold, and room on the disk",
                "write .nii.gz instead, or free some space",
            ) from failure
        header = read_header(plain, what="output", error=OutputError)
        check_complete(plain, header, "output", OutputError)
        _check_position(image, header, path)
        if plain != temporary:
            _compress(plain, temporary)


def _compress(source: Path, target: Path) -> None:
    with (
        source.open("rb") as plain,
        target.open("wb") as raw,
        # Neither name nor time in the gzip header: the same image, the same bytes.
        igzip.IGzipFile(filename="", mode="wb", compresslevel=1, fileobj=raw, mtime=0) as packed,  # type: ignore[no-untyped-call]
    ):
        shutil.copyfileobj(plain, packed, _BLOCK)
    source.unlink()


def _check_position(image: Any, header: Any, path: Path) -> None:
    """Raise where the format has not kept the voxels' place (PNG, TIFF: slices, origin, axes; NIfTI: sheared axes)."""
    kept = header.GetSize() == image.GetSize() and (
        np.allclose(header.GetSpacing(), image.GetSpacing(), rtol=1e-5)
        and np.allclose(header.GetDirection(), image.GetDirection(), atol=1e-5)
        and np.allclose(header.GetOrigin(), image.GetOrigin(), rtol=1e-5, atol=1e-4)
    )
    if not kept:
        raise OutputError(
            f"output {path}",
            "an image whose slices, origin or axes this format does not keep",
            "a format that does",
            "write .mha instead",
        )


def named(error: LearnGNError, path: Path) -> LearnGNError:
    """The same error, naming the file."""
    what = error.what if str(path) in error.what else f"{error.what} {path}"
    return type(error)(what, error.got, error.expected, error.remedy)


def _unreadable(path: Path, what: str, error: type[LearnGNError], why: str) -> LearnGNError:
    return error(
        f"{what} {path}",
        f"a file that SimpleITK cannot read ('{why}')",
        "NIfTI-1, MetaImage, NRRD, TIFF, PNG or DICOM",
        "check that it is such a file and complete, or convert it",
    )
