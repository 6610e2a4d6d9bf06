from __future__ import annotations

import numpy as np
import pytest

from learngn.errors import ShapeError
from learngn.evaluation.overlap import dice, labels_in_both, labels_of, mean_over_labels, occupied
from learngn.evaluation.surface import hd95


@pytest.mark.parametrize("shape", [(9, 8), (6, 7, 5)])
def test_agrees_with_counting_voxel_by_voxel(shape):
    rng = np.random.default_rng(0)
    fixed, warped = rng.integers(0, 4, (2, *shape))
    found = dice(fixed, warped, [1, 2, 3])
    for label in (1, 2, 3):
        both = sum(fixed[x] == label and warped[x] == label for x in np.ndindex(shape))
        either = sum(int(fixed[x] == label) + int(warped[x] == label) for x in np.ndindex(shape))
        assert found[label] == 2 * both / either


def test_cube_moved_by_half_its_width():
    fixed, warped = np.zeros((2, 20, 20, 20), dtype=np.uint8)
    fixed[4:12, 4:12, 4:12] = 5
    warped[8:16, 4:12, 4:12] = 5
    assert dice(fixed, warped, [5]) == {5: 0.5}
    assert dice(fixed, fixed, [5]) == {5: 1.0}


def test_labels_that_vanish_score_zero_and_unknown_ones_nothing():
    fixed, warped = np.zeros((2, 4, 4), dtype=np.int16)
    fixed[0, 0] = 1
    scores = dice(fixed, warped, [1, 2])
    assert scores[1] == 0
    assert np.isnan(scores[2])
    assert mean_over_labels(scores) == 0
    assert np.isnan(mean_over_labels({}))


def test_labels_in_both_ignores_background_and_shape():
    assert labels_in_both(np.array([[0, 3, 1, 7]]), np.array([[0], [7], [1], [2]])) == [1, 7]


def test_other_shape_is_an_error():
    with pytest.raises(ShapeError, match="fixed grid"):
        dice(np.zeros((3, 3)), np.zeros((4, 3)), [1])


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_labels_in_a_small_part_of_a_map(dtype):
    first, second = np.zeros((2, 9, 8, 7), dtype)
    assert occupied(first, second) is None
    assert dice(first, second, [1]) == pytest.approx({1: np.nan}, nan_ok=True)
    first[3, 2:4, 5], second[5, 2:5, 1] = 3, 3
    second[3, 2, 5] = 4
    assert occupied(first) == (slice(3, 4), slice(2, 4), slice(5, 6))
    assert occupied(first, second) == (slice(3, 6), slice(2, 5), slice(1, 6))
    assert labels_of(second) == [3, 4]
    second[3, 3, 5] = 3
    assert dice(first, second, [3, 4]) == {3: 2 / 6, 4: 0.0}
    background = np.count_nonzero((first == 0) & (second == 0))
    assert dice(first, second, [0]) == {0: 2 * background / (first.size - 2 + first.size - 5)}
    assert hd95(first, second, [3]) == hd95(first[2:, 1:], second[2:, 1:], [3])
