"""Correspondence of landmarks: by their order, or by name where a list lacks some."""

import numpy as np

from learngn.io import Landmarks
from learngn.registration.points import corresponding

POINTS = np.arange(8.0).reshape(4, 2)


def test_by_name_where_the_numbers_differ():
    fixed = Landmarks(POINTS, names=("1", "2", "3", "4"), weights=np.arange(1.0, 5.0))
    moving = Landmarks(POINTS[::-1][:3], names=("4", "2", "1"))
    one, other = corresponding(fixed, moving)
    assert one.names == other.names == ("1", "2", "4")
    np.testing.assert_array_equal(one.points, POINTS[[0, 1, 3]])
    np.testing.assert_array_equal(one.weights, [1, 2, 4])
    np.testing.assert_array_equal(other.points, moving.points[[2, 1, 0]])


def test_otherwise_unchanged():
    named, bare = Landmarks(POINTS, names=tuple("abcd")), Landmarks(POINTS[:3])
    assert corresponding(named, bare) == (named, bare)
    same = Landmarks(POINTS, names=tuple("dcba"))  # by their order
    assert corresponding(named, same) == (named, same)
    double, other = Landmarks(POINTS[:3], names=("a", "a", "b")), Landmarks(POINTS[:3], names=tuple("xyz"))
    assert corresponding(named, double) == (named, double)
    assert corresponding(named, other) == (named, other)
