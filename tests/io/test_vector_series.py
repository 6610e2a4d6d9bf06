"""Series of vectors: LPS in the file, RAS in memory."""

import nibabel
import numpy as np
import pytest

from learngn.errors import ImageError
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.io import read_vector_series, write_vector_series


@pytest.mark.parametrize("shape", [(5, 4, 3), (6, 5)])
def test_there_and_back(shape, tmp_path):
    grid = Grid.from_spacing(shape, [1.0, 2.0, 3.0][: len(shape)])
    data = np.random.default_rng(0).normal(size=(4, len(shape), *shape)).astype(np.float32)
    write_vector_series(Image(data, grid), tmp_path / "v.nii.gz")
    stored = nibabel.load(tmp_path / "v.nii.gz")
    assert stored.header.get_intent("code")[0] == 1007
    values = stored.get_fdata().reshape(*shape, 4, len(shape))
    np.testing.assert_allclose(values[..., 2, 0], -data[2, 0], rtol=1e-6)
    back = read_vector_series(tmp_path / "v.nii.gz")
    np.testing.assert_array_equal(back.data, data)
    assert back.grid.same_space(grid)


def test_a_scan_is_refused(tmp_path):
    Image.from_array(np.ones((5, 4, 3)), Grid.from_spacing((5, 4, 3))).save(tmp_path / "scan.nii.gz")
    with pytest.raises(ImageError, match="no series of vectors"):
        read_vector_series(tmp_path / "scan.nii.gz")
