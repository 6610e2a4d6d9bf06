"""Structure sets of radiotherapy (DICOM RTSTRUCT): contours in planes, and points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from learngn.errors import LabelError
from learngn.geometry.grid import FloatArray
from learngn.io.dicom_objects import STRUCTURES, read_object, require_dicom, write_object
from learngn.io.itk import lps

_WHAT = "structure set"
_DECIMALS = 3  # of coordinates in mm: a number of DICOM has at most 16 characters
_GREY = (128, 128, 128)
Form = Literal["region", "point", "line"]
_FORMS: dict[str, Form] = {
    "CLOSED_PLANAR": "region",
    "CLOSEDPLANAR_XOR": "region",
    "POINT": "point",
    "OPEN_PLANAR": "line",
    "OPEN_NONPLANAR": "line",
}


@dataclass(frozen=True, eq=False)
class Contour:
    """Points of a structure in one plane.

    Attributes
    ----------
    points : array, shape (n, 3) [RAS mm]
        Corners of a closed polygon, without repetition of the first; or a single point.
    form : {"region", "point", "line"}
        Boundary of a region (polygons within one another are holes), a point of interest, or an open line.
    """

    points: FloatArray
    form: Form = "region"


@dataclass(frozen=True, eq=False)
class Structure:
    """Structure (ROI) of a structure set.

    Attributes
    ----------
    number : int
        ROI number.
    name : str
    colour : tuple of int
        Red, green and blue, 0 to 255.
    kind : str
        RT ROI interpreted type, such as ``"PTV"`` or ``"ORGAN"``; may be empty.
    contours : tuple of Contour
        Empty for a structure that is named but not drawn.
    """

    number: int
    name: str
    colour: tuple[int, int, int] = _GREY
    kind: str = ""
    contours: tuple[Contour, ...] = ()

    @property
    def regions(self) -> list[FloatArray]:
        """Corners of all closed polygons, shape (n, 3) each [RAS mm]."""
        return [contour.points for contour in self.contours if contour.form == "region"]


@dataclass(frozen=True, eq=False)
class StructureSet:
    """Structures drawn on one scan.

    Attributes
    ----------
    structures : tuple of Structure
        In the order of the file.
    label : str
        Structure set label.
    frame : str
        UID of the frame of reference of their coordinates.
    """

    structures: tuple[Structure, ...]
    label: str = "LearnGN"
    frame: str = ""


def read_structures(path: str | Path, frame: str | None = None) -> StructureSet:
    """Read a structure set.

    Parameters
    ----------
    path : Path
        DICOM RTSTRUCT.
    frame : str, optional
        UID of the scan's frame of reference, in which all structures have to lie.

    Raises
    ------
    LabelError
        If the file is no structure set, has no structure, or structures in another or several frames of reference.
    MissingPackageError
        Without the extra ``[dicom]``.
    """
    path = Path(path)
    found = read_object(path, _WHAT, STRUCTURES, error=LabelError)
    named = {int(item.ROINumber): item for item in found.get("StructureSetROISequence") or ()}
    if not named:
        raise LabelError(f"{_WHAT} {path}", "no structure", "at least one", "export the structures again")
    own = _frame_of(path, found, named.values(), frame)
    drawn = {int(item.ReferencedROINumber): item for item in found.get("ROIContourSequence") or ()}
    kinds = {
        int(item.ReferencedROINumber): str(item.get("RTROIInterpretedType") or "")
        for item in found.get("RTROIObservationsSequence") or ()
    }
    structures = []
    for number, item in named.items():
        name = str(item.get("ROIName") or f"ROI {number}")
        shown = drawn.get(number)
        colour = None if shown is None else shown.get("ROIDisplayColor")
        contours = [] if shown is None else [_contour(path, name, part) for part in shown.get("ContourSequence") or ()]
        rgb = _GREY if colour is None or len(colour) != 3 else (int(colour[0]), int(colour[1]), int(colour[2]))
        structures.append(Structure(number, name, rgb, kinds.get(number, ""), tuple(contours)))
    return StructureSet(tuple(structures), str(found.get("StructureSetLabel") or "LearnGN"), own)


def write_structures(found: StructureSet, path: str | Path, headers: Sequence[Any]) -> None:
    """Write a structure set for a scan, atomically, with new UIDs and the patient and study of the scan.

    Parameters
    ----------
    found : StructureSet
        Structures in the frame of reference of the scan.
    path : Path
    headers : sequence of pydicom.Dataset
        Headers of the scan's slices, see :class:`learngn.io.RTStudy`. Each contour refers to the nearest one.
    """
    require_dicom(f"{_WHAT} {path}")
    from pydicomrt.rs import RTStructBuilder

    origin = np.array([header.ImagePositionPatient for header in headers], dtype=np.float64)
    axes = np.asarray(headers[0].ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
    normal = np.cross(*axes)
    places = origin @ normal
    builder = RTStructBuilder(list(headers)).set_structure_set_label(found.label[:16])
    for structure in found.structures:
        slices: dict[str, dict[str, Any]] = {}
        for contour in structure.contours:
            points = contour.points @ lps(3)
            header = headers[int(np.abs(places - float((points @ normal).mean())).argmin())]
            entry = slices.setdefault(header.SOPInstanceUID, {"sop_class_uid": header.SOPClassUID, "contours": []})
            entry["contours"].append([float(x) for x in np.round(points, _DECIMALS).ravel() + 0.0])
        builder.add_roi_from_contours(
            slices, structure.name, structure.number, structure.colour, interpreted_type=structure.kind
        )
    dataset = builder.build()
    dataset.StructureSetDescription = "carried by registration"
    for structure, item, shown, seen in zip(
        found.structures,
        dataset.StructureSetROISequence,
        dataset.ROIContourSequence,
        dataset.RTROIObservationsSequence,
        strict=True,
    ):
        item.ROIGenerationAlgorithm = "AUTOMATIC"
        item.ROIGenerationDescription = "carried by registration"
        del seen.ROIObservationDescription
        for part in shown.ContourSequence:
            if part.NumberOfContourPoints == 1:
                part.ContourGeometricType = "POINT"
            part.NumberOfContourPoints = int(part.NumberOfContourPoints)
        if not structure.contours:
            del shown.ContourSequence
    write_object(dataset, path, f"{found.label} carried by registration"[:64])


def _frame_of(path: Path, found: Any, items: Any, expected: str | None) -> str:
    """Return the frame of reference of all structures."""
    frames = {
        str(item.get("ReferencedFrameOfReferenceUID") or found.get("FrameOfReferenceUID") or "") for item in items
    }
    if len(frames) > 1:
        raise LabelError(
            f"{_WHAT} {path}", f"structures in {len(frames)} frames of reference ({', '.join(sorted(frames))})",
            "one, that of the scan", "export the structures of one scan",
        )  # fmt: skip
    (own,) = frames
    if expected and own and own != expected:
        raise LabelError(
            f"{_WHAT} {path}", f"structures in the frame of reference {own}", f"that of the scan, {expected}",
            "name the structure set that was drawn on this scan",
        )  # fmt: skip
    return own


def _contour(path: Path, name: str, item: Any) -> Contour:
    values = np.asarray(item.get("ContourData") or (), dtype=np.float64)
    form = _FORMS.get(str(item.get("ContourGeometricType", "CLOSED_PLANAR")))
    if values.size % 3 or not values.size or not np.isfinite(values).all() or form is None:
        got = f"a contour of {values.size} numbers, {item.get('ContourGeometricType')}"
        raise LabelError(f"structure {name} of {path}", got, "three a point", "export the structures again")
    return Contour(values.reshape(-1, 3) @ lps(3), form)
