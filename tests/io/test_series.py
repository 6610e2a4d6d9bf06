"""Series of volumes: frame by frame what nibabel has, and back."""

import nibabel
import numpy as np
import pytest

from learngn import Grid, Image
from learngn.errors import ImageError, OutputError
from learngn.io import frame_count, frame_step, read_frames, read_grid, read_image, write_frames

AFFINE = np.array([[-1.5, 0, 0, 20], [0, 0, 2.5, -30], [0, 2.0, 0, 5], [0, 0, 0, 1]])


@pytest.fixture
def values(rng):
    return rng.normal(size=(6, 5, 4, 3)).astype(np.float32)


@pytest.fixture
def series(values, tmp_path):
    image = nibabel.Nifti1Image(values, AFFINE)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms((*image.header.get_zooms()[:3], 2.5))
    nibabel.save(image, tmp_path / "series.nii.gz")
    return tmp_path / "series.nii.gz"


def test_frames_are_those_of_nibabel(series, values):
    assert frame_count(series) == 3
    assert frame_step(series) == 2.5
    frames = list(read_frames(series))
    for n, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.data[0, 0], values[..., n])
        assert frame.path == series
        np.testing.assert_allclose(frame.grid.affine, AFFINE, atol=1e-6)
    assert len(frames) == 3


def test_a_series_is_a_reference(series):
    assert read_grid(series) == next(read_frames(series)).grid


@pytest.mark.parametrize("shape", [(6, 5, 4), (6, 5, 4, 1), (6, 5, 4, 1, 1)])
def test_one_volume_is_a_series_of_one(shape, tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.ones(shape, np.float32), AFFINE), tmp_path / "a.nii")
    assert frame_count(tmp_path / "a.nii") == 1
    assert frame_step(tmp_path / "a.nii") is None
    (frame,) = read_frames(tmp_path / "a.nii")
    assert frame.grid == read_image(tmp_path / "a.nii").grid == read_grid(tmp_path / "a.nii")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("labels", [False, True])
def test_written_frames_are_read_again(labels, suffix, tmp_path):
    grid = Grid.from_spacing((6, 5, 4), (1.0, 2.0, 3.0))
    frames = [Image.from_array(np.full(grid.shape, n, dtype=np.uint8), grid, labels=labels) for n in range(3)]
    write_frames(iter(frames), tmp_path / f"a{suffix}", 1.5)
    written = nibabel.load(tmp_path / f"a{suffix}")
    assert written.shape == (6, 5, 4, 3)
    assert written.get_data_dtype() == (np.uint8 if labels else np.float32)
    np.testing.assert_allclose(written.affine, grid.affine, atol=1e-5)
    assert written.header.get_zooms()[3] == 1.5
    assert frame_step(tmp_path / f"a{suffix}") == 1.5
    for frame, again in zip(frames, read_frames(tmp_path / f"a{suffix}", labels), strict=True):
        assert np.array_equal(again.data, frame.data)


@pytest.mark.parametrize(("name", "shapes"), [("a.mha", [(3, 4, 5)]), ("a.nii", []), ("a.nii", [(3, 4, 5), (3, 4, 6)])])
def test_what_is_no_series(name, shapes, tmp_path):
    frames = [Image.from_array(np.ones(shape), Grid.from_spacing(shape, 1.0)) for shape in shapes]
    with pytest.raises(OutputError, match=name):
        write_frames(frames, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_five_axes_are_no_series(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.ones((3, 4, 5, 2, 2), np.float32), np.eye(4)), tmp_path / "a.nii")
    for read in (frame_count, lambda path: list(read_frames(path)), read_grid):
        with pytest.raises(ImageError, match=r"a\.nii.*5 dimensions"):
            read(tmp_path / "a.nii")
