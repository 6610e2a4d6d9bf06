"""Displacement files of Learn2Reg: as the challenge's script reads them, with unequal grids too."""

import nibabel
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from learngn import DisplacementField
from learngn.errors import OutputError, TransformError
from learngn.io import read_learn2reg, read_transform, write_learn2reg, write_transform

SUFFIXES = (".nii.gz", ".npz")


def as_the_challenge_reads(path) -> np.ndarray:
    if path.suffix == ".npz":
        with np.load(path) as archive:
            return archive[archive.files[0]]
    return nibabel.load(path).get_fdata()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_challenge_warps_as_we_do(suffix, chain, grid, moving_grid, moving_scan, tmp_path):
    path = tmp_path / f"disp_0001_0002{suffix}"
    write_learn2reg(chain, path, grid, moving_grid)
    displacement = as_the_challenge_reads(path)
    assert displacement.shape == (*grid.shape, grid.ndim)
    index = np.moveaxis(displacement, -1, 0) + np.indices(grid.shape)
    theirs = map_coordinates(moving_scan.data[0, 0].astype(np.float64), index, order=1, mode="nearest")
    ours = chain.warp(moving_scan, grid, background="border").data[0, 0]
    np.testing.assert_allclose(ours, theirs, atol=0.1 if suffix == ".nii.gz" else 0.02)  # rounded, 1/256 mm


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_round_trip(suffix, chain, grid, moving_grid, points, tmp_path):
    path = tmp_path / f"disp_0001_0002{suffix}"
    write_learn2reg(chain, path, grid, moving_grid)
    back = read_learn2reg(path, grid, moving_grid)
    atol = 1e-4
    np.testing.assert_allclose(
        back.on(grid).displacement(moving_grid), chain.on(grid).displacement(moving_grid), rtol=1e-5, atol=atol
    )
    np.testing.assert_allclose(back.map_points(points), chain.map_points(points), atol=max(1e-3, 2 * atol))


def test_on_equal_grids_it_is_the_field_itself(field, grid, tmp_path):
    write_learn2reg(field, tmp_path / "disp_0001_0002.npz", grid, grid)
    expected = np.moveaxis(field.data[0], 0, -1)
    np.testing.assert_array_equal(as_the_challenge_reads(tmp_path / "disp_0001_0002.npz"), expected)
    back = read_learn2reg(tmp_path / "disp_0001_0002.npz", grid, grid)
    assert isinstance(back, DisplacementField)
    assert np.array_equal(back.data, field.data)


def test_zero_displacement_maps_index_to_index(grid, moving_grid, tmp_path):
    """The meaning of zero: voxel (3, 4[, 5]) of the fixed image lies on voxel (3, 4[, 5]) of the moving one."""
    np.savez(tmp_path / "disp.npz", np.zeros((*grid.shape, grid.ndim), np.float16))
    transform = read_learn2reg(tmp_path / "disp.npz", grid, moving_grid)
    index = [[3, 4, 5][: grid.ndim]]
    np.testing.assert_allclose(transform.map_points(grid.index_to_world(index)), moving_grid.index_to_world(index))


def test_npz_among_the_transforms(chain, grid, moving_grid, points, tmp_path):
    write_transform(chain, tmp_path / "a.npz", reference=grid, moving=moving_grid)
    back = read_transform(tmp_path / "a.npz", fixed=grid, moving=moving_grid)
    np.testing.assert_allclose(back.map_points(points), chain.map_points(points), atol=1e-3)
    with pytest.raises(TransformError, match="the two scans to which they belong"):
        read_transform(tmp_path / "a.npz")


def test_grid_of_the_nifti_file_is_the_fixed_one(chain, grid, moving_grid, tmp_path):
    write_learn2reg(chain, tmp_path / "a.nii.gz", grid, moving_grid)
    keep = [*range(grid.ndim), 3]
    affine = nibabel.load(tmp_path / "a.nii.gz").affine[np.ix_(keep, keep)]
    np.testing.assert_allclose(affine, grid.affine, rtol=1e-6, atol=1e-5)


def test_displacement_of_another_pair(field, grid, moving_grid, tmp_path):
    write_learn2reg(field, tmp_path / "a.nii.gz", grid, grid)
    with pytest.raises(TransformError, match="shape"):
        read_learn2reg(tmp_path / "a.nii.gz", moving_grid, moving_grid)


def test_displacement_of_itk_is_refused(field, grid, tmp_path):
    write_transform(field, tmp_path / "a.nii.gz")
    with pytest.raises(TransformError, match="in mm as ITK"):
        read_learn2reg(tmp_path / "a.nii.gz", grid, grid)


def test_several_arrays(grid, tmp_path):
    np.savez(tmp_path / "a.npz", np.zeros(3), np.zeros(3))
    with pytest.raises(TransformError, match="2 arrays"):
        read_learn2reg(tmp_path / "a.npz", grid, grid)


def test_objects_are_not_unpickled(grid, tmp_path):
    np.savez(tmp_path / "a.npz", np.array([{}], dtype=object))
    with pytest.raises(TransformError, match="cannot read"):
        read_learn2reg(tmp_path / "a.npz", grid, grid)


def test_unknown_suffix(field, grid, tmp_path):
    with pytest.raises(OutputError, match="suffix"):
        write_learn2reg(field, tmp_path / "a.mha", grid, grid)
