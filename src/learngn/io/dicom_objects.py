"""DICOM objects beside images: reading, what they have in common, and writing. Needs the extra ``[dicom]``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from learngn._version import __version__
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
    now = datetime.now()
    dataset.Manufacturer, dataset.ManufacturerModelName = "LearnGN", "learngn"
    dataset.SoftwareVersions, dataset.InstitutionName = __version__, ""
    dataset.SeriesDescription = description
    dataset.SeriesDate = dataset.InstanceCreationDate = now.strftime("%Y%m%d")
    dataset.SeriesTime = dataset.InstanceCreationTime = now.strftime("%H%M%S")
    with atomic_path(path) as temporary:
        dataset.save_as(temporary, enforce_file_format=True)
