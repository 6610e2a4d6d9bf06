"""Scans and label maps: geometry and values survive; nibabel and SimpleITK see the same as we do."""

import gzip

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from learngn import Grid, Image
from learngn.errors import ImageError, LabelError, LearnGNError, OutputError, ShapeError
from learngn.io import from_sitk, read_grid, read_image, to_sitk, write_image

SUFFIXES = (".nii.gz", ".nii", ".mha", ".mhd", ".nrrd")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_scan_round_trip(scan, suffix, tmp_path):
    path = tmp_path / f"scan{suffix}"
    write_image(scan, path)
    back = read_image(path)
    assert back.path == path
    assert isinstance(back.data, np.ndarray)
    assert back.data.dtype == np.float32
    assert back.data.flags.c_contiguous
    assert back.data.flags.writeable
    assert np.array_equal(back.data, scan.data)
    assert back.grid.same_space(scan.grid, tolerance=1e-4)
    assert read_grid(path) == back.grid


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(("dtype", "kept"), [(np.uint8, np.uint8), (np.int16, np.int16), (np.float32, np.int16)])
def test_labels_round_trip(suffix, dtype, kept, tmp_path):
    grid = Grid.from_spacing((6, 5, 4), 2.0)
    labels = Image.from_array((np.arange(grid.size) % 14).reshape(grid.shape).astype(dtype), grid, labels=True)
    write_image(labels, tmp_path / f"labels{suffix}")
    back = read_image(tmp_path / f"labels{suffix}", labels=True)
    assert back.labels
    assert back.data.dtype == kept
    assert np.array_equal(back.data, labels.data.astype(kept))


def test_nibabel_reads_the_same(scan, tmp_path):
    write_image(scan, tmp_path / "scan.nii.gz")
    other = nibabel.load(tmp_path / "scan.nii.gz")
    ndim = scan.grid.ndim
    keep = [*range(ndim), 3]
    np.testing.assert_allclose(other.affine[np.ix_(keep, keep)], scan.grid.affine, rtol=1e-6, atol=1e-5)
    np.testing.assert_array_equal(other.get_fdata(), scan.data[0, 0])


def test_reads_what_nibabel_writes(scan, tmp_path):
    affine = np.eye(4)
    keep = [*range(scan.grid.ndim), 3]
    affine[np.ix_(keep, keep)] = scan.grid.affine
    nibabel.save(nibabel.Nifti1Image(scan.data[0, 0], affine), tmp_path / "scan.nii.gz")
    back = read_image(tmp_path / "scan.nii.gz")
    assert back.grid.same_space(scan.grid, tolerance=1e-4)
    assert np.array_equal(back.data, scan.data)


def test_world_is_that_of_itk(scan):
    itk = to_sitk(scan)
    index = [3, 5, 2][: scan.grid.ndim]
    lps = np.array(itk.TransformContinuousIndexToPhysicalPoint([float(i) for i in index]))
    np.testing.assert_allclose(scan.grid.index_to_world(index), lps * [-1, -1, 1][: scan.grid.ndim])
    assert itk[index] == scan.data[(0, 0, *index)]


def test_from_sitk_and_back_is_exact(scan):
    back = from_sitk(to_sitk(scan))
    np.testing.assert_allclose(back.grid.affine, scan.grid.affine, rtol=1e-14, atol=1e-13)
    assert np.array_equal(back.data, scan.data)


def test_the_same_image_gives_the_same_bytes(scan, tmp_path):
    write_image(scan, tmp_path / "a.nii.gz")
    write_image(scan, tmp_path / "b.nii.gz")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64, np.float64])
def test_labels_of_other_types(dtype, tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(np.array([[0, 1], [2, 100]], dtype)), tmp_path / "a.mha")
    image = read_image(tmp_path / "a.mha", labels=True)
    assert image.data.dtype == np.int16
    assert image.data[0, 0].tolist() == [[0, 2], [1, 100]]  # array order is (i, j)


def test_large_labels_need_32_bits(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(np.array([[0, 70000]], np.uint32)), tmp_path / "a.mha")
    assert read_image(tmp_path / "a.mha", labels=True).data.dtype == np.int32


@pytest.mark.parametrize("wrong", [0.5, np.nan])
def test_labels_must_be_whole(wrong, tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(np.array([[1, wrong]], np.float32)), tmp_path / "a.mha")
    with pytest.raises(LabelError, match=r"a\.mha.*whole numbers"):
        read_image(tmp_path / "a.mha", labels=True)


def test_a_series_of_one_volume_is_a_volume(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 5, 6, 1), np.float32), np.eye(4)), tmp_path / "a.nii")
    assert read_image(tmp_path / "a.nii").grid.shape == (4, 5, 6)
    assert read_grid(tmp_path / "a.nii") == read_image(tmp_path / "a.nii").grid
    assert from_sitk(sitk.Image([4, 5, 6, 1], sitk.sitkUInt8)).grid.shape == (4, 5, 6)


def test_several_volumes_are_not_one_scan(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 5, 6, 2), np.float32), np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(ImageError, match=r"a\.nii.*4 dimensions"):
        read_image(tmp_path / "a.nii")


def test_a_volume_of_one_slice_stays_a_volume(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 5, 1), np.float32), np.eye(4)), tmp_path / "a.nii")
    assert read_image(tmp_path / "a.nii").grid.shape == (4, 5, 1)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_pictures(suffix, tmp_path):
    grid = Grid.from_spacing((6, 5), (0.5, 0.7), (0, 0), -np.eye(2))
    image = Image.from_array(np.arange(30).reshape(6, 5), grid)
    write_image(image, tmp_path / f"a{suffix}")
    back = read_image(tmp_path / f"a{suffix}")
    assert np.array_equal(back.data, image.data)
    assert back.grid.same_space(grid)


