"""Dose distributions of radiotherapy (DICOM RTDOSE)."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from learngn.arrays import as_numpy
from learngn.errors import ImageError
from learngn.geometry.grid import FloatArray, Grid
from learngn.geometry.image import Image
from learngn.io.dicom_objects import DOSE, read_object, require_dicom, write_object
from learngn.io.itk import affine_at, put_on_grid
from learngn.io.simpleitk import sitk

_WHAT = "dose"
_UNEQUAL = 0.01  # tolerance of the distance between planes [mm]


@dataclass(frozen=True, eq=False)
class Dose:
    """Dose on a grid.

    Attributes
    ----------
    image : Image
        (1, 1, *S) [Gy, or per cent if `units` is ``"RELATIVE"``].
    units : str
        ``"GY"`` or ``"RELATIVE"``.
    kind : str
        Dose type: ``"PHYSICAL"``, ``"EFFECTIVE"`` or ``"ERROR"``.
    summation : str
        Dose summation type, such as ``"PLAN"``.
    frame : str
        UID of the frame of reference of its grid.
    plans : sequence of pydicom.Dataset
        References to the plans from which it was computed.
    """

    image: Image
    units: str = "GY"
    kind: str = "PHYSICAL"
    summation: str = "PLAN"
    frame: str = ""
    plans: tuple[Any, ...] = field(default=(), repr=False)


def read_dose(path: str | Path, frame: str | None = None) -> Dose:
    """Read a dose.

    Parameters
    ----------
    path : Path
        DICOM RTDOSE with one or more planes.
    frame : str, optional
        UID of the scan's frame of reference, in which the dose has to lie.

    Raises
    ------
    ImageError
        If the file is no dose, holds no grid or one of unequal distances, or lies in another frame of reference.
    MissingPackageError
        Without the extra ``[dicom]``.
    """
    path = Path(path)
    found = read_object(path, _WHAT, DOSE)
    own = str(found.get("FrameOfReferenceUID") or "")
    if frame and own and own != frame:
        raise ImageError(
            f"{_WHAT} {path}", f"the frame of reference {own}", f"that of the scan, {frame}",
            "name the dose that was computed on this scan",
        )  # fmt: skip
    needed = ("PixelData", "DoseGridScaling", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
    if missing := [name for name in needed if name not in found]:
        raise ImageError(f"{_WHAT} {path}", f"no {', '.join(missing)}", "a dose on a grid", "export the dose grid")
    from pydicomrt.dose import get_dose_array

    values = np.asarray(get_dose_array(found), dtype=np.float64)
    values = values.reshape((-1, *values.shape[-2:]))  # of one plane, without the axis of planes
    grid, backwards = _grid_of(path, found, len(values))
    data = np.ascontiguousarray((values[::-1] if backwards else values).T, dtype=np.float32)
    return Dose(
        Image(data[None, None], grid, path=path),
        str(found.get("DoseUnits") or "GY"),
        str(found.get("DoseType") or "PHYSICAL"),
        str(found.get("DoseSummationType") or "PLAN"),
        own,
        tuple(deepcopy(item) for item in found.get("ReferencedRTPlanSequence") or ()),
    )


def write_dose(dose: Dose, path: str | Path, header: Any, comment: str) -> None:
    """Write a dose for a scan, atomically, with new UIDs and the patient and study of the scan.

    Values are stored in 32 bits, to 1e-7 Gy; negative ones, which interpolation cannot make, as 0.

    Parameters
    ----------
    dose : Dose
    path : Path
    header : pydicom.Dataset
        Header of a slice of the scan, see :class:`learngn.io.RTStudy`.
    comment : str
        Dose comment: how it came about; up to 64 characters.
    """
    require_dicom(f"{_WHAT} {path}")
    from pydicom.sequence import Sequence
    from pydicomrt.dose import RTDoseBuilder

    image = sitk.GetImageFromArray(np.maximum(as_numpy(dose.image.data)[0, 0].T, 0).astype(np.float64))
    put_on_grid(image, dose.image.grid)
    builder = RTDoseBuilder(header).set_dose_grid(
        image, dose_type=dose.kind, dose_summation_type=dose.summation, dose_units=dose.units
    )
    dataset = builder.build()
    if dose.plans:
        dataset.ReferencedRTPlanSequence = Sequence(deepcopy(list(dose.plans)))
    else:
        del dataset.ReferencedRTPlanSequence
    dataset.DoseComment = comment[:64]
    write_object(dataset, path, "Dose carried by registration")


def _grid_of(path: Path, found: Any, count: int) -> tuple[Grid, bool]:
    """Return the grid of a dose, along its normal, and whether its planes are stored the other way round."""
    axes = np.asarray(found.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
    normal = np.cross(*axes)
    rows, columns = (float(size) for size in found.PixelSpacing)
    offsets = _offsets(path, found, count, normal)
    steps = np.diff(offsets)
    step = float(steps.mean()) if count > 1 else float(found.get("SliceThickness") or rows)
    if count > 1 and (np.abs(steps - step).max() > _UNEQUAL or abs(step) < _UNEQUAL):
        raise ImageError(
            f"{_WHAT} {path}", f"planes at distances from {steps.min():g} to {steps.max():g} mm", "equal distances",
            "export the dose on a regular grid",
        )  # fmt: skip
    backwards = step < 0
    first = np.asarray(found.ImagePositionPatient, dtype=np.float64)
    first = first + normal * (offsets[-1] if backwards else offsets[0])
    direction = np.stack([*axes, normal], axis=1)
    affine = affine_at([columns, rows, abs(step)], first.tolist(), direction)
    return Grid((int(found.Columns), int(found.Rows), count), affine), backwards


def _offsets(path: Path, found: Any, count: int, normal: FloatArray) -> FloatArray:
    """Return the distances of the planes from the position of the file along the normal [mm]."""
    stored = found.get("GridFrameOffsetVector")
    if stored is None or count == 1:
        if count > 1:
            raise ImageError(
                f"{_WHAT} {path}", f"{count} planes without their distances", "a grid frame offset vector",
                "export the dose again",
            )  # fmt: skip
        return np.zeros(1)
    offsets = np.atleast_1d(np.asarray(stored, dtype=np.float64))
    if len(offsets) != count:
        raise ImageError(f"{_WHAT} {path}", f"{len(offsets)} distances of {count} planes", "one a plane", "check it")
    if offsets[0] != 0:
        # PS3.3 C.8.8.3.2: the distances are then coordinates along z, of planes across that axis.
        place = float(np.asarray(found.ImagePositionPatient, dtype=np.float64) @ normal)
        offsets = offsets * np.sign(normal[2] or 1.0) - place
        if abs(offsets[0]) > _UNEQUAL:
            raise ImageError(
                f"{_WHAT} {path}", f"a first plane {offsets[0]:g} mm from the position of the file", "at it", "check it"
            )
    return offsets
