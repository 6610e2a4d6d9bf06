"""Points carried both ways: exact where an inverse on the grid ends, honest about folds and what lies outside."""

import numpy as np
import pytest

from learngn import Affine, Composite, DisplacementField, Grid
from learngn.errors import ShapeError
from learngn.geometry.carrying import carry
from learngn.geometry.transform import Transform
from learngn.io import to_itk

DIRECTIONS = {
    "RAS": np.eye(3),
    "LPS": np.diag([-1.0, -1, 1]),
    "permuted": np.eye(3)[[2, 0, 1]],
    "oblique": np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0],
}


def grid_of(name: str) -> Grid:
    return Grid.from_spacing((30, 26, 20), (2.0, 2.5, 3.0), (-20, 10, 5), DIRECTIONS[name])


def bump(grid: Grid, height: float) -> DisplacementField:
    x = np.stack(np.meshgrid(*[(np.arange(n) + 0.5) / n for n in grid.shape], indexing="ij"))
    wave = np.sin(2 * np.pi * x)
    return DisplacementField((height * np.stack([wave[1], wave[2], wave[0]]))[None].astype(np.float32), grid)


def whole(grid: Grid, height: float) -> DisplacementField:
    """A field that holds a rotation and a shift of 40 mm besides."""
    angle = 0.4
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:3, 3] = 40, -10, 5
    chain = bump(grid, height).then(Affine(matrix)).on(grid)
    return DisplacementField(chain.displacement(grid), grid)


def points_in(grid: Grid, count: int = 200) -> np.ndarray:
    index = np.random.default_rng(0).uniform(2, np.asarray(grid.shape) - 3, (count, 3))
    return grid.index_to_world(index)


@pytest.mark.parametrize("name", DIRECTIONS)
@pytest.mark.parametrize("make", [bump, whole])
def test_there_as_itk_and_back(name, make):
    grid = grid_of(name)
    field, points = make(grid, 1.2), points_in(grid)
    there = carry(field, points)
    assert not there.outside.any()
    flip = np.array([-1, -1, 1])
    itk = to_itk(field)
    theirs = np.array([itk.TransformPoint((flip * point).tolist()) for point in points]) * flip
    np.testing.assert_allclose(there.points, theirs, atol=2e-4)
    back = carry(field, there.points, inverse=True)
    assert back.error.max() < 1e-3
    assert not back.outside.any()
    np.testing.assert_allclose(back.points, points, atol=1e-3)


@pytest.mark.parametrize("name", DIRECTIONS)
def test_jacobian_is_that_of_the_direction(name):
    grid = grid_of(name)
    chain = bump(grid, 1.0).then(Affine(np.array([[0, -1.2, 0, 3], [1, 0, 0, 4], [0, 0.1, 1, 5], [0, 0, 0, 1.0]])))
    points = points_in(grid, 20)
    there = carry(chain, points)
    back = carry(chain, there.points, inverse=True)
    product = back.jacobian() @ there.jacobian()
    np.testing.assert_allclose(product, np.broadcast_to(np.eye(3), product.shape), atol=2e-2)
    affine = carry(chain.parts[1], points)
    np.testing.assert_allclose(affine.jacobian()[3], chain.parts[1].matrix[:3, :3], atol=1e-9)


def test_chain_in_a_chain_is_taken_apart():
    grid = grid_of("oblique")
    matrix = np.eye(4)
    matrix[:3, 3] = 1, 2, 3
    chain = Composite((Affine(matrix), Composite((bump(grid, 1.0), Affine(matrix)))))
    points = points_in(grid)
    back = carry(chain, carry(chain, points).points, inverse=True)
    np.testing.assert_allclose(back.points, points, atol=1e-3)


def test_outside_is_said():
    grid = grid_of("RAS")
    field = bump(grid, 1.0)
    far = grid.index_to_world([[-20, 5, 5], [5, 5, 5]])
    for inverse in (False, True):
        carried = carry(field, far, inverse=inverse)
        assert carried.outside.tolist() == [True, False]
        np.testing.assert_allclose(carried.points[0], far[0])
        assert carried.error.max() < 1e-3


def test_what_nothing_is_mapped_to_has_an_error():
    grid = grid_of("RAS")
    data = np.zeros((1, 3, *grid.shape), np.float32)
    data[:, 0] = 6.0  # everything goes six voxels along x: nothing arrives at the first ones
    carried = carry(DisplacementField(data, grid), grid.index_to_world([[2.0, 10, 10], [20, 10, 10]]), inverse=True)
    assert carried.outside.tolist() == [True, False]
    assert carried.error[0] > 1
    assert carried.error[1] < 1e-3


def test_folds_do_not_stop_the_others():
    grid = grid_of("RAS")
    data = np.zeros((1, 3, *grid.shape), np.float32)
    data[:, 0] = 4 * np.sin(0.8 * np.arange(30))[:, None, None]
    carried = carry(DisplacementField(data, grid), points_in(grid), inverse=True)
    assert np.isfinite(carried.points).all()
    assert (carried.error < 1e-3).mean() > 0.5


def test_slice_of_a_volume_and_no_points():
    grid = Grid.from_spacing((20, 18, 1), 2.0)
    field = DisplacementField(np.full((1, 3, *grid.shape), 0.3, np.float32), grid)
    points = grid.index_to_world([[5.0, 6, 0], [9, 9, 0.1]])
    np.testing.assert_allclose(carry(field, carry(field, points).points, inverse=True).points, points, atol=1e-4)
    assert carry(field, np.zeros((0, 3)), inverse=True).points.shape == (0, 3)


def test_plane():
    grid = Grid.from_spacing((20, 18), 2.0, (3, 4), np.array([[0, 1.0], [1, 0]]))
    field = DisplacementField(np.full((1, 2, *grid.shape), 0.7, np.float32), grid)
    points = grid.index_to_world([[5.0, 6], [9, 9]])
    np.testing.assert_allclose(carry(field, carry(field, points).points, inverse=True).points, points, atol=1e-4)
    with pytest.raises(ShapeError, match="2D transform"):
        carry(field, np.zeros((4, 3)))


def test_transforms_of_ones_own_have_their_own_inverse():
    class Doubled(Transform):
        ndim = 3

        def map_points(self, points):
            return 2 * np.asarray(points)

        def inverse(self):
            return Affine(np.diag([0.5, 0.5, 0.5, 1]))

        def after(self, inner):
            raise NotImplementedError

    np.testing.assert_allclose(carry(Doubled(), np.array([[2.0, 4, 6]]), inverse=True).points, [[1, 2, 3]])


def test_blocks_join(monkeypatch):
    grid = grid_of("RAS")
    field, points = bump(grid, 1.0), points_in(grid)
    expected = [carry(field, points, inverse=inverse) for inverse in (False, True)]
    monkeypatch.setattr("learngn.geometry.carrying._BLOCK", 33)
    for inverse, once in zip((False, True), expected, strict=True):
        blocks = carry(field, points, inverse=inverse)
        np.testing.assert_allclose(blocks.points, once.points, atol=1e-5)
        assert len(blocks.error) == len(points)
