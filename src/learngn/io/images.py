"""Reading and writing images."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from isal import igzip_threaded

from learngn.errors import ImageError, LabelError, OutputError
from learngn.image import Image
from learngn.io.atomic import atomic_path
from learngn.io.itk import from_sitk, quiet, to_sitk

IMAGE_SUFFIXES = (".nii.gz", ".nii", ".mha", ".mhd", ".nrrd", ".png", ".tif", ".tiff")


def read_image(path: str | Path, *, labels: bool = False) -> Image:
    """Read an image: NIfTI, MetaImage, NRRD, PNG, TIFF, or a folder with one DICOM series.

    Parameters
    ----------
    path : path
        File, or folder of a DICOM series.
    labels : bool
        Read as a label map: whole numbers, kept as integers.

    Returns
    -------
    Image
        2D or 3D, (1, 1, *S): float32 for scans. A volume with one slice stays 3D; NIfTI of two dimensions is 2D.

    Raises
    ------
    ImageError
        If the file is missing, unreadable, empty or not a scalar image.
    LabelError
        If a label map holds numbers that are not whole.
    """
    path = Path(path)
    raw = read_sitk(path)
    if raw.GetNumberOfComponentsPerPixel() != 1 or raw.GetDimension() not in (2, 3):
        raise ImageError(
            str(path),
            f"a {raw.GetDimension()}D image of {raw.GetNumberOfComponentsPerPixel()} values a voxel",
            "a 2D or 3D image of one value a voxel",
            "extract one channel or time point; convert colour to grey",
        )
    if not labels:
        return replace(from_sitk(raw), path=path)
    values = sitk.GetArrayViewFromImage(raw)
    if not np.issubdtype(values.dtype, np.integer):
        if not np.isfinite(values).all() or (values != np.round(values)).any():
            raise LabelError(
                str(path),
                "values that are not whole numbers",
                "a label map",
                "pass a segmentation, or features of scans",
            )
        raw = sitk.Cast(raw, sitk.sitkInt32)
    elif values.dtype in (np.uint16, np.uint32, np.uint64, np.int64):
        raw = sitk.Cast(raw, sitk.sitkInt32)  # torch computes with few unsigned types
    return replace(from_sitk(raw, labels=True), path=path)


def read_sitk(path: Path) -> sitk.Image:
    """Read any image file or DICOM folder as SimpleITK has it."""
    if not path.exists():
        raise ImageError(str(path), "no such file", "an image file or a DICOM folder", "check the path")
    with quiet():
        if path.is_dir():
            return _read_dicom(path)
        try:
            image = sitk.ReadImage(str(path))
        except (RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[-1][:120]
            raise ImageError(
                str(path), f"a file that cannot be read as an image ({reason})", "NIfTI, MetaImage, NRRD, PNG or TIFF",
                "check that the file is whole",
            ) from error  # fmt: skip
    if image.GetNumberOfPixels() == 0:
        raise ImageError(str(path), "no voxels", "an image with content", "check that the file is whole")
    return image


def _read_dicom(folder: Path) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    series = reader.GetGDCMSeriesIDs(str(folder))
    if len(series) != 1:
        found = "no DICOM series" if not series else f"{len(series)} series: {', '.join(series)}"
        raise ImageError(
            str(folder), found, "a folder with one DICOM series", "move each series to a folder of its own"
        )
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder), series[0]))
    try:
        return reader.Execute()
    except RuntimeError as error:
        raise ImageError(
            str(folder), "a DICOM series that cannot be read", "a complete series", "export the series again"
        ) from error


def write_image(image: Image, path: str | Path) -> None:
    """Write an image, whole or not at all; the suffix names the format.

    Raises
    ------
    OutputError
        If the suffix is unknown or the file cannot be written.
    """
    path = Path(path)
    if not path.name.lower().endswith(IMAGE_SUFFIXES):
        raise OutputError(str(path), "an unknown suffix", f"one of {', '.join(IMAGE_SUFFIXES)}", "rename the output")
    raw = to_sitk(image)
    if path.suffix.lower() in (".png", ".tif", ".tiff"):
        raw = _for_picture(raw, path, labels=image.labels)
    write_sitk(raw, path)


def write_sitk(image: sitk.Image, path: Path) -> None:
    """Write a SimpleITK image; gzip by ISA-L, which is ten times as fast as ITK's."""
    with atomic_path(path) as temporary, quiet():
        try:
            if path.name.lower().endswith(".nii.gz"):
                _write_gzipped(image, temporary)
            else:
                sitk.WriteImage(image, str(temporary), useCompression=path.suffix.lower() in (".nrrd", ".mha"))
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1][:120]
            raise OutputError(f"cannot write {path}", reason, "a writable place", "choose another output") from error


def _write_gzipped(image: sitk.Image, path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".learngn-") as folder:
        plain = Path(folder) / "image.nii"
        sitk.WriteImage(image, str(plain))
        with plain.open("rb") as source, igzip_threaded.open(path, "wb", compresslevel=1, threads=2) as target:
            while block := source.read(1 << 22):
                target.write(block)


def _for_picture(image: sitk.Image, path: Path, *, labels: bool) -> sitk.Image:
    """Eight bits for labels, sixteen for scans scaled to their range: what pictures can hold."""
    if image.GetDimension() != 2:
        raise OutputError(str(path), "a 3D image", "a 2D image for PNG or TIFF", "write .nii.gz instead")
    if labels:
        return sitk.Cast(image, sitk.sitkUInt8)
    return sitk.Cast(sitk.RescaleIntensity(image, 0, 65535), sitk.sitkUInt16)
