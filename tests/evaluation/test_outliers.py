"""Pairs that differ from the others: robust z-scores by hand, and what is too little to name."""

import pytest

from learngn.evaluation import PairScores
from learngn.evaluation.outliers import find_outliers


def pairs(gains, folds=None, **others):
    folds = folds or [0.0] * len(gains)
    return [
        PairScores("f", "m", {1: 0.3 + gain}, {1: 0.3}, folds_percent=fold, **others)
        for gain, fold in zip(gains, folds, strict=True)
    ]


def test_a_small_gain():
    """Median 0.3, median absolute deviation 0.01: 0.2 is 0.1 / (1.4826 x 0.01) = 6.7 below."""
    [found] = find_outliers(pairs([0.29, 0.31, 0.2, 0.3, 0.3, 0.32, 0.28]))
    assert found.index == 2
    assert found.reasons == ("Dice gain 0.20, median 0.30 (z -6.7)",)


def test_a_large_gain_is_none():
    assert find_outliers(pairs([0.29, 0.31, 0.5, 0.3, 0.3, 0.32, 0.28])) == []


def test_differences_that_do_not_matter():
    assert find_outliers(pairs([0.2999, 0.3001, 0.29, 0.3, 0.3, 0.3002, 0.2998])) == []
    assert find_outliers(pairs([0.3] * 6, [0, 0, 0, 0, 0, 0.09])) == []


def test_folds_where_most_have_none():
    """The mean absolute deviation 2 / 6 serves: 2 / (1.2533 x 2 / 6) = 4.8."""
    [found] = find_outliers(pairs([0.3] * 6, [0, 0, 0, 0, 0, 2.0]))
    assert found.reasons == ("folds 2.00 %, median 0.00 % (z 4.8)",)


def test_landmarks():
    scores = [PairScores("f", "m", tre=2.0 + n % 2 * 0.1, tre_before=12.0) for n in range(6)]
    scores.append(PairScores("f", "m", tre=11.0, tre_before=12.0))
    [found] = find_outliers(scores)
    assert found.index == 6
    assert found.reasons[0].startswith("landmark error reduced by 1.00 mm, median 9.90 mm (z -")


@pytest.mark.parametrize("count", [4, 5])
def test_few_pairs_have_no_outliers(count):
    found = find_outliers(pairs([0.29, 0.31, 0.3, 0.0] if count == 4 else [0.29, 0.31, 0.3, 0.3, 0.0]))
    assert len(found) == (count == 5)


def test_failed_pairs_and_the_order():
    scores = pairs([0.29, 0.31, 0.2, 0.3, 0.3, 0.32, 0.1], [0.0] * 7)
    scores[3] = pairs([0.3], verdict="failed")[0]
    scores.append(PairScores("f", "m", error="lost"))
    assert [(found.index, found.reasons[0][:9]) for found in find_outliers(scores)] == [
        (6, "Dice gain"),
        (2, "Dice gain"),
        (3, "verdict f"),
    ]


def test_nothing():
    assert find_outliers([]) == []
