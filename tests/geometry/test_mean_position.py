"""Mean position of several images: half-way for two, whichever comes first."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from learngn.errors import GeometryError
from learngn.geometry.mean_position import from_mean


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


def test_affine_maps():
    stretch = np.diag([1.2, 0.9, 1.1, 1.0])
    first, second = from_mean([np.eye(4), stretch])
    np.testing.assert_allclose(second, np.diag([1.2**0.5, 0.9**0.5, 1.1**0.5, 1.0]), atol=1e-10)
    np.testing.assert_allclose(first @ second, np.eye(4), atol=1e-10)


def test_in_the_plane():
    turn = np.array([[0.0, -1, 3], [1, 0, 2], [0, 0, 1]])
    first, second = from_mean([np.eye(3), turn])
    np.testing.assert_allclose(second @ np.linalg.inv(first), turn, atol=1e-10)
