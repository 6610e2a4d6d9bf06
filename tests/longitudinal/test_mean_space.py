"""Mean position and grid of several scans: half-way for two, whichever comes first."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from learngn.errors import GeometryError
from learngn.geometry.grid import Grid
from learngn.longitudinal.mean_space import from_mean, mean_grid


def rigid(turn, shift):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(np.deg2rad(turn)).as_matrix()
    matrix[:3, 3] = shift
    return matrix


A, B, C = rigid([5, -8, 3], [4, 0, -7]), rigid([-12, 2, 9], [1, 6, 2]), rigid([0, 20, 0], [-3, 2, 5])


def test_two_are_each_moved_half_of_the_way():
    first, second = from_mean([np.eye(4), A])
    np.testing.assert_allclose(second @ np.linalg.inv(first), A, atol=1e-10)
    np.testing.assert_allclose(first @ second, np.eye(4), atol=1e-10)
    angles = [Rotation.from_matrix(m[:3, :3]).magnitude() for m in (first, second, A)]
    assert angles[0] == pytest.approx(angles[1]) == pytest.approx(angles[2] / 2)


def test_any_scan_may_be_the_first():
    """The mean position of several scans is the same, whichever the maps start from."""
    maps = [np.eye(4), A, B, C]
    from_a = [m @ np.linalg.inv(A) for m in maps]
    for one, other in zip(from_mean(maps), from_mean(from_a), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)


def test_half_a_circle_has_no_middle():
    with pytest.raises(GeometryError, match="half a circle"):
        from_mean([np.eye(4), rigid([0, 0, 180], [0, 0, 0])])


FLIPS = {"RAS": np.eye(3), "LPS": np.diag([-1.0, -1, 1]), "permuted": np.eye(3)[:, [2, 0, 1]]}


@pytest.mark.parametrize("name", FLIPS)
def test_equal_grids_keep_their_voxels(name):
    grid = Grid.from_spacing((10, 12, 8), (1.0, 1.5, 2.0), direction=FLIPS[name])
    found = mean_grid([grid, grid])
    assert found.axis_codes == "RAS"
    index = grid.world_to_index(found.index_to_world(np.argwhere(np.ones(found.shape))))
    np.testing.assert_allclose(index, np.rint(index), atol=1e-9)
    assert found.size == grid.size


def test_the_order_of_the_grids_does_not_matter():
    first = Grid.from_spacing((10, 12, 8), (1.0, 1.5, 2.0))
    second = Grid.from_spacing((14, 9, 11), (1.2, 1.0, 2.0), direction=FLIPS["LPS"]).moved(A)
    one, other = mean_grid([first, second]), mean_grid([second, first])
    assert one.shape == other.shape
    np.testing.assert_allclose(one.affine, other.affine, atol=1e-9)
    np.testing.assert_allclose(one.spacing, (1.0, 1.0, 2.0))
    for grid in (first, second):  # it holds all voxels of both
        index = one.world_to_index(grid.index_to_world(np.argwhere(np.ones(grid.shape))))
        assert index.min() > -0.5
        assert (index < np.array(one.shape) - 0.5).all()


def test_in_the_plane():
    turn = np.array([[0.0, -1, 3], [1, 0, 2], [0, 0, 1]])
    first, second = from_mean([np.eye(3), turn])
    np.testing.assert_allclose(second @ np.linalg.inv(first), turn, atol=1e-10)
    assert mean_grid([Grid.from_spacing((5, 6)), Grid.from_spacing((6, 5))]).shape == (6, 6)
