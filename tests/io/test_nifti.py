"""NIfTI as nibabel has it: NaN and infinity kept, which ITK would read as zero; versions, pairs, MGH, scaling."""

import gzip

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from learngn import Affine
from learngn.errors import HeaderWarning, ImageError, TransformError
from learngn.io import frame_count, read_frames, read_grid, read_image, read_transform, write_image
from learngn.io.files import read_file


@pytest.fixture
def array(rng):
    values = rng.normal(size=(5, 4, 3))
    values[1, 2, 0], values[4, 3, 2], values[0, 0, 1] = np.nan, np.inf, -np.inf
    return values


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", ">f8"])
def test_scan(kind, suffix, array, tmp_path):
    path = tmp_path / f"scan{suffix}"
    image = nib.Nifti1Image(array.astype(kind), np.eye(4))
    nib.Nifti1Image(array.astype(kind), np.eye(4), image.header.as_byteswapped(kind[0])).to_filename(path)
    read = read_image(path)
    np.testing.assert_array_equal(read.data[0, 0], array.astype(np.float32))
    np.testing.assert_array_equal(read.grid.affine, np.eye(4))


def test_field(array, tmp_path):
    vectors = np.zeros((5, 4, 3, 1, 3), dtype=np.float32)
    vectors[2, 1, 0, 0, 1] = np.nan
    image = nib.Nifti1Image(vectors, np.eye(4))
    image.header.set_intent(1007)
    image.to_filename(tmp_path / "field.nii.gz")
    with pytest.raises(TransformError, match="NaN"):
        read_transform(tmp_path / "field.nii.gz")


def test_places_of_vector_components(tmp_path):
    vectors = np.arange(5 * 4 * 3 * 3, dtype=np.float32).reshape(5, 4, 3, 1, 3)
    vectors[2, 1, 0, 0, 1], vectors[4, 3, 2, 0, 2] = np.nan, np.inf
    image = nib.Nifti1Image(vectors, np.eye(4))
    image.header.set_intent(1007)
    image.to_filename(tmp_path / "field.nii")
    np.testing.assert_array_equal(read_file(tmp_path / "field.nii").values, vectors[:, :, :, 0])


AFFINE = np.array([[-1.5, 0, 0, 20], [0, 0, 2.5, -30], [0, 2.0, 0, 5], [0, 0, 0, 1]])
WHOLE = (np.arange(4 * 5 * 6).reshape(4, 5, 6) * 3 - 70).astype(np.int16)


