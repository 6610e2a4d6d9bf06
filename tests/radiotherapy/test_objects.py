"""DICOM objects: what is written is read back, by us, by pydicomrt and by plastimatch; and what is refused."""

import copy
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from learngn import Affine, DisplacementField, Grid
from learngn.errors import ImageError, LabelError, OutputError, TransformError
from learngn.io import (
    Contour,
    Structure,
    StructureSet,
    is_plan,
    kind_of,
    read_dose,
    read_image,
    read_registration,
    read_structures,
    read_study,
    read_transform,
    to_itk,
    write_dose,
    write_registration,
    write_structures,
    write_transform,
)

PLASTIMATCH = Path(sys.executable).with_name("plastimatch")
needs_plastimatch = pytest.mark.skipif(
    find_spec("plastimatch") is None or not PLASTIMATCH.exists(), reason="needs plastimatch (extra [interop])"
)
A, B = np.cos(0.2), np.sin(0.2)
TURN = np.array([[A, -B, 0, 5.0], [B, A, 0, -7.0], [0, 0, 1, 3.0], [0, 0, 0, 1]])
SHEAR = TURN @ np.array([[1.1, 0.02, 0, 0], [0, 0.95, 0, 0], [0, 0.03, 1, 2.0], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def other(phantom, tmp_path_factory):
    """Another scan of the patient, in another frame of reference."""
    from learngn.phantom import write_plan

    return read_study(write_plan(phantom, tmp_path_factory.mktemp("other") / "today", organs={}))


@pytest.fixture
def waves(scan):
    index = np.indices(scan.grid.shape, dtype=np.float32)
    data = np.stack([1.5 * np.sin(np.roll(index, 1, 0)[axis] / 6 + axis) for axis in range(3)])
    return DisplacementField(data[None], scan.grid)


@pytest.fixture
def inner(scan, rng):
    return scan.grid.index_to_world(rng.uniform(2, np.array(scan.grid.shape) - 3, (40, 3)))


def test_a_study(study, plan, scan):
    assert [path.name for path in (*study.structures, *study.doses)] == ["RS.dcm", "RD.dcm"]
    assert study.registrations == ()
    assert (study.patient, len(study.headers)) == ("PHANTOM", scan.grid.shape[2])
    first = scan.grid.index_to_world([0, 0, 3]) * [-1, -1, 1]
    np.testing.assert_allclose(study.headers[3].ImagePositionPatient, first, atol=1e-6)
    assert [kind_of(plan / name) for name in ("RS.dcm", "RD.dcm", "CT.001.dcm")] == ["structures", "dose", "scan"]
    assert kind_of(Path(__file__)) is None
    assert is_plan(plan / "RS.dcm", "out.dcm")
    assert not is_plan(plan / "RD.dcm", "out.nii.gz")


def test_structures_are_written_as_they_are(study, tmp_path):
    found = read_structures(study.structures[0], study.frame)
    point = Structure(77, "isocentre", (9, 8, 7), "ISOCENTER", (Contour(np.array([[1.0, 2.0, 3.0]]), "point"),))
    again = StructureSet((*found.structures, point), "MY PLAN", study.frame)
    write_structures(again, tmp_path / "rs.dcm", study.headers)
    back = read_structures(tmp_path / "rs.dcm", study.frame)
    assert back.label == "MY PLAN"
    for one, two in zip(again.structures, back.structures, strict=True):
        assert (one.number, one.name, one.colour, one.kind) == (two.number, two.name, two.colour, two.kind)
        assert [c.form for c in one.contours] == [c.form for c in two.contours]
        for a, b in zip(sorted(one.regions, key=str), sorted(two.regions, key=str), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-3)
    stored = pydicom.dcmread(tmp_path / "rs.dcm")
    by_slice = {header.SOPInstanceUID: header for header in study.headers}
    for item in stored.ROIContourSequence[0].ContourSequence:
        header = by_slice[item.ContourImageSequence[0].ReferencedSOPInstanceUID]
        assert item.ContourData[2] == pytest.approx(header.ImagePositionPatient[2], abs=1e-3)
    (series,) = stored.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence
    assert series.SeriesInstanceUID == study.headers[0].SeriesInstanceUID
    assert stored.SOPInstanceUID != pydicom.dcmread(study.structures[0]).SOPInstanceUID
    assert (stored.PatientID, stored.StudyInstanceUID) == ("PHANTOM", study.headers[0].StudyInstanceUID)


def test_objects_are_what_the_standard_asks(study, other, scan, waves, tmp_path):
    from pydicomrt.dose import check_rtdose_iod
    from pydicomrt.reg import check_deformable_reg_iod, check_spatial_reg_iod
    from pydicomrt.rs import check_rtstruct_iod

    write_structures(read_structures(study.structures[0]), tmp_path / "rs.dcm", study.headers)
    write_dose(read_dose(study.doses[0]), tmp_path / "rd.dcm", study.headers[0], "as planned")
    write_registration(waves, tmp_path / "deformable.dcm", study.headers, other.headers, scan.grid)
    write_registration(Affine(SHEAR), tmp_path / "spatial.dcm", study.headers, other.headers, scan.grid)
    checks = {"rd": check_rtdose_iod, "deformable": check_deformable_reg_iod, "spatial": check_spatial_reg_iod}
    for name, check in {"rs": check_rtstruct_iod, **checks}.items():
        stored = pydicom.dcmread(tmp_path / f"{name}.dcm")
        assert check(stored) == {"result": True, "content": []}, name
        texts = [str(v) for e in stored.iterall() if e.VR == "DS" for v in (e.value if e.VM > 1 else [e.value])]
        assert max(len(text) for text in texts) <= 16
        assert stored.Manufacturer == "LearnGN"


def test_a_dose_returns(study, tmp_path):
    dose = read_dose(study.doses[0], study.frame)
    stored = pydicom.dcmread(study.doses[0])
    np.testing.assert_allclose(dose.image.data[0, 0].T, stored.pixel_array * 1e-4, rtol=1e-6)
    write_dose(dose, tmp_path / "rd.dcm", study.headers[0], "x" * 200)
    back = read_dose(tmp_path / "rd.dcm", study.frame)
    assert back.image.grid.same_space(dose.image.grid, 1e-4)
    np.testing.assert_allclose(back.image.data, dose.image.data, atol=1e-6)
    assert (back.units, back.kind, back.summation) == ("GY", "PHYSICAL", "PLAN")
    assert back.plans[0].ReferencedSOPInstanceUID == dose.plans[0].ReferencedSOPInstanceUID
    for path in (study.doses[0], tmp_path / "rd.dcm"):  # read as an image, it has the same values and place
        image = read_image(path)
        assert image.grid.same_space(dose.image.grid, 1e-4)
        np.testing.assert_allclose(image.data, dose.image.data, atol=1e-5)


@pytest.mark.parametrize("kind", ["backwards", "coordinates", "upside down"])
def test_planes_in_other_orders(kind, study, tmp_path):
    dose = read_dose(study.doses[0])
    stored = pydicom.dcmread(study.doses[0])
    values, offsets = stored.pixel_array, np.array(stored.GridFrameOffsetVector, dtype=float)
    position = np.array(stored.ImagePositionPatient, dtype=float)
    if kind == "backwards":
        position[2] += offsets[-1]
        stored.GridFrameOffsetVector, stored.PixelData = (-offsets).tolist(), values[::-1].tobytes()
    elif kind == "coordinates":
        stored.GridFrameOffsetVector = (position[2] + offsets).tolist()
    else:  # rows from back to front: the normal points to the feet
        position += [0, (values.shape[1] - 1) * float(stored.PixelSpacing[0]), offsets[-1]]
        stored.ImageOrientationPatient, stored.PixelData = [1, 0, 0, 0, -1, 0], values[::-1, ::-1].tobytes()
    stored.ImagePositionPatient = [float(f"{x:.9g}") for x in position]
    stored.save_as(tmp_path / "rd.dcm")
    found = read_dose(tmp_path / "rd.dcm").image
    points = dose.image.grid.index_to_world([[3, 4, 5], [20, 10, 30]])
    for point in points:
        values = [
            float(image.data[0, 0][tuple(np.rint(image.grid.world_to_index(point)).astype(int))])
            for image in (dose.image, found)
        ]
        assert values[0] == pytest.approx(values[1])
    assert sorted(found.grid.shape) == sorted(dose.image.grid.shape)


@pytest.mark.parametrize("matrix", [np.eye(4), TURN, SHEAR], ids=["identity", "rigid", "affine"])
def test_a_spatial_registration_returns(matrix, study, other, scan, inner, tmp_path):
    write_registration(Affine(matrix), tmp_path / "reg.dcm", study.headers, other.headers, scan.grid)
    back = read_transform(tmp_path / "reg.dcm")
    np.testing.assert_allclose(back.map_points(inner), Affine(matrix).map_points(inner), atol=1e-4)
    stored = pydicom.dcmread(tmp_path / "reg.dcm")
    kind = stored.RegistrationSequence[0].MatrixRegistrationSequence[0].MatrixSequence[0]
    assert kind.FrameOfReferenceTransformationMatrixType == ("AFFINE" if matrix is SHEAR else "RIGID")
    # PS3.3 C.20.2.1.1: the matrix maps points of the item's frame of reference, that of the moving scan, to ours.
    stored_matrix = np.array(kind.FrameOfReferenceTransformationMatrix, dtype=float).reshape(4, 4)
    lps = inner * [-1, -1, 1]
    moving = Affine(matrix).map_points(inner) * [-1, -1, 1]
    np.testing.assert_allclose(moving @ stored_matrix[:3, :3].T + stored_matrix[:3, 3], lps, atol=1e-4)


@pytest.mark.parametrize("axes", ["LPS", "RAS", "LAS", "oblique"])
def test_a_deformable_registration_returns(axes, study, other, scan, rng, tmp_path):
    direction = {
        "LPS": np.diag([-1.0, -1, 1]), "RAS": np.eye(3), "LAS": np.diag([-1.0, 1, 1]), "oblique": TURN[:3, :3],
    }[axes]  # fmt: skip
    grid = Grid.from_spacing((20, 18, 16), (2.0, 2.5, 3.0), direction=direction)
    data = 1.5 * np.sin(np.indices(grid.shape)[[1, 2, 0]] / 4).astype(np.float32)
    transform = DisplacementField(data[None], grid).then(Affine(SHEAR))
    write_registration(transform, tmp_path / "reg.dcm", study.headers, other.headers, grid)
    points = grid.index_to_world(rng.uniform(0, np.array(grid.shape) - 1, (40, 3)))
    back = read_registration(tmp_path / "reg.dcm", other.frame)
    np.testing.assert_allclose(back.map_points(points), transform.map_points(points), atol=1e-3)
    itk = to_itk(transform)
    theirs = [itk.TransformPoint((point * [-1, -1, 1]).tolist()) for point in points]
    np.testing.assert_allclose(back.map_points(points) * [-1, -1, 1], theirs, atol=1e-3)


def test_the_matrix_before_a_deformation(study, other, scan, waves, inner, tmp_path):
    """PS3.3 C.20.3.1.1: source = M_post (M_pre p + d(p)), d at the points of the grid themselves."""
    write_registration(waves, tmp_path / "reg.dcm", study.headers, other.headers, scan.grid)
    stored = pydicom.dcmread(tmp_path / "reg.dcm")
    (item,) = stored.DeformableRegistrationSequence
    before = item.PreDeformationMatrixRegistrationSequence[0]
    before.FrameOfReferenceTransformationMatrix = [float(f"{x:.10g}") for x in TURN.ravel()]
    stored.save_as(tmp_path / "reg.dcm")
    (grid,) = item.DeformableRegistrationGridSequence
    vectors = np.frombuffer(grid.VectorGridData, "<f4").reshape(*grid.GridDimensions[::-1], 3)
    index = (4, 7, 9)
    point = np.array(grid.ImagePositionPatient) + np.array(index) * grid.GridResolution
    source = TURN[:3, :3] @ point + TURN[:3, 3] + vectors[index[::-1]]
    found = read_registration(tmp_path / "reg.dcm").map_points(point * [-1, -1, 1]) * [-1, -1, 1]
    np.testing.assert_allclose(found, source, atol=1e-3)


@pytest.mark.slow
@needs_plastimatch
@pytest.mark.parametrize("kind", ["deformable", "rigid"])
def test_registrations_of_plastimatch(kind, study, other, plan, waves, inner, tmp_path):
    transform = waves if kind == "deformable" else Affine(TURN)
    name = tmp_path / ("field.nrrd" if kind == "deformable" else "matrix.tfm")
    write_transform(transform, name)
    folders = ("--fixed-rcs", plan, "--moving-rcs", other.folder)
    subprocess.run(
        [PLASTIMATCH, "xf-convert", "--input", name, "--output-dicom", tmp_path / "out", *folders],
        check=True, capture_output=True,
    )  # fmt: skip
    (path,) = [path for path in (tmp_path / "out").iterdir() if kind_of(path) == "registration"]
    found = read_transform(path)
    np.testing.assert_allclose(found.map_points(inner), transform.map_points(inner), atol=1e-3)


@pytest.mark.slow
@needs_plastimatch
def test_structures_and_dose_by_plastimatch(study, plan, scan, tmp_path):
    from learngn.radiotherapy import carry_structures

    found = read_structures(study.structures[0], study.frame)
    carried = carry_structures(found.structures, Affine.identity(3), scan.grid, scan.grid).structures
    write_structures(StructureSet(carried, "CARRIED", study.frame), tmp_path / "carried.dcm", study.headers)
    write_dose(read_dose(study.doses[0]), tmp_path / "rd.dcm", study.headers[0], "as planned")
    for path in (study.structures[0], tmp_path / "carried.dcm"):
        subprocess.run(
            [PLASTIMATCH, "convert", "--input", path, "--referenced-ct", plan,
             "--output-prefix", tmp_path / path.stem, "--prefix-format", "nrrd"],
            check=True, capture_output=True,
        )  # fmt: skip
    for structure in found.structures[:3]:
        masks = [
            sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / stem / f"{structure.name}.nrrd"))).astype(bool)
            for stem in ("RS", "carried")
        ]
        assert masks[0].sum() > 100
        assert (masks[0] != masks[1]).sum() <= 0.01 * masks[0].sum()
    subprocess.run(
        [PLASTIMATCH, "convert", "--input-dose-img", tmp_path / "rd.dcm", "--output-dose-img", tmp_path / "dose.nrrd"],
        check=True, capture_output=True,
    )  # fmt: skip
    theirs, dose = read_image(tmp_path / "dose.nrrd"), read_dose(study.doses[0]).image
    assert theirs.grid.same_space(dose.grid, 1e-3)
    np.testing.assert_allclose(theirs.data, dose.data, atol=1e-3)


