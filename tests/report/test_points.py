"""Landmarks on the page."""

import numpy as np
import pytest

from learngn.geometry.grid import Grid
from learngn.geometry.transform import Affine, DisplacementField
from learngn.report.orientation import Orientation
from learngn.report.points import counterparts, described

GRIDS = [
    Grid.from_spacing((40, 32, 24), (1.0, 1.0, 2.5)),
    Grid.from_spacing((24, 40, 32), (2.5, 1.0, 1.0), direction=np.array([[0, 1.0, 0], [0, 0, -1], [-1, 0, 0]])),
    Grid.from_spacing((40, 30), (1.0, 1.5)),
]


def smooth_field(grid):
    """One bump of four voxels along every axis."""
    x = np.stack(np.meshgrid(*[(np.arange(n) + 0.5) / n for n in grid.shape], indexing="ij"))
    bump = np.exp(-((x - 0.5) ** 2).sum(axis=0) / 0.06)
    return DisplacementField(np.stack([4 * bump * (-1) ** a for a in range(grid.ndim)])[None].astype(np.float32), grid)


@pytest.mark.parametrize("grid", GRIDS)
def test_points_lie_on_their_voxels_and_their_counterparts_where_the_registered_scan_shows_them(grid):
    turn, field = Orientation.of(grid), smooth_field(grid)
    rng = np.random.default_rng(0)
    index = np.stack([rng.integers(4, n - 4, 12) for n in grid.shape], axis=1)
    fixed = grid.index_to_world(index)
    moving = field.map_points(fixed) + rng.normal(size=fixed.shape)
    found = described((fixed, moving), field, grid, turn)
    marked = np.zeros(grid.shape, dtype=np.int64)
    marked[tuple(index.T)] = np.arange(1, 13)
    page = turn.volume(marked)
    for number, (x, y, z) in zip(found["numbers"], np.round(found["fixed"]).astype(int), strict=True):
        assert page[z, y, x] == number
    np.testing.assert_allclose(
        found["errors_warped"], np.linalg.norm(field.map_points(fixed) - moving, axis=1), atol=0.01
    )
    np.testing.assert_allclose(found["errors_before"], np.linalg.norm(fixed - moving, axis=1), atol=0.01)
    np.testing.assert_allclose(field.map_points(counterparts(field, fixed, moving)), moving, atol=0.02)


def test_without_errors_points_coincide():
    grid = GRIDS[0]
    shift = Affine(np.array([[1, 0, 0, 3.0], [0, 1, 0, -2], [0, 0, 1, 1], [0, 0, 0, 1]]))
    fixed = grid.index_to_world([[10, 12, 8], [20, 12, 9]])
    found = described((fixed, shift.map_points(fixed)), shift, grid, Orientation.of(grid))
    assert found["fixed"] == found["warped"] != found["before"]
    assert found["errors_warped"] == [0, 0]


def test_a_fold_gives_the_nearest_place():
    grid = Grid.from_spacing((24, 20, 16))
    field = np.zeros((1, 3, *grid.shape), np.float32)
    field[0, 0, 12:14] = np.array([3.0, -3.0])[:, None, None]
    fixed = grid.index_to_world([[12, 10, 8]])
    assert np.isfinite(counterparts(DisplacementField(field, grid), fixed, fixed)).all()


def test_of_many_points_every_nth_is_shown():
    grid = GRIDS[0]
    points = grid.index_to_world(np.full((9001, 3), 10))
    found = described((points, points), None, grid, Orientation.of(grid))
    assert found["numbers"][:2] == [1, 4]
    assert len(found["fixed"]) == 3001
    assert "warped" not in found
