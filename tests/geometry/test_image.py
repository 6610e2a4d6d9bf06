"""Images: values that fit their grid, and scans that can be registered."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from learngn import Grid, Image
from learngn.errors import ImageError, ShapeError
from learngn.geometry.image import check_scan

GRID = Grid.from_spacing((4, 5, 6), (1.0, 2.0, 3.0))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_scans_become_float32_and_labels_stay(dtype):
    values = (np.arange(120).reshape(4, 5, 6) % 7).astype(dtype)
    scan, labels = Image.from_array(values, GRID), Image.from_array(values, GRID, labels=True)
    assert scan.data.dtype == np.float32
    assert scan.data.shape == labels.data.shape == (1, 1, 4, 5, 6)
    np.testing.assert_array_equal(scan.data[0, 0], values)
    assert labels.data.dtype == dtype
    assert (labels.labels, scan.labels) == (True, False)
    assert labels.label_values == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32])
@pytest.mark.parametrize("values", [[0, 0], [3, 0], [7, 255, 7]], ids=str)
def test_label_values_whatever_the_integers(dtype, values):
    array = np.resize(np.array(values, dtype=dtype), GRID.shape)
    assert Image.from_array(array, GRID, labels=True).label_values == sorted(set(values) - {0})


def test_a_tensor_of_the_right_type_is_not_copied():
    values = torch.rand(4, 5, 6)
    assert Image.from_array(values, GRID).data.data_ptr() == values.data_ptr()


@pytest.mark.parametrize("shape", [(4, 5, 6), (1, 4, 5, 6), (1, 1, 6, 5, 4), (1, 1, 4, 5), (1, 1, 4, 5, 6, 1)])
def test_values_must_have_the_shape_of_the_grid(shape):
    with pytest.raises(ShapeError, match=r"\(N, C, 4, 5, 6\)"):
        Image(torch.zeros(shape), GRID)


def test_several_channels_and_samples_are_an_image():
    assert Image(torch.zeros(2, 12, 4, 5, 6), GRID).data.shape[1] == 12


def test_name(tmp_path):
    assert Image.from_array(torch.zeros(4, 5, 6), GRID).name == "image"
    assert Image(torch.zeros(1, 1, 4, 5, 6), GRID, path=tmp_path / "scan.nii.gz").name == "scan.nii.gz"


def test_a_copy_on_a_device_keeps_the_rest(tmp_path):
    image = Image(torch.zeros(1, 1, 4, 5, 6, dtype=torch.uint8), GRID, labels=True, path=tmp_path / "a.nii")
    moved = image.to("cpu")
    assert (moved.grid, moved.labels, moved.path) == (image.grid, True, image.path)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_scan_is_finite(wrong):
    values = torch.rand(4, 5, 6)
    values[1, 2, 3] = wrong
    with pytest.raises(ImageError, match="fixed image: got NaN or infinity"):
        check_scan(Image.from_array(values, GRID), "fixed image")


@pytest.mark.parametrize("data", [torch.full((1, 1, 4, 5, 6), 7.0), torch.zeros((1, 0, 4, 5, 6))])
def test_a_scan_has_content(data):
    with pytest.raises(ImageError, match="moving image: got one constant value"):
        check_scan(Image(data, GRID), "moving image")


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8, torch.int16])
def test_a_scan_that_varies_is_accepted(dtype):
    check_scan(Image(torch.arange(120).reshape(1, 1, 4, 5, 6).to(dtype), GRID), "fixed image")


def test_a_line_says_what_an_image_is():
    scan = Image.from_array(np.zeros((4, 5, 6)), GRID)
    assert repr(scan) == "Image(scan float32, 4x5x6 voxels of 1x2x3 mm, RAS)"
    assert repr(replace(scan, path=Path("a/b.nii"))).startswith("Image(b.nii, scan")
    labels = Image(torch.zeros((2, 3, 4, 5, 6), dtype=torch.uint8), GRID, labels=True)
    assert repr(labels) == "Image(labels uint8, 2 samples, 3 channels, 4x5x6 voxels of 1x2x3 mm, RAS)"
