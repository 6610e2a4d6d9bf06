"""Vectors turned by the Jacobian: exact for affine maps, along with carried points for smooth ones."""

import numpy as np
import pytest

from learngn import Affine, DisplacementField, Grid
from learngn.errors import ShapeError
from learngn.geometry.carrying import carry
from learngn.geometry.reorientation import reoriented

GRIDS = {
    "RAS": Grid.from_spacing((16, 14, 12), (2.0, 2.5, 3.0), (-10, 5, 0)),
    "mirrored": Grid.from_spacing((16, 14, 12), (2.0, 2.5, 3.0), (-10, 5, 0), np.diag([-1.0, 1, -1])),
    "oblique": Grid.from_spacing(
        (16, 14, 12), (2.0, 2.5, 3.0), (0, 0, 0), np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    ),
    "one slice": Grid.from_spacing((16, 14, 1), 2.0),
    "2D": Grid.from_spacing((16, 14), (2.0, 2.5), (1, 2), np.array([[0, 1.0], [1, 0]])),
}


def constant(grid, vector):
    return np.broadcast_to(np.reshape(vector, (-1, *[1] * grid.ndim)), (grid.ndim, *grid.shape)).astype(float)


@pytest.mark.parametrize("name", GRIDS)
def test_affine(name):
    grid = GRIDS[name]
    matrix = np.eye(grid.ndim + 1)
    matrix[:2, :2] = [[0.2, -1.1], [0.9, 0.1]]
    vector = np.arange(1.0, grid.ndim + 1)
    turned = reoriented(constant(grid, vector), Affine(matrix).on(grid))
    expected = np.linalg.inv(matrix[:-1, :-1]) @ vector
    np.testing.assert_allclose(turned, constant(grid, expected), atol=1e-12)


@pytest.mark.parametrize("name", [name for name in GRIDS if name != "one slice"])
def test_smooth(name):
    """A short step of the moving image, carried to the fixed image at both of its ends."""
    grid = GRIDS[name]
    x = np.stack(np.meshgrid(*[np.arange(n) / 6 for n in grid.shape], indexing="ij"))
    field = DisplacementField(2.0 * np.sin(np.roll(x, 1, axis=0))[None].astype(np.float32), grid)
    vector = np.arange(1.0, grid.ndim + 1)
    turned = reoriented(constant(grid, vector), field.on(grid))
    index = np.array([[5, 6, 7], [8, 5, 4], [10, 9, 8]])[:, : grid.ndim]
    places = grid.index_to_world(index)
    there = field.map_points(places)
    step = (
        carry(field, there + 0.5 * vector, inverse=True).points
        - carry(field, there - 0.5 * vector, inverse=True).points
    )
    np.testing.assert_allclose(turned[(slice(None), *index.T)].T, step, atol=0.06)
    assert np.abs(step - vector).max() > 0.3  # that the vectors are turned at all


def test_folded_flat_and_wrong_shapes():
    grid = GRIDS["2D"]
    data = np.zeros((1, 2, *grid.shape), np.float32)
    data[:, 0] = -np.arange(16)[:, None]
    on_grid = DisplacementField(data, grid).on(grid)
    np.testing.assert_array_equal(reoriented(constant(grid, [1.0, 2.0]), on_grid), 0)
    with pytest.raises(ShapeError, match="vectors"):
        reoriented(np.zeros((3, *grid.shape)), on_grid)
