"""Cubic B-splines agree with SimpleITK's, outside of the image too."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from learngn import Affine, Composite, DisplacementField, Grid, Image
from learngn.io import to_itk, to_sitk

TILT = np.array([[0.96, -0.28, 0], [0.28, 0.96, 0], [0, 0, 1.0]])


@pytest.mark.parametrize("ndim", [2, 3])
def test_agrees_with_simpleitk(ndim):
    generator = torch.Generator().manual_seed(1)
    moving_grid = Grid.from_spacing(
        (17, 15, 12)[:ndim], (1.5, 2.0, 2.5)[:ndim], (3.0, -4, 5)[:ndim], TILT[:ndim, :ndim]
    )
    fixed_grid = Grid.from_spacing((19, 14, 13)[:ndim], (1.4, 2.1, 2.2)[:ndim], (2.0, -5, 3)[:ndim])
    moving = Image(torch.rand((1, 1, *moving_grid.shape), generator=generator), moving_grid)
    field = torch.rand((1, ndim, *fixed_grid.shape), generator=generator) * 2 - 1
    matrix = np.eye(ndim + 1)
    matrix[0, 1], matrix[:-1, -1] = 0.1, 0.5
    transform = Composite((DisplacementField(field, fixed_grid), Affine(matrix)))
    reference = to_sitk(Image(torch.zeros((1, 1, *fixed_grid.shape)), fixed_grid))
    ours = transform.warp(moving, fixed_grid, interpolation="bspline", background=-3.0).data[0, 0].numpy()
    theirs = sitk.GetArrayFromImage(
        sitk.Resample(
            sitk.Cast(to_sitk(moving), sitk.sitkFloat64), reference, to_itk(transform), sitk.sitkBSpline, -3.0,
        )
    ).T  # fmt: skip
    outside = theirs == -3.0
    assert 0.02 < outside.mean() < 0.9
    assert ((ours == -3.0) == outside).mean() > 0.99  # voxels on the very border apart
    both = ~outside & (ours != -3.0)
    np.testing.assert_allclose(ours[both], theirs[both], atol=2e-3)
    linear = transform.warp(moving, fixed_grid, background=-3.0).data[0, 0].numpy()
    assert np.abs(linear[both] - theirs[both]).max() > 0.05


def test_passes_through_the_values_channel_by_channel():
    grid = Grid.from_spacing((9, 8, 7), 2.0)
    image = Image(torch.rand((1, 2, *grid.shape), generator=torch.Generator().manual_seed(2)), grid)
    same = Affine.identity(3).warp(image, grid, interpolation="bspline")
    torch.testing.assert_close(same.data, image.data, atol=1e-5, rtol=0)
