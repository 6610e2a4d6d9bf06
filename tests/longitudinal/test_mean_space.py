"""Grid of several scans: one that favours none of them."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from learngn.geometry.grid import Grid
from learngn.longitudinal.mean_space import mean_grid

A = np.eye(4)
A[:3, :3], A[:3, 3] = Rotation.from_rotvec(np.deg2rad([5, -8, 3])).as_matrix(), [4, 0, -7]


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
    assert mean_grid([Grid.from_spacing((5, 6)), Grid.from_spacing((6, 5))]).shape == (6, 6)
