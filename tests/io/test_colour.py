"""Colour pictures: grey made of them with a warning, their channels, and integers of any type."""

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image as Pillow

from learngn import Grid, Image
from learngn.errors import HeaderWarning, ImageError, OutputError
from learngn.io import is_colour, read_colour, read_image, write_colour, write_image

COLOURS = np.random.default_rng(0).integers(0, 256, (3, 4, 3)).astype(np.uint8)


def write(path, values=COLOURS):
    sitk.WriteImage(sitk.GetImageFromArray(values, isVector=True), path)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.nrrd", "a.mha"])
def test_grey_is_the_luminance_and_said(name, tmp_path):
    path = write(tmp_path / name)
    with pytest.warns(HeaderWarning, match=rf"{name}: colours, of which the luminance is taken"):
        grey = read_image(path).data[0, 0].T
    np.testing.assert_allclose(grey, np.asarray(Pillow.fromarray(COLOURS).convert("L"), float), atol=1)
    np.testing.assert_allclose(grey, COLOURS @ [0.299, 0.587, 0.114], rtol=1e-6)


def test_jpeg_is_read(tmp_path):
    grey = np.full((16, 24), 90, np.uint8)
    grey[4:12, 6:18] = 200
    Pillow.fromarray(grey).save(tmp_path / "a.jpg", quality=95)
    Pillow.fromarray(np.stack([grey, grey // 2, grey // 3], -1)).save(tmp_path / "b.jpg", quality=95)
    np.testing.assert_allclose(read_image(tmp_path / "a.jpg").data[0, 0].T, grey, atol=8)
    assert is_colour(tmp_path / "b.jpg")
    assert not is_colour(tmp_path / "a.jpg")


def test_labels_are_no_colours(tmp_path):
    with pytest.raises(ImageError, match="3 values a voxel"):
        read_image(write(tmp_path / "a.png"), labels=True)


@pytest.mark.parametrize("name", ["b.png", "b.tif", "b.nii.gz"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("count", [3, 4])
def test_channels_round_trip(name, dtype, count, tmp_path):
    values = np.random.default_rng(1).integers(0, np.iinfo(dtype).max, (3, 5, count)).astype(dtype)
    path = write(tmp_path / "a.png", values)
    assert is_colour(path)
    channels = list(read_colour(path))
    assert [channel.data[0, 0].T.tolist() for channel in channels] == np.moveaxis(values, -1, 0).tolist()
    if name == "b.nii.gz" and dtype == np.uint16:
        with pytest.raises(OutputError, match="colours of type uint16, expected NIfTI's"):
            write_colour(channels, tmp_path / name)
        return
    write_colour(channels, tmp_path / name)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(tmp_path / name)), values)


def test_what_is_no_picture(tmp_path):
    grid = Grid.from_spacing((4, 3), 1.0, (0, 0), -np.eye(2))
    one = Image(np.zeros((1, 1, 4, 3), np.float32), grid, stored="uint8")
    with pytest.raises(OutputError, match="2 channels, expected 3 or 4"):
        write_colour([one, one], tmp_path / "a.png")
    with pytest.raises(OutputError, match="3 channels, expected 3 or 4 of one size and type"):
        write_colour([one, one, Image(one.data, grid)], tmp_path / "a.png")
    one.save(tmp_path / "grey.png")
    assert not is_colour(tmp_path / "grey.png")
    assert not is_colour(tmp_path)
    with pytest.raises(ImageError, match="1 values a voxel, expected a colour picture"):
        list(read_colour(tmp_path / "grey.png"))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64"])
def test_scans_of_integers_are_written_in_their_type(dtype, tmp_path):
    values = np.array([[0, 100, 7], [120, 3, 5]], dtype=dtype)
    sitk.WriteImage(sitk.GetImageFromArray(values), tmp_path / "a.nii.gz")
    image = read_image(tmp_path / "a.nii.gz")
    assert image.stored == dtype.replace("64", "32")
    moved = Image(image.data + 0.4, image.grid, stored=image.stored)
    moved.data[0, 0, 0, 0] = -1e12
    moved.data[0, 0, 0, 1] = float("nan")
    write_image(moved, tmp_path / "b.nii.gz")
    found = sitk.GetArrayFromImage(sitk.ReadImage(tmp_path / "b.nii.gz"))
    assert found.dtype == image.stored
    assert found.ravel().tolist() == [np.iinfo(image.stored).min, 100, 7, 0, 3, 5]


def test_scans_of_floating_point_stay_so(tmp_path):
    sitk.WriteImage(sitk.Image([3, 4], sitk.sitkFloat64), tmp_path / "a.mha")
    assert read_image(tmp_path / "a.mha").stored is None