@pytest.mark.parametrize("source", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", [np.int16, np.float32])
@pytest.mark.parametrize(
    ("suffix", "compressed"),
    [(".nrrd", False), (".nrrd", True), (".mha", False), (".mha", True), (".mhd", False), (".nhdr", False)],
)
def test_what_simpleitk_makes_of_nifti_is_read_as_it_is(suffix, compressed, kind, source, rng, tmp_path):
    """SimpleITK copies NIfTI's keys, `vox_offset` among them, into the other format."""
    values = (rng.normal(size=(24, 20, 16)) * 1000).astype(kind)
    nib.save(nib.Nifti1Image(values, AFFINE), tmp_path / f"a{source}")
    sitk.WriteImage(sitk.ReadImage(str(tmp_path / f"a{source}")), str(tmp_path / f"b{suffix}"), compressed)
    image = read_image(tmp_path / f"b{suffix}")
    np.testing.assert_array_equal(image.data[0, 0], values)
    np.testing.assert_allclose(image.grid.affine, AFFINE, atol=1e-5)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "A.NII.GZ"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_the_second_version(order, name, tmp_path):
    header = nib.Nifti2Header(endianness=order)
    header.set_data_dtype(np.dtype(f"{order}i2"))
    nib.save(nib.Nifti2Image(WHOLE, AFFINE, header), tmp_path / name.lower())
    (tmp_path / name.lower()).rename(tmp_path / name)
    image = read_image(tmp_path / name)
    np.testing.assert_array_equal(image.data[0, 0], WHOLE)
    np.testing.assert_allclose(image.grid.affine, AFFINE)
    assert read_grid(tmp_path / name) == image.grid


@pytest.mark.parametrize("kind", [nib.Nifti1Pair, nib.Nifti2Pair])
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_pairs(packed, kind, tmp_path):
    nib.save(kind(WHOLE, AFFINE), tmp_path / f"a.img{packed}")
    for name in ("a.img", "a.hdr"):
        image = read_image(tmp_path / f"{name}{packed}")
        np.testing.assert_array_equal(image.data[0, 0], WHOLE)
        np.testing.assert_allclose(image.grid.affine, AFFINE)
    (tmp_path / f"a.img{packed}").unlink()
    with pytest.raises(ImageError, match=r"no such file as a\.img"):
        read_image(tmp_path / f"a.hdr{packed}")


def test_analyze_lies_where_nibabel_has_it(tmp_path):
    nib.save(nib.AnalyzeImage(WHOLE, np.diag([2.0, 2, 3, 1])), tmp_path / "a.img")
    with pytest.warns(HeaderWarning, match=r"a\.img: Analyze.*left and right"):
        image = read_image(tmp_path / "a.img")
    np.testing.assert_array_equal(image.data[0, 0], WHOLE)
    np.testing.assert_allclose(image.grid.affine, nib.load(tmp_path / "a.img").affine)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32, np.float32, np.uint16])
@pytest.mark.parametrize("suffix", [".mgz", ".mgh"])
def test_freesurfer(suffix, kind, tmp_path):
    values = np.abs(WHOLE).astype(kind)
    nib.save(nib.MGHImage(values, AFFINE.astype(np.float32)), tmp_path / f"a{suffix}")
    image = read_image(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(image.data[0, 0], values)
    np.testing.assert_allclose(image.grid.affine, AFFINE, atol=1e-5)
    assert read_grid(tmp_path / f"a{suffix}") == image.grid
    labels = read_image(tmp_path / f"a{suffix}", labels=True)
    assert labels.data.dtype.kind in "iu"
    np.testing.assert_array_equal(labels.data[0, 0], values)


def test_frames_of_freesurfer(rng, tmp_path):
    values = rng.normal(size=(4, 5, 6, 3)).astype(np.float32)
    nib.save(nib.MGHImage(values, AFFINE.astype(np.float32)), tmp_path / "a.mgz")
    assert frame_count(tmp_path / "a.mgz") == 3
    for n, frame in enumerate(read_frames(tmp_path / "a.mgz")):
        np.testing.assert_array_equal(frame.data[0, 0], values[..., n])


@pytest.mark.parametrize(("offset", "value"), [(4, -1), (4, 2**31 - 1), (20, 77), (0, 5), (20, 2)])
def test_damaged_freesurfer_headers(offset, value, tmp_path):
    nib.save(nib.MGHImage(WHOLE, AFFINE.astype(np.float32)), tmp_path / "a.mgh")
    content = bytearray((tmp_path / "a.mgh").read_bytes())
    content[offset : offset + 4] = value.to_bytes(4, "big", signed=True)
    (tmp_path / "a.mgh").write_bytes(content)
    (tmp_path / "a.mgz").write_bytes(gzip.compress(content))
    for name in ("a.mgh", "a.mgz"):
        with pytest.raises(ImageError, match=name):
            read_image(tmp_path / name)


@pytest.mark.parametrize(
    ("kind", "slope", "inter", "stored"),
    [
        (np.uint16, 1, -1024, "int32"), (np.int16, 1, -1024, "int32"), (np.uint8, 1, -10, "int16"),
        (np.uint8, 2, 0, "uint16"), (np.int16, 0.5, 0, None), (np.int16, 1, 0.5, None), (np.int32, 1, -1024, None),
    ],
)  # fmt: skip
def test_whole_numbers_stay_whole(kind, slope, inter, stored, tmp_path):
    values = np.arange(60).reshape(3, 4, 5).astype(kind)
    nib.Nifti1Image(values, np.eye(4)).to_filename(tmp_path / "a.nii")
    content = bytearray((tmp_path / "a.nii").read_bytes())
    content[112:120] = np.array([slope, inter], "<f4").tobytes()
    (tmp_path / "a.nii").write_bytes(content)
    scan = read_image(tmp_path / "a.nii")
    assert scan.stored == stored
    np.testing.assert_array_equal(scan.data[0, 0], values.astype(np.float64) * slope + inter)
    write_image(Affine.identity(3).warp(scan, scan.grid), tmp_path / "b.nii.gz")
    written = nib.load(tmp_path / "b.nii.gz")
    assert written.get_data_dtype() == (stored or np.float32)
    np.testing.assert_array_equal(np.asarray(written.dataobj), values.astype(np.float64) * slope + inter)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.int32, np.float32])
