"""The body in full resolution."""

import numpy as np
import pytest

from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.quality.inside import Body


@pytest.mark.parametrize("shape", [(40, 32, 24), (97, 101, 83), (60, 50), (301, 299)])
def test_a_ball_of_tissue_in_air(shape):
    grid = Grid.from_spacing(shape)
    index = np.indices(shape)
    inside = sum(((x - (n - 1) / 2) / (0.35 * n)) ** 2 for x, n in zip(index, shape, strict=True)) < 1
    body = Body.of(Image.from_array(np.where(inside, 40, -1000).astype(np.float32), grid))
    found = body.holds(np.argwhere(np.ones(shape, bool))).reshape(shape)
    assert body.voxels == found.sum()
    assert (found != inside).mean() < 0.1
    assert found[tuple(n // 2 for n in shape)]
    assert not found[(0,) * len(shape)]


def test_the_body_of_a_label_map_is_its_labels():
    labels = np.zeros((12, 10, 8), dtype=np.int16)
    labels[3:6, 2:5, 1:4] = 2
    body = Body.of(Image.from_array(labels, Grid.from_spacing(labels.shape), labels=True))
    assert body.voxels == 27
    assert list(body.holds(np.array([[3, 2, 1], [2, 2, 1]]))) == [True, False]


def test_noise_in_air_is_not_the_body():
    grid = Grid.from_spacing((40, 32, 24))
    index = np.indices(grid.shape)
    inside = sum(((x - (n - 1) / 2) / (0.35 * n)) ** 2 for x, n in zip(index, grid.shape, strict=True)) < 1
    noise = np.random.default_rng(0).normal(size=grid.shape)
    body = Body.of(Image.from_array((60 * inside + 4 * noise).astype(np.float32), grid))
    found = body.holds(np.argwhere(np.ones(grid.shape, bool))).reshape(grid.shape)
    assert (found != inside).mean() < 0.1
