"""Phantoms as radiotherapy has its patients: a planning CT in DICOM with structures and a dose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learngn.errors import require_packages
from learngn.geometry.grid import FloatArray, Grid
from learngn.geometry.image import Image
from learngn.phantom.abdomen import Phantom
from learngn.phantom.anatomy import ORGANS

_CT, _STRUCTURES, _DOSE, _PLAN = (f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("2", "481.3", "481.2", "481.5"))
_LPS = np.diag([-1.0, -1.0, 1.0])
_COLOURS = ((230, 60, 60), (60, 160, 230), (70, 190, 90), (240, 200, 60), (180, 110, 220), (120, 120, 120))
_DOSE_SPACING = 5.0  # [mm]
_SCALING = 1e-4  # dose of one unit of the file [Gy]

DoseFunction = Callable[[FloatArray], FloatArray]


def write_plan(
    phantom: Phantom,
    folder: str | Path,
    *,
    organs: Mapping[int, str] = ORGANS,
    target: int = 6,
    prescription: float = 50.0,
    dose: DoseFunction | None = None,
    patient: str = "PHANTOM",
) -> Path:
    """Write a phantom as a DICOM folder: CT slices, a structure set and a dose, as a planning system exports them.

    Parameters
    ----------
    phantom : Phantom
        3D.
    folder : path
        Created if necessary.
    organs : dict
        Names of the labels that become structures.
    target : int
        Label at whose centre the dose has its maximum, if the phantom has it.
    prescription : float
        Dose at the maximum [Gy].
    dose : callable, optional
        Dose [Gy] at points (n, 3) [RAS mm]; by default a Gaussian of 40 mm about the target.
    patient : str
        Patient ID. Folders of one patient have different frames of reference.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    MissingPackageError
        Without the extra ``[dicom]``.
    """
    require_packages("DICOM folders of phantoms", "dicom", "pydicom", "skimage")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    scan, labels = _turned(phantom.scan), _turned(phantom.labels)
    writer = _Writer(folder, patient)
    slices = writer.scan(scan)
    writer.structures(labels, organs, slices)
    if dose is None:
        inside = np.argwhere(labels.data[0, 0] == target)
        centre = labels.grid.index_to_world(inside.mean(0)) if len(inside) else labels.grid.centre

        def dose(points: FloatArray) -> FloatArray:
            return np.asarray(prescription * np.exp(-((points - centre) ** 2).sum(-1) / (2 * 40.0**2)))

    writer.dose(scan.grid, dose)
    return folder


def _turned(image: Image) -> Image:
    """Return an image with the axes of a usual CT: to the left, to the back, to the head."""
    flips = [axis for axis, code in enumerate(image.grid.axis_codes) if code != "LPS"[axis]]
    affine = np.array(image.grid.affine)
    for axis in flips:
        affine[:, 3] += affine[:, axis] * (image.grid.shape[axis] - 1)
        affine[:, axis] *= -1
    data = np.flip(np.asarray(image.data), tuple(axis + 2 for axis in flips))
    return Image(data, Grid(image.grid.shape, affine), image.labels)


class _Writer:
    """Writes the objects of one study, with UIDs that follow from folder and patient."""

    def __init__(self, folder: Path, patient: str) -> None:
        self.folder, self.patient = folder, patient
        self.study, self.frame, self.series = (self.uid(name) for name in ("study", "frame", "ct"))

    def uid(self, *names: object) -> str:
        from pydicom.uid import generate_uid

        return str(generate_uid(entropy_srcs=[self.patient, self.folder.name, *map(str, names)]))

    def scan(self, scan: Image) -> list[str]:
        """Write the slices of a CT, and return their UIDs."""
        grid = scan.grid
        uids = []
        for k in range(grid.shape[2]):
            found = self._object(_CT, "CT", self.series, f"ct{k}")
            self._place(found, grid, k)
            found.ImageType, found.InstanceNumber, found.SliceThickness = (
                ["ORIGINAL", "PRIMARY"],
                k + 1,
                grid.spacing[2],
            )
            found.RescaleSlope, found.RescaleIntercept, found.KVP = 1, -1024, 120
            self._pixels(found, np.rint(scan.data[0, 0, :, :, k].T + 1024).clip(0, 4095).astype(np.uint16))
            uids.append(str(found.SOPInstanceUID))
            self._save(found, f"CT.{k + 1:03d}.dcm")
        return uids

    def structures(self, labels: Image, organs: Mapping[int, str], slices: list[str]) -> None:
        """Write the outlines of labels as a structure set."""
        find_contours: Any = import_module("skimage.measure").find_contours

        found = self._object(_STRUCTURES, "RTSTRUCT", self.uid("structures"), "structures")
        found.StructureSetLabel, found.StructureSetDate, found.StructureSetTime = "PLAN", "20260102", "120000"
        images = [_item(ReferencedSOPClassUID=_CT, ReferencedSOPInstanceUID=uid) for uid in slices]
        series = _item(SeriesInstanceUID=self.series, ContourImageSequence=images)
        study = _item(
            ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1",
            ReferencedSOPInstanceUID=self.study,
            RTReferencedSeriesSequence=[series],
        )
        frame = _item(FrameOfReferenceUID=self.frame, RTReferencedStudySequence=[study])
        found.ReferencedFrameOfReferenceSequence = [frame]
        names, drawn, seen = [], [], []
        for place, (label, name) in enumerate(organs.items()):
            contours = []
            for k, uid in enumerate(slices):
                mask = np.pad(labels.data[0, 0, :, :, k] == label, 1).astype(np.float32)
                for curve in find_contours(mask, 0.5):
                    index = np.column_stack([curve[:-1] - 1, np.full(len(curve) - 1, k)])
                    points = np.round(labels.grid.index_to_world(index) @ _LPS, 3)
                    contours.append(
                        _item(
                            ContourImageSequence=[_item(ReferencedSOPClassUID=_CT, ReferencedSOPInstanceUID=uid)],
                            ContourGeometricType="CLOSED_PLANAR",
                            NumberOfContourPoints=len(points),
                            ContourData=[float(x) for x in points.ravel()],
                        )
                    )
            number = 3 * place + 2  # numbers need not be consecutive
            names.append(
                _item(
                    ROINumber=number,
                    ROIName=name,
                    ROIGenerationAlgorithm="MANUAL",
                    ReferencedFrameOfReferenceUID=self.frame,
                )
            )
            drawn.append(_item(ReferencedROINumber=number, ROIDisplayColor=list(_COLOURS[place % len(_COLOURS)])))
            if contours:
                drawn[-1].ContourSequence = contours
            seen.append(
                _item(
                    ObservationNumber=number,
                    ReferencedROINumber=number,
                    RTROIInterpretedType="ORGAN",
                    ROIInterpreter="",
                )
            )
        found.StructureSetROISequence, found.ROIContourSequence = names, drawn
        found.RTROIObservationsSequence = seen
        self._save(found, "RS.dcm")

    def dose(self, scan: Grid, function: DoseFunction) -> None:
        """Write a dose on a coarser grid than the scan's."""
        shape = tuple(max(2, round(extent / _DOSE_SPACING)) for extent in scan.extent)
        grid = scan.resized(shape)
        index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1).reshape(-1, 3)
        values = function(grid.index_to_world(index)).reshape(shape)
        found = self._object(_DOSE, "RTDOSE", self.uid("dose"), "dose")
        self._place(found, grid, 0)
        found.InstanceNumber, found.SliceThickness = 1, grid.spacing[2]
        found.NumberOfFrames, found.FrameIncrementPointer = shape[2], 0x3004000C
        found.GridFrameOffsetVector = [float(f"{k * grid.spacing[2]:.6g}") for k in range(shape[2])]
        found.DoseUnits, found.DoseType, found.DoseSummationType = "GY", "PHYSICAL", "PLAN"
        found.DoseGridScaling = _SCALING
        found.ReferencedRTPlanSequence = [_item(ReferencedSOPClassUID=_PLAN, ReferencedSOPInstanceUID=self.uid("plan"))]
        self._pixels(found, np.rint(values.transpose(2, 1, 0) / _SCALING).astype(np.uint32))
        self._save(found, "RD.dcm")

    def _object(self, kind: str, modality: str, series: str, name: str) -> Any:
        from pydicom.dataset import FileDataset, FileMetaDataset
        from pydicom.uid import ExplicitVRLittleEndian

        meta: Any = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = kind, self.uid(name)
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        found = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        found.SOPClassUID, found.SOPInstanceUID, found.Modality = kind, meta.MediaStorageSOPInstanceUID, modality
        found.PatientID, found.PatientName = self.patient, f"{self.patient}^Synthetic"
        found.PatientBirthDate, found.PatientSex = "", "O"
        found.StudyInstanceUID, found.StudyID, found.StudyDate, found.StudyTime = self.study, "1", "20260102", "120000"
        found.AccessionNumber, found.ReferringPhysicianName, found.Manufacturer = "", "", "phantom"
        found.SeriesInstanceUID, found.SeriesNumber, found.SeriesDescription = series, 1, self.folder.name
        found.FrameOfReferenceUID, found.PositionReferenceIndicator = self.frame, ""
        return found

    def _place(self, found: Any, grid: Grid, plane: int) -> None:
        direction = _LPS @ grid.direction
        found.ImageOrientationPatient = _numbers(direction[:, :2].T.ravel())
        found.ImagePositionPatient = _numbers(_LPS @ grid.index_to_world([0, 0, plane]))
        found.PixelSpacing = _numbers(grid.spacing[[1, 0]])
        found.Columns, found.Rows = grid.shape[:2]

    @staticmethod
    def _pixels(found: Any, values: NDArray[Any]) -> None:
        bits = 8 * values.dtype.itemsize
        found.SamplesPerPixel, found.PhotometricInterpretation, found.PixelRepresentation = 1, "MONOCHROME2", 0
        found.BitsAllocated = found.BitsStored = bits
        found.HighBit, found.PixelData = bits - 1, values.tobytes()

    def _save(self, found: Any, name: str) -> None:
        found.save_as(self.folder / name, enforce_file_format=True)


def _item(**values: Any) -> Any:
    from pydicom.dataset import Dataset

    made = Dataset()
    for name, value in values.items():
        setattr(made, name, value)
    return made


def _numbers(values: FloatArray) -> list[float]:
    """Return numbers of at most 16 characters, as DICOM's decimal strings need them."""
    return [float(f"{value + 0.0:.9g}") for value in values]