def test_png_rounds_and_takes_16_bits_where_needed(tmp_path):
    grid = Grid.from_spacing((1, 3), 1.0, (0, 0), -np.eye(2))
    write_image(Image.from_array(np.array([[-3.0, 0.6, 1000.2]]), grid), tmp_path / "a.png")
    assert sitk.ReadImage(tmp_path / "a.png").GetPixelID() == sitk.sitkUInt16
    assert read_image(tmp_path / "a.png").data.flatten().tolist() == [0, 1, 1000]


def test_grey_stored_as_colour_is_read(tmp_path):
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    sitk.WriteImage(sitk.GetImageFromArray(np.stack([grey] * 3, -1), isVector=True), tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").data[0, 0], grey.T)


def _field(path):
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((3, 4, 2), np.float32), isVector=True), path)


def _four(path):
    sitk.WriteImage(sitk.Image([3, 4, 5, 2], sitk.sitkUInt8), path)


def _complex(path):
    sitk.WriteImage(sitk.Image([3, 4], sitk.sitkComplexFloat32), path)


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("missing.nii.gz", lambda path: None, "no such file"),
        ("empty.nii.gz", lambda path: path.touch(), "empty file"),
        ("text.nii.gz", lambda path: path.write_text("hello " * 100), "not compressed by gzip"),
        ("text.nii", lambda path: path.write_text("hello " * 100), "cannot read"),
        ("text.txt", lambda path: path.write_text("hello"), "cannot read"),
        ("folder", lambda path: path.mkdir(), "without a DICOM series"),
        ("field.mha", _field, "2 values a voxel"),
        ("four.nii", _four, "4 dimensions"),
        ("complex.nii", _complex, "complex"),
    ],
)
def test_what_is_no_scan(name, make, message, tmp_path, capfd):
    path = tmp_path / name
    make(path)
    with pytest.raises(ImageError, match=message) as raised:
        read_image(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_cut_short_is_refused(scan, suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    write_image(scan, path)
    longest = max(tmp_path.iterdir(), key=lambda p: p.stat().st_size)
    longest.write_bytes(longest.read_bytes()[:-100])
    with pytest.raises(ImageError, match=str(path)):
        read_image(path)


def test_gzip_of_several_members_is_read(scan, tmp_path):
    write_image(scan, tmp_path / "a.nii")
    plain = (tmp_path / "a.nii").read_bytes()
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(plain[:500]) + gzip.compress(plain[500:]))
    assert np.array_equal(read_image(tmp_path / "b.nii.gz").data, scan.data)


@pytest.mark.parametrize(
    ("name", "grid", "message"),
    [
        ("a.png", Grid.from_spacing((3, 4), 1.0, (5, 5)), "does not keep"),
        ("a.png", Grid.from_spacing((3, 4, 5), 1.0, (0, 0, 0), np.diag([-1.0, -1, 1])), r"a\.png"),
        ("a.xyz", Grid.from_spacing((3, 4), 1.0), "suffix"),
        ("a", Grid.from_spacing((3, 4), 1.0), "suffix"),
        ("none/a.nii", Grid.from_spacing((3, 4), 1.0), "no folder"),
    ],
)
def test_what_cannot_be_written(name, grid, message, tmp_path):
    with pytest.raises(OutputError, match=message):
        write_image(Image.from_array(np.ones(grid.shape), grid), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_several_channels_are_not_one_scan(tmp_path):
    image = Image(np.ones((1, 2, 3, 4), np.float32), Grid.from_spacing((3, 4), 1.0))
    with pytest.raises(ShapeError, match="2 channels"):
        write_image(image, tmp_path / "a.nii")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_is_noticed(suffix, tmp_path):
    resource = pytest.importorskip("resource")
    noise = np.random.default_rng(0).normal(size=(40, 40, 40))
    image = Image.from_array(noise, Grid.from_spacing(noise.shape, 1.0))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OutputError, match="output"):
            write_image(image, tmp_path / f"a{suffix}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def test_saving_an_image(scan, tmp_path):
    scan.save(tmp_path / "a.nii.gz")
    assert np.array_equal(read_image(tmp_path / "a.nii.gz").data, scan.data)


def test_nan_and_infinity(tmp_path):
    image = Image.from_array(np.array([[1.0, np.nan, np.inf]]), Grid.from_spacing((1, 3)))
    write_image(image, tmp_path / "a.mha")
    write_image(image, tmp_path / "a.nii")
    for name in ("a.mha", "a.nii"):
        np.testing.assert_array_equal(read_image(tmp_path / name).data.flatten(), [1, np.nan, np.inf])


def test_grid_of_nonsense(tmp_path):
    (tmp_path / "a.nii").write_text("no")
    with pytest.raises(LearnGNError):
        read_grid(tmp_path / "a.nii")


@pytest.mark.data
@pytest.mark.parametrize("name", ["AbdomenSeg", "AbdomenCoronal2D", "ThoraxCT", "AbdomenMR", "HippocampusMR"])
def test_real_scans_lie_where_nibabel_has_them(name, data_root):
    path = min((data_root / name / "labelsTr").glob("*.nii.gz"))
    image, other = read_image(path, labels=True), nibabel.load(path)
    keep = [*range(image.grid.ndim), 3]
    np.testing.assert_allclose(image.grid.affine, other.affine[np.ix_(keep, keep)], rtol=1e-6, atol=1e-4)
    np.testing.assert_array_equal(image.data[0, 0], np.asanyarray(other.dataobj))
