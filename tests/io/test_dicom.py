"""A folder of DICOM slices is a volume; what is no volume is refused."""

import shutil

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from learngn.errors import ImageError
from learngn.io import read_grid, read_image, read_time_series


def write_series(folder, uid, positions, description="chest", *, direction=(1, 0, 0, 0, 1, 0)):
    """Slices of 5 x 4 pixels, 1.5 x 1.25 mm, in HU 100 n + pixel, at the positions given [LPS mm]."""
    folder.mkdir(exist_ok=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for n, position in enumerate(positions):
        image = sitk.GetImageFromArray((np.arange(20).reshape(1, 4, 5) + 100 * n).astype(np.int16))
        image.SetSpacing((1.5, 1.25, 2.0))
        tags = {
            "0008|0008": "DERIVED\\SECONDARY",
            "0008|0018": f"{uid}.{n}",
            "0008|0060": "CT",
            "0008|103e": description,
            "0020|000d": "1.2.3",
            "0020|000e": uid,
            "0020|0011": "7",
            "0020|0013": str(n),
            "0020|0032": "\\".join(str(x) for x in position),
            "0020|0037": "\\".join(str(x) for x in direction),
        }
        for tag, value in tags.items():
            image.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{uid}_{len(positions) - n}.dcm"))
        writer.Execute(image)


def test_slices_become_a_volume(tmp_path):
    write_series(tmp_path / "ct", "1.2.3.4", [(-10, -20, 5 + 2.5 * n) for n in range(4)])
    (tmp_path / "ct" / "notes.txt").write_text("not a slice")
    image = read_image(tmp_path / "ct")
    assert image.grid.shape == (5, 4, 4)
    np.testing.assert_allclose(image.grid.spacing, (1.5, 1.25, 2.5))
    np.testing.assert_allclose(image.grid.origin, (10, 20, 5))
    assert image.grid.axis_codes == "LPS"
    assert image.data[0, 0, 0, 0].tolist() == [0, 100, 200, 300]  # in the order of their places, not their names
    assert image.data[0, 0, :, 1, 0].tolist() == [5, 6, 7, 8, 9]
    assert read_grid(tmp_path / "ct") == image.grid
    assert np.array_equal(read_image(tmp_path / "ct", labels=True).data, image.data.astype(np.int16))


def test_several_series_are_listed(tmp_path):
    write_series(tmp_path / "ct", "1.2.3.4", [(0, 0, 2 * n) for n in range(4)], "thin")
    write_series(tmp_path / "ct", "1.2.3.5", [(0, 0, 5 * n) for n in range(2)], "thick")
    with pytest.raises(ImageError, match=r"2 series: .*CT 7 thin, .* \(4 slices.*CT 7 thick, .* \(2 slices"):
        read_image(tmp_path / "ct")


def test_a_missing_slice_is_noticed(tmp_path, capfd):
    write_series(tmp_path / "ct", "1.2.3.4", [(0, 0, z) for z in (0, 2, 6, 8)])
    with pytest.raises(ImageError, match=r"slices up to 0\.67 mm"):
        read_image(tmp_path / "ct")
    assert capfd.readouterr() == ("", "")


def test_a_tilted_gantry_is_noticed(tmp_path):
    write_series(tmp_path / "ct", "1.2.3.4", [(0, 0.5 * n, 2 * n) for n in range(4)])
    with pytest.raises(ImageError, match="slices up to"):
        read_image(tmp_path / "ct")


AXIAL, SAGITTAL = (1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1)


def write_slice(path, uid, n, position, *, axes=AXIAL, values=None, **tags):
    """A slice of 5 x 4 pixels, 1.5 x 1.25 mm, that holds 100 n + pixel, as a scanner's own tags describe it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    meta.MediaStorageSOPInstanceUID = f"{uid}.{n}"
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    slice_ = pydicom.dataset.FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    stored = (np.arange(20) + 100 * n if values is None else values).astype(np.int16)
    described = {
        "SOPClassUID": meta.MediaStorageSOPClassUID, "SOPInstanceUID": f"{uid}.{n}", "Modality": "MR",
        "StudyInstanceUID": "1.2.3", "SeriesInstanceUID": uid, "SeriesNumber": 4, "SeriesDescription": "spin echo",
        "ImagePositionPatient": list(position), "ImageOrientationPatient": list(axes), "PixelSpacing": [1.25, 1.5],
        "SliceThickness": 3, "Rows": 4, "Columns": 5, "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16, "BitsStored": 16, "HighBit": 15, "PixelRepresentation": 1, "PixelData": stored.tobytes(),
    }  # fmt: skip
    for name, value in {**described, **tags}.items():
        setattr(slice_, name, value)
    slice_.save_as(path, enforce_file_format=True)


@pytest.mark.parametrize(
    "slopes", [(1, 0.00074, 0.00111, 0.5), (1, 40, 40, 40), (1, 1e-5, 2e-5, 3e-5), (2, 2, 2, 2), (0.5, 1, 1, 1)]
)
def test_every_slice_has_the_slope_of_its_own(slopes, tmp_path):
    for n, slope in enumerate(slopes):
        write_slice(
            tmp_path / f"{n}.dcm", "1.2.3.4", n, (0, 0, 3 * n), RescaleSlope=f"{slope:g}", RescaleIntercept=str(-n)
        )
    data = read_image(tmp_path).data[0, 0]
    for n, slope in enumerate(slopes):
        np.testing.assert_allclose(data[:, :, n].T.ravel(), (np.arange(20) + 100 * n) * slope - n, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("gap", [3, -3])
def test_one_slice_is_a_volume_of_one(gap, tmp_path):
    write_slice(tmp_path / "a.dcm", "1.2.3.4", 1, (-10, -20, 5), SpacingBetweenSlices=gap)
    image = read_image(tmp_path)
    assert image.grid.shape == (5, 4, 1)
    np.testing.assert_allclose(image.grid.spacing, (1.5, 1.25, 3))
    np.testing.assert_allclose(image.grid.origin, (10, 20, 5))
    assert image.grid.axis_codes == "LPS"
    assert image.data[0, 0, :, 1, 0].tolist() == [105, 106, 107, 108, 109]


@pytest.mark.parametrize("rising", [True, False])
def test_negative_distance_between_slices(rising, tmp_path):
    for n in range(4):
        place = (0, 0, 3 * n if rising else -3 * n)
        write_slice(tmp_path / f"{n}.dcm", "1.2.3.4", n, place, SpacingBetweenSlices=-3)
    image = read_image(tmp_path)
    assert (image.grid.axis_codes, image.grid.spacing[2]) == ("LPS", 3)
    assert image.data[0, 0, 0, 0].tolist() == ([0, 100, 200, 300] if rising else [300, 200, 100, 0])


VOLUMES = {
    "echoes": (
        [{"position": (0, 0, 3 * (n % 3)), "EchoTime": 2.3 * (1 + n // 3)} for n in range(6)],
        r"2 volumes \(MR 4 spin echo\): echo time 2\.3 \(3 slices, .*echo time 4\.6 \(3 slices",
    ),
    "time points": (
        [{"position": (0, 0, 3 * (n // 4)), "TemporalPositionIdentifier": n % 4} for n in range(8)],
        r"4 volumes .*time point 0 \(2 slices, .*time point 3 \(2 slices",
    ),
    "repetitions": (
        [{"position": (0, 0, 3 * (n % 2))} for n in range(4)],
        r"2 volumes .*repetition 1 \(2 slices, .*repetition 2 \(2 slices",
    ),
    "planes": (
        [{"position": (0, 0, 3 * n)} for n in range(3)] + [{"position": (9, 0, 0), "axes": SAGITTAL}],
        r"2 volumes .*orientation axial \(3 slices, .*orientation sagittal \(1 slice,",
    ),
    "sizes": (
        [{"position": (0, 0, 3 * n)} for n in range(3)] + [{"position": (0, 0, 9), "Rows": 5, "Columns": 4}],
        r"2 volumes .*size 5x4 \(3 slices, .*size 4x5 \(1 slice,",
    ),
}


@pytest.mark.parametrize("kind", VOLUMES)
def test_volumes_of_one_series_are_listed(kind, tmp_path):
    slices, message = VOLUMES[kind]
    for n, tags in enumerate(slices):
        write_slice(tmp_path / f"{n}.dcm", "1.2.3.4", n, **tags)
    with pytest.raises(ImageError, match=message):
        read_image(tmp_path)


def test_subfolders_are_searched(tmp_path):
    for n in range(4):  # a series in two folders, one slice in both
        write_slice(tmp_path / "study" / f"part{n // 2}" / f"{n}.dcm", "1.2.3.4", n, (0, 0, 3 * n))
    shutil.copy(tmp_path / "study" / "part1" / "3.dcm", tmp_path / "study" / "part0" / "copy.dcm")
    (tmp_path / "study" / "part1" / "notes.txt").write_text("not a slice")
    assert read_image(tmp_path).data[0, 0, 0, 0].tolist() == [0, 100, 200, 300]
    write_slice(tmp_path / "study" / "scout" / "0.dcm", "1.2.3.5", 0, (0, 0, 0), SeriesDescription="scout")
    message = r"2 series: .*spin echo, study.part0 \(4 slices.*scout, study.scout \(1 slice,.*name the folder"
    with pytest.raises(ImageError, match=message):
        read_image(tmp_path)
    assert read_image(tmp_path / "study" / "scout").grid.shape == (5, 4, 1)


def test_files_that_are_no_images_are_left_out(tmp_path):
    for n in range(3):
        write_slice(tmp_path / f"{n}.dcm", "1.2.3.4", n, (0, 0, 3 * n))
    write_slice(tmp_path / "report.dcm", "1.2.3.9", 0, (0, 0, 0))
    report = pydicom.dcmread(tmp_path / "report.dcm")
    for name in ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"):
        delattr(report, name)
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"  # RT structure set
    report.save_as(tmp_path / "report.dcm")
    assert read_image(tmp_path).data[0, 0, 0, 0].tolist() == [0, 100, 200]


def test_a_file_of_many_frames(tmp_path):
    def item(**values):
        made = pydicom.dataset.Dataset()
        for name, value in values.items():
            setattr(made, name, value)
        return made

    measures = item(PixelSpacing=[1.25, 1.5], SliceThickness=4, SpacingBetweenSlices=4)
    shared = item(
        PixelMeasuresSequence=[measures], PlaneOrientationSequence=[item(ImageOrientationPatient=list(AXIAL))]
    )
    frames = [item(PlanePositionSequence=[item(ImagePositionPatient=[-18, -15, 50 + 4.0 * n])]) for n in range(6)]
    for name in ("a", "b"):
        write_slice(
            tmp_path / f"{name}.dcm", "1.2.3.4", int(name == "b"), (0, 0, 0), values=np.arange(120), NumberOfFrames=6,
            SharedFunctionalGroupsSequence=[shared], PerFrameFunctionalGroupsSequence=frames,
        )  # fmt: skip
        enhanced = pydicom.dcmread(tmp_path / f"{name}.dcm")
        enhanced.SOPClassUID = enhanced.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
        enhanced.save_as(tmp_path / f"{name}.dcm")
        if name == "a":
            image = read_image(tmp_path)
            assert image.grid.shape == (5, 4, 6)
            np.testing.assert_allclose(image.grid.spacing, (1.5, 1.25, 4))
            np.testing.assert_allclose(image.grid.origin, (18, 15, 50))
            assert image.data[0, 0, 1, 0].tolist() == [1, 21, 41, 61, 81, 101]
    with pytest.raises(ImageError, match=r"2 volumes .*file a\.dcm \(6 slices.*file b\.dcm \(6 slices"):
        read_image(tmp_path)


CINE = {
    "trigger time": (
        [
            {"position": (0, 0, 3 * (n % 2)), "TriggerTime": f"{40 * (2 - n // 2)}", "values": np.full(20, n)}
            for n in range(6)
        ],
        [[4, 5], [2, 3], [0, 1]],
        0.04,
    ),
    "acquisition time": (
        [
            {
                "position": (0, 0, 3 * (n % 2)),
                "AcquisitionTime": ("115958.5", "120001.0", "120003.5")[n // 2],
                "values": np.full(20, n),
            }
            for n in range(6)
        ],
        [[0, 1], [2, 3], [4, 5]],
        2.5,
    ),
    "repetitions": (
        [{"position": (0, 0, 3 * (n % 2)), "values": np.full(20, n)} for n in range(4)],
        [[0, 1], [2, 3]],
        None,
    ),
}


@pytest.mark.parametrize("kind", CINE)
def test_volumes_of_one_series_are_frames(kind, tmp_path):
    slices, expected, step = CINE[kind]
    for n, tags in enumerate(slices):
        write_slice(tmp_path / f"{n}.dcm", "1.2.3.4", n, **tags)
    series = read_time_series([tmp_path])
    assert [frame.data[0, 0, 0, 0].tolist() for frame in series.frames] == expected
    assert series.step == (None if step is None else pytest.approx(step))
    assert {frame.grid for frame in series.frames} == {series.frames[0].grid}


def test_a_series_for_every_phase(tmp_path):
    """4D CT: series numbered in any order, named by the phase of breathing."""
    for number, phase in ((7, 50), (8, 0), (9, 25)):
        for n in range(2):
            write_slice(
                tmp_path / f"{phase}" / f"{n}.dcm",
                f"1.2.3.{number}",
                n,
                (0, 0, 3 * n),
                values=np.full(20, phase),
                SeriesNumber=number,
                SeriesDescription=f"Thorax {phase}% amplitude",
            )
    series = read_time_series([tmp_path])
    assert [float(frame.data.max()) for frame in series.frames] == [0, 25, 50]
    assert series.step is None


def test_series_that_are_no_frames(tmp_path):
    for number, count in ((7, 2), (8, 3)):
        for n in range(count):
            write_slice(tmp_path / f"{number}" / f"{n}.dcm", f"1.2.3.{number}", n, (0, 0, 3 * n))
    with pytest.raises(ImageError, match="2 series"):
        read_time_series([tmp_path])
