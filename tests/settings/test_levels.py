"""Levels that fit a grid: a budget of voxels at the fine end, enough voxels at the coarse one."""

import math

import pytest

from learngn.geometry.grid import Grid
from learngn.settings import PRESETS, Settings
from learngn.settings.levels import MOST_VOXELS, fitted

SCHEDULE = Settings("mind", affine=False, strides=(16, 8, 4, 2, 1), iterations=(1, 2, 3, 4, 5), lam=(16.0, 1.0))


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [
        ((512, 512, 300), (0.8, 0.8, 1.5)),
        ((512, 512, 100), (0.7, 0.7, 5.0)),
        ((700, 700, 700), (0.5, 0.5, 0.5)),
        ((8000, 8000), (0.01, 0.01)),
    ],
)
def test_large_grids(shape, spacing):
    """All levels stay, coarser by one factor: as many voxels as are allowed, not a power of two fewer."""
    grid = Grid.from_spacing(shape, spacing)
    found = fitted(SCHEDULE, grid)
    assert (found.iterations, found.lam) == (SCHEDULE.iterations, SCHEDULE.lam)  # the finest has the most already
    factor = found.strides[-1]
    assert found.strides == pytest.approx([factor * stride for stride in SCHEDULE.strides])
    voxels = math.prod(grid.coarsened(factor * min(spacing)).shape)
    assert MOST_VOXELS / 3.4 < voxels <= MOST_VOXELS
    slightly_finer = grid.coarsened((factor - 0.01) * min(spacing))
    assert math.prod(slightly_finer.shape) > MOST_VOXELS


def test_a_clinical_ct_ends_near_three_millimetres():
    grid = Grid.from_spacing((512, 512, 300), (0.8, 0.8, 1.5))
    settings = fitted(PRESETS["thorax-ct"].settings, grid)
    assert 2.0 <= 0.8 * settings.strides[-1] <= 3.2
    assert len(settings.strides) == len(PRESETS["thorax-ct"].settings.strides)
    assert settings.iterations[-1] == settings.iterations[-2] > PRESETS["thorax-ct"].settings.iterations[-1]


@pytest.mark.parametrize("shape", [(128, 96, 112), (192, 160, 128), (256, 192)])
def test_small_grids_are_left_alone(shape):
    assert fitted(SCHEDULE, Grid.from_spacing(shape, 2.0)) == SCHEDULE


def test_coarse_levels_of_few_voxels_go():
    small = fitted(SCHEDULE, Grid.from_spacing((48, 64, 48)))
    assert (small.strides, small.iterations) == ((8, 4, 2, 1), (2, 3, 4, 5))
    assert small.lam == pytest.approx((8.0, 1.0))
    assert fitted(SCHEDULE, Grid.from_spacing((6, 6))).strides == (1,)
    assert fitted(SCHEDULE, Grid.from_spacing((64, 64, 2))).strides == (8, 4, 2, 1)
