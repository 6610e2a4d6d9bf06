"""Carried label maps against ITK's interpolator of label maps."""

import numpy as np
import pytest
import SimpleITK as sitk

from learngn import Affine, Grid, Image
from learngn.io import to_itk, to_sitk
from learngn.series import carried_labels


@pytest.mark.parametrize("codes", ["RAS", "LPS", "ASR", "oblique"])
def test_as_itk(codes, phantom, rng):
    grid = phantom.grid_of(codes, (14, 12, 10))
    blocks = rng.integers(0, 4, (7, 6, 5)).repeat(2, 0).repeat(2, 1).repeat(2, 2)
    labels = Image.from_array(blocks.astype(np.uint8), grid, labels=True)
    transform = Affine(phantom.rigid((0.7, -1.1, 0.4), 5.0, (1, 1, 0)))
    found = carried_labels(labels, transform, grid)
    source = to_sitk(labels)
    theirs = sitk.GetArrayFromImage(sitk.Resample(source, source, to_itk(transform), sitk.sitkLabelLinear, 0)).T
    inside = np.s_[2:-2, 2:-2, 2:-2]
    # Ties between labels are broken by rounding.
    assert (found.data[0, 0][inside] == theirs[inside]).mean() > 0.995
    assert found.labels
    assert found.data.dtype == labels.data.dtype


def test_a_thin_wall_stays_whole():
    """Half a voxel aside: nearest neighbours of a rotated wall would leave holes."""
    grid = Grid.from_spacing((40, 40), 1.0)
    wall = np.zeros((40, 40), np.uint8)
    wall[19:21] = 7
    turned = np.array([[np.cos(0.4), -np.sin(0.4), 8.0], [np.sin(0.4), np.cos(0.4), -7.0], [0, 0, 1]])
    found = carried_labels(Image.from_array(wall, grid, labels=True), Affine(turned), grid)
    import scipy.ndimage

    assert scipy.ndimage.label(found.data[0, 0])[1] == 1
    assert found.label_values == [7]


def test_identity_keeps_all(phantom, rng):
    grid = phantom.grid_of("LPS", (9, 8, 7))
    labels = Image.from_array(rng.integers(0, 5, grid.shape).astype(np.int16), grid, labels=True)
    np.testing.assert_array_equal(carried_labels(labels, Affine.identity(3), grid).data, labels.data)
