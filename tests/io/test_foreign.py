"""Files of other programs, in every variety that a format allows: they are read for what they say, or refused."""

import gzip

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import torch

from learngn import Image
from learngn.errors import ImageError, OutputError
from learngn.io import read_image, read_transform, write_image, write_text, write_transform

VALUES = np.arange(4 * 5 * 6).reshape(4, 5, 6) * 3 - 70
AFFINE = np.array([[-1.5, 0, 0, 20], [0, 0, 2.5, -30], [0, 2.0, 0, 5], [0, 0, 0, 1]])


def of_nibabel(path, values=VALUES, **header):
    image = nibabel.Nifti1Image(values, AFFINE)
    for key, value in header.items():
        image.header[key] = value
    nibabel.save(image, path)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["i2", "i4", "f4", "f8"])
def test_nifti_of_both_byte_orders(order, dtype, tmp_path):
    header = nibabel.Nifti1Header(endianness=order)
    header.set_data_dtype(np.dtype(order + dtype))
    nibabel.save(nibabel.Nifti1Image(VALUES.astype(order + dtype), AFFINE, header), tmp_path / "a.nii.gz")
    image = read_image(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(image.data[0, 0], VALUES)
    np.testing.assert_allclose(image.grid.affine, AFFINE, atol=1e-6)


@pytest.mark.parametrize("order", ["<", ">"])
def test_meta_image_and_nrrd_of_both_byte_orders(order, tmp_path):
    raw = VALUES.astype(f"{order}i2").tobytes(order="F")
    (tmp_path / "a.raw").write_bytes(raw)
    (tmp_path / "a.mhd").write_text(
        "ObjectType = Image\nNDims = 3\nBinaryData = True\n"
        f"BinaryDataByteOrderMSB = {order == '>'}\nElementSpacing = 1.5 2 2.5\nOffset = -20 30 5\n"
        "DimSize = 4 5 6\nElementType = MET_SHORT\nElementDataFile = a.raw\n"
    )
    nrrd = (
        "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 4 5 6\n"
        "space directions: (1.5,0,0) (0,2,0) (0,0,2.5)\nspace origin: (-20,30,5)\n"
        f"encoding: raw\nendian: {'big' if order == '>' else 'little'}\n\n"
    )
    (tmp_path / "a.nrrd").write_bytes(nrrd.encode() + raw)
    for name in ("a.mhd", "a.nrrd"):
        image = read_image(tmp_path / name)
        np.testing.assert_array_equal(image.data[0, 0], VALUES)
        np.testing.assert_allclose(image.grid.spacing, (1.5, 2, 2.5))
        np.testing.assert_allclose(image.grid.origin, (20, -30, 5))
        assert image.grid.axis_codes == "LPS"


def test_nrrd_in_ras(tmp_path):
    """As 3D Slicer may write it: the space of the header counts."""
    header = (
        "NRRD0004\ntype: unsigned char\ndimension: 3\nspace: right-anterior-superior\nsizes: 4 5 6\n"
        "space directions: (1,0,0) (0,2,0) (0,0,3)\nspace origin: (7,8,9)\nencoding: raw\n\n"
    )
    (tmp_path / "a.nrrd").write_bytes(header.encode() + bytes(range(120)))
    grid = read_image(tmp_path / "a.nrrd").grid
    np.testing.assert_allclose(grid.affine, [[1, 0, 0, 7], [0, 2, 0, 8], [0, 0, 3, 9], [0, 0, 0, 1]])


def test_scaled_values_of_nifti(tmp_path):
    image = nibabel.Nifti1Image(VALUES.astype(np.int16), AFFINE)
    image.header.set_slope_inter(0.5, -1000)
    nibabel.save(image, tmp_path / "a.nii.gz")
    theirs = nibabel.load(tmp_path / "a.nii.gz").get_fdata()
    np.testing.assert_allclose(read_image(tmp_path / "a.nii.gz").data[0, 0], theirs)
    assert theirs.min() < -1000


def test_labels_as_floats_with_a_slope_of_one(tmp_path):
    of_nibabel(tmp_path / "a.nii.gz", (VALUES % 14).astype(np.float64))
    assert read_image(tmp_path / "a.nii.gz", labels=True).label_values == sorted(set((VALUES % 14).ravel()) - {0})


@pytest.mark.parametrize(("sform", "qform"), [(1, 0), (0, 1), (2, 1)])
def test_either_form_of_nifti(sform, qform, tmp_path):
    of_nibabel(tmp_path / "a.nii", VALUES.astype(np.float32), sform_code=sform, qform_code=qform)
    np.testing.assert_allclose(read_image(tmp_path / "a.nii").grid.affine, AFFINE, atol=1e-6)


def test_suffix_in_capitals(tmp_path):
    of_nibabel(tmp_path / "a.nii.gz", VALUES.astype(np.float32))
    (tmp_path / "a.nii.gz").rename(tmp_path / "A.NII.GZ")
    np.testing.assert_array_equal(read_image(tmp_path / "A.NII.GZ").data[0, 0], VALUES)


def test_gzip_of_something_else(tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(b"hello " * 1000))
    with pytest.raises(ImageError, match=r"a\.nii\.gz.*cannot read"):
        read_image(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("keep", [10, 60, 200, 0.5, 0.99])
def test_gzip_cut_short_anywhere(keep, tmp_path, rng):
    of_nibabel(tmp_path / "a.nii.gz", rng.normal(size=(20, 20, 20)).astype(np.float32))
    whole = (tmp_path / "a.nii.gz").read_bytes()
    (tmp_path / "a.nii.gz").write_bytes(whole[: keep if keep > 1 else int(keep * len(whole))])
    with pytest.raises(ImageError, match=r"a\.nii\.gz") as raised:
        read_image(tmp_path / "a.nii.gz")
    assert "\n" not in str(raised.value)


def test_one_flipped_byte_in_a_gzip(tmp_path, rng):
    of_nibabel(tmp_path / "a.nii.gz", rng.normal(size=(20, 20, 20)).astype(np.float32))
    whole = bytearray((tmp_path / "a.nii.gz").read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    (tmp_path / "a.nii.gz").write_bytes(bytes(whole))
    with pytest.raises(ImageError, match=r"a\.nii\.gz"):
        read_image(tmp_path / "a.nii.gz")


def test_one_file_of_dicom(tmp_path):
    image = sitk.GetImageFromArray(np.arange(20, dtype=np.int16).reshape(1, 4, 5))
    image.SetSpacing((1.5, 1.25, 2.0))
    sitk.WriteImage(image, tmp_path / "a.dcm")
    read = read_image(tmp_path / "a.dcm")
    assert read.grid.shape == (5, 4, 1)
    np.testing.assert_array_equal(read.data.ravel(), np.arange(20).reshape(4, 5).T.ravel())


@pytest.mark.parametrize("code", [1006, 1007])
def test_vectors_of_nifti_in_two_dimensions(code, tmp_path):
    vectors = np.zeros((5, 6, 1, 1, 2), np.float32) + np.array([1, 2], np.float32)
    image = nibabel.Nifti1Image(vectors, np.diag([2.0, 2, 1, 1]))
    image.header.set_intent(code)
    nibabel.save(image, tmp_path / "a.nii.gz")
    moved = read_transform(tmp_path / "a.nii.gz").map_points([[4, 4]])
    np.testing.assert_allclose(moved, [[5, 6]] if code == 1006 else [[3, 2]], atol=1e-6)


def test_below_a_file_there_is_no_folder(scan, chain, grid, tmp_path):
    """What a folder without rights is to a user who is not root."""
    (tmp_path / "file").write_text("")
    for write in (
        lambda path: write_image(scan, path / "a.nii.gz"),
        lambda path: write_transform(chain, path / "a.nii.gz", reference=grid),
        lambda path: write_transform(chain, path / "a.h5"),
        lambda path: write_transform(chain, path / "a.npz", reference=grid),
        lambda path: write_text("a", path / "a.txt"),
    ):
        with pytest.raises(OutputError, match="no folder"):
            write(tmp_path / "file")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("suffix", [".nii.gz", ".mhd", ".h5", ".npz"])
def test_ctrl_c_while_a_transform_is_written(suffix, chain, grid, tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(sitk, "WriteImage", interrupt)
    monkeypatch.setattr("learngn.io.nifti_writer.fastest_first", interrupt)
    monkeypatch.setattr(sitk, "WriteTransform", interrupt)
    monkeypatch.setattr(np, "savez", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_transform(chain, tmp_path / f"a{suffix}", reference=grid)
    assert not list(tmp_path.iterdir())


def test_what_is_computed_with_a_graph_can_be_written(grid, tmp_path):
    data = torch.ones((1, 1, *grid.shape)).requires_grad_() * 2
    write_image(Image(data, grid), tmp_path / "a.nii.gz")
    assert (read_image(tmp_path / "a.nii.gz").data == 2).all()