def changed(path, target, change):
    stored = pydicom.dcmread(path)
    change(stored)
    stored.save_as(target)
    return target


def test_what_is_refused(study, plan, other, scan, waves, tmp_path):
    rs, rd = study.structures[0], study.doses[0]
    with pytest.raises(LabelError, match=r"frame of reference .*, expected that of the scan"):
        read_structures(rs, other.frame)
    with pytest.raises(ImageError, match=r"frame of reference .*, expected that of the scan"):
        read_dose(rd, other.frame)
    with pytest.raises(LabelError, match="SOP class RT Dose Storage, expected a DICOM structure set"):
        read_structures(rd)
    with pytest.raises(TransformError, match="SOP class RT Dose Storage"):
        read_transform(rd)
    with pytest.raises(ImageError, match="no such file"):
        read_dose(tmp_path / "none.dcm")
    (tmp_path / "text.dcm").write_text("no DICOM")
    with pytest.raises(TransformError, match="from pydicom"):
        read_transform(tmp_path / "text.dcm")

    def two_frames(stored):
        stored.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = "1.2.3"

    with pytest.raises(LabelError, match="structures in 2 frames of reference"):
        read_structures(changed(rs, tmp_path / "a.dcm", two_frames))
    with pytest.raises(LabelError, match="no structure, expected at least one"):
        read_structures(changed(rs, tmp_path / "a.dcm", lambda stored: delattr(stored, "StructureSetROISequence")))

    def uneven(stored):
        stored.GridFrameOffsetVector[3] += 1

    with pytest.raises(ImageError, match="planes at distances from 4 to 6 mm"):
        read_dose(changed(rd, tmp_path / "a.dcm", uneven))
    with pytest.raises(ImageError, match="no DoseGridScaling"):
        read_dose(changed(rd, tmp_path / "a.dcm", lambda stored: delattr(stored, "DoseGridScaling")))
    flat = Grid.from_spacing((4, 4), 1.0)
    with pytest.raises(OutputError, match="its axes at right angles"):
        write_registration(Affine.identity(2), tmp_path / "a.dcm", study.headers, other.headers, flat)
    write_registration(waves, tmp_path / "reg.dcm", study.headers, other.headers, scan.grid)
    with pytest.raises(TransformError, match=r"expected one of the moving scan's frame, 1\.2\.3"):
        read_registration(tmp_path / "reg.dcm", "1.2.3")

    def short(stored):
        grid = stored.DeformableRegistrationSequence[0].DeformableRegistrationGridSequence[0]
        grid.VectorGridData = grid.VectorGridData[:-8]

    with pytest.raises(TransformError, match="three for each of its points"):
        read_registration(changed(tmp_path / "reg.dcm", tmp_path / "a.dcm", short))


def test_studies_that_are_refused(study, plan, tmp_path):
    with pytest.raises(ImageError, match="a file, expected the folder"):
        read_study(plan / "RS.dcm")
    folder = tmp_path / "two"
    shutil.copytree(plan, folder)
    header = copy.deepcopy(pydicom.dcmread(folder / "CT.002.dcm"))
    header.FrameOfReferenceUID = "1.2.3"
    header.save_as(folder / "CT.002.dcm")
    with pytest.raises(ImageError, match="slices of 2 frames of reference"):
        read_study(folder)
    (folder / "CT.002.dcm").unlink()
    with pytest.raises(ImageError, match="look for missing slices"):
        read_image(folder)