@pytest.mark.parametrize(("slope", "inter"), [(0.1, -1024.3), (1.0, -1024.0), (2.5, 0.0), (0.0, 5.0), (np.nan, 1.0)])
def test_scaled_values_are_rounded_once(slope, inter, kind, rng, tmp_path):
    stored = rng.integers(0, 200, size=(7, 6, 5)).astype(kind)
    image = nib.Nifti1Image(stored, AFFINE)
    image.header.set_data_dtype(kind)
    nib.save(image, tmp_path / "a.nii")
    content = bytearray((tmp_path / "a.nii").read_bytes())
    content[112:120] = np.array([slope, inter], "<f4").tobytes()
    (tmp_path / "a.nii").write_bytes(content)
    scaled = np.isfinite(slope) and slope != 0
    expected = stored.astype(np.float64) * np.float32(slope) + np.float32(inter) if scaled else stored
    np.testing.assert_array_equal(read_image(tmp_path / "a.nii").data[0, 0], expected.astype(np.float32))
    if not scaled:  # ITK adds the intercept to values that have no slope, against the standard
        return
    theirs = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.nii"), sitk.sitkFloat32)).T
    np.testing.assert_allclose(read_image(tmp_path / "a.nii").data[0, 0], theirs, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("labels", [False, True])
def test_written_files_are_read_alike_by_simpleitk_and_nibabel(labels, ndim, suffix, rng, tmp_path):
    from learngn import Grid, Image

    grid = Grid.from_spacing(
        (7, 6, 5)[:ndim], (1.5, 2.0, 3.0)[:ndim], (4, -5, 6)[:ndim], np.diag([-1.0, 1, 1])[:ndim, :ndim]
    )
    values = rng.integers(0, 9, size=grid.shape).astype(np.uint8 if labels else np.float32)
    path = tmp_path / f"a{suffix}"
    write_image(Image.from_array(values, grid, labels=labels), path)
    of_itk, of_nibabel = sitk.ReadImage(str(path)), nib.load(path)
    assert of_itk.GetDimension() == ndim
    assert of_nibabel.get_data_dtype() == sitk.GetArrayFromImage(of_itk).dtype == values.dtype
    np.testing.assert_array_equal(sitk.GetArrayFromImage(of_itk).T, values)
    np.testing.assert_array_equal(np.asanyarray(of_nibabel.dataobj), values)
    keep = [*range(ndim), 3]
    np.testing.assert_allclose(of_nibabel.affine[np.ix_(keep, keep)], grid.affine, atol=1e-6)
    np.testing.assert_allclose(of_itk.GetOrigin(), grid.origin * (-1, -1, 1)[:ndim], atol=1e-6)
    np.testing.assert_allclose(of_itk.GetSpacing(), grid.spacing)
    for forms in (of_nibabel.get_sform(coded=True), of_nibabel.get_qform(coded=True)):
        assert forms[1] == 1
