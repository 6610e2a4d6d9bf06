"""DICOM objects beside images: reading, what they have in common, and writing. Needs the extra ``[dicom]``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from learngn.errors import ImageError, LearnGNError, require_packages
from learngn.io.atomic import atomic_path
from learngn.io.files import check_exists

Kind = Literal["scan", "structures", "dose", "registration", "other"]

STRUCTURES = "1.2.840.10008.5.1.4.1.1.481.3"
DOSE = "1.2.840.10008.5.1.4.1.1.481.2"
RIGID, DEFORMABLE = "1.2.840.10008.5.1.4.1.1.66.1", "1.2.840.10008.5.1.4.1.1.66.3"
_KINDS: dict[str, Kind] = {
    STRUCTURES: "structures",
    DOSE: "dose",
    RIGID: "registration",
    DEFORMABLE: "registration",
}
_MAGIC = b"DICM"  # after 128 bytes
# Attributes of type 2, present but perhaps empty, which real exports lack.
_OFTEN_MISSING = ("PatientName", "PatientID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber")


def require_dicom(what: str) -> None:
    """Raise :class:`learngn.errors.MissingPackageError` if the packages of the extra ``[dicom]`` are missing."""
    require_packages(what, "dicom", "pydicom", "pydicomrt")


def is_dicom(path: Path) -> bool:
    """Whether a path is a DICOM file, by its first bytes."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(132)[128:] == _MAGIC


def kind_of(path: Path) -> Kind | None:
    """Return what a DICOM file holds, by its SOP class; None if it is none."""
    if not is_dicom(path):
        return None
    require_dicom(f"DICOM file {path}")
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        found = pydicom.dcmread(path, specific_tags=["SOPClassUID", "Rows"], stop_before_pixels=True)
    except (InvalidDicomError, OSError, ValueError, KeyError, EOFError, AttributeError):
        return None
    return _KINDS.get(str(found.get("SOPClassUID", "")), "scan" if "Rows" in found else "other")


def is_plan(path: str | Path, output: str | Path) -> bool:
    """Whether a file is a structure set, or a dose from which another DICOM file is made."""
    path, output = Path(path), Path(output)
    if not is_dicom(path):
        return False
    kind = kind_of(path) if output.suffix.lower() == ".dcm" else None
    return kind in ("structures", "dose")


def read_object(path: Path, what: str, *classes: str, error: type[LearnGNError] = ImageError) -> Any:
    """Read a DICOM file as a :class:`pydicom.Dataset`.

    Parameters
    ----------
    path : Path
    what : str
        Kind of object in messages.
    *classes : str
        SOP classes, of which it has one.
    error : type of LearnGNError
        Raised if it cannot be read or has another SOP class.
    """
    require_dicom(f"{what} {path}")
    check_exists(path, what, error)
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        found = pydicom.dcmread(path)
        kind = str(found.get("SOPClassUID", "none"))
    except (InvalidDicomError, OSError, ValueError, KeyError, EOFError, AttributeError) as failure:
        raise error(f"{what} {path}", f"'{failure}' from pydicom", f"a DICOM file ({what})", "check it") from failure
    if kind not in classes:
        name = pydicom.uid.UID(kind).name
        raise error(f"{what} {path}", f"the SOP class {name}", f"a DICOM {what}", "name another file")
    return found


def read_headers(paths: Sequence[str | Path]) -> list[Any]:
    """Read the headers of a scan's slices, without pixels; empty attributes that every file should have are added."""
    import pydicom

    headers = []
    for path in paths:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        for name in _OFTEN_MISSING:
            if name not in header:
                setattr(header, name, "")
        headers.append(header)
    return headers


def write_object(dataset: Any, path: str | Path, description: str) -> None:
    """Write a DICOM object, atomically, marked as made by this program.

    Parameters
    ----------
    dataset : pydicom.Dataset
        New object, with its own UIDs.
    path : Path
    description : str
        Series description.
    """
    from pydicom.valuerep import DSfloat

    for element in dataset.iterall():
        if element.VR == "DS" and element.keyword != "ContourData" and element.value not in (None, ""):
            values = element.value if element.VM > 1 else [element.value]
            element.value = [DSfloat(float(value), auto_format=True) for value in values]  # of 16 characters at most
    now = datetime.now()
    dataset.Manufacturer, dataset.ManufacturerModelName = "LearnGN", "learngn"
    dataset.InstitutionName = ""
    with suppress(PackageNotFoundError):  # a tree of source that is not installed
        dataset.SoftwareVersions = version("learngn")
    dataset.SeriesDescription = description
    dataset.SeriesDate = dataset.InstanceCreationDate = now.strftime("%Y%m%d")
    dataset.SeriesTime = dataset.InstanceCreationTime = now.strftime("%H%M%S")
    with atomic_path(path) as temporary:
        dataset.save_as(temporary, enforce_file_format=True)
