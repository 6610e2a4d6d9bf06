"""NIfTI as nibabel has it: NaN and infinity kept, which ITK would read as zero; versions, pairs, MGH, scaling."""

import nibabel as nib
import numpy as np
import pytest

from learngn.errors import TransformError
from learngn.io import read_image, read_transform


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
    from learngn.io.files import read_file

    vectors = np.arange(5 * 4 * 3 * 3, dtype=np.float32).reshape(5, 4, 3, 1, 3)
    vectors[2, 1, 0, 0, 1], vectors[4, 3, 2, 0, 2] = np.nan, np.inf
    image = nib.Nifti1Image(vectors, np.eye(4))
    image.header.set_intent(1007)
    image.to_filename(tmp_path / "field.nii")
    np.testing.assert_array_equal(read_file(tmp_path / "field.nii").values, vectors[:, :, :, 0])
