"""A folder of radiotherapy: one scan with the structures, doses and registrations that lie beside it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from learngn.errors import ImageError
from learngn.io.dicom import slices_of
from learngn.io.dicom_objects import Kind, kind_of, read_headers, require_dicom
from learngn.io.files import check_exists
from learngn.io.itk import quietly


@dataclass(frozen=True, eq=False)
class RTStudy:
    """Files of a folder of radiotherapy.

    Attributes
    ----------
    folder : Path
        Folder of the scan: :func:`learngn.io.read_image` reads it.
    headers : list of pydicom.Dataset
        Headers of the scan's slices, in the order of its last axis, without pixels.
    structures, doses, registrations : tuple of Path
        Objects in the folder and its subfolders, by name; they need not belong to the scan.
    """

    folder: Path
    headers: list[Any] = field(repr=False)
    structures: tuple[Path, ...] = ()
    doses: tuple[Path, ...] = ()
    registrations: tuple[Path, ...] = ()

    @cached_property
    def frame(self) -> str:
        """UID of the scan's frame of reference."""
        return str(self.headers[0].FrameOfReferenceUID)

    @property
    def patient(self) -> str:
        """Patient ID."""
        return str(self.headers[0].PatientID)

    def only(self, what: str, paths: tuple[Path, ...], option: str) -> Path | None:
        """Return the only object of a kind; None if there is none.

        Raises
        ------
        ImageError
            If there are several; the message names them and the parameter that chooses one.
        """
        if len(paths) > 1:
            names = ", ".join(os.path.relpath(path, self.folder) for path in paths)
            raise ImageError(
                f"DICOM folder {self.folder}",
                f"{len(paths)} {what}s: {names}",
                f"one {what}",
                f"choose one: {option} FILE",
            )
        return paths[0] if paths else None


def read_study(folder: str | Path) -> RTStudy:
    """Find the scan and the objects of radiotherapy in a folder and its subfolders.

    Raises
    ------
    ImageError
        If it holds no scan or several, or slices of several frames of reference or none.
    MissingPackageError
        Without the extra ``[dicom]``.
    """
    folder = Path(folder)
    check_exists(folder, "DICOM folder", ImageError)
    if not folder.is_dir():
        raise ImageError(f"DICOM folder {folder}", "a file", "the folder of a scan in DICOM", "name its folder")
    require_dicom(f"DICOM folder {folder}")
    with quietly():
        slices = slices_of(folder)
    headers = read_headers([slice_.path for slice_ in slices])
    frames = {str(header.get("FrameOfReferenceUID") or "") for header in headers}
    if len(frames) > 1 or "" in frames:
        got = "no frame of reference" if frames == {""} else f"slices of {len(frames)} frames of reference"
        raise ImageError(f"DICOM folder {folder}", got, "one for all slices", "export the scan again")
    found: dict[Kind, list[Path]] = {}
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(place) / name
            kind = kind_of(path)
            if kind is not None:
                found.setdefault(kind, []).append(path)
    return RTStudy(folder, headers, *(tuple(found.get(kind, ())) for kind in ("structures", "dose", "registration")))
