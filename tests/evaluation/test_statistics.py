from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from learngn.errors import ShapeError
from learngn.evaluation.statistics import bootstrap_mean, compare, mean_of_hardest_entries, quantile_over_cases

NAN = float("nan")


def test_bootstrap_is_reproducible_and_ignores_nan():
    values = np.random.default_rng(0).normal(size=30)
    first = bootstrap_mean([*values, NAN], np.random.default_rng(7))
    assert first == bootstrap_mean(values, np.random.default_rng(7))
    assert first.mean == values.mean()
    assert first.count == 30
    assert first.low < first.mean < first.high


def test_bootstrap_agrees_with_the_exact_distribution():
    # Of four values all 256 resamples can be listed.
    values = np.array([0.0, 1.0, 5.0, 9.0])
    exact = [np.mean(sample) for sample in product(values, repeat=4)]
    found = bootstrap_mean(values, np.random.default_rng(1), confidence=0.8, resamples=40_000)
    assert (found.low, found.high) == tuple(np.quantile(exact, [0.1, 0.9]))


def test_bootstrap_covers_the_true_mean():
    rng = np.random.default_rng(2)
    hits = sum(
        interval.low <= 0 <= interval.high
        for interval in (bootstrap_mean(rng.normal(size=40), rng, resamples=500) for _ in range(200))
    )
    assert 178 <= hits <= 198  # 95 % less the few points that the percentile method loses at this size


def test_bootstrap_without_finite_values():
    nothing = bootstrap_mean([NAN, NAN], np.random.default_rng(0))
    assert np.isnan(nothing.mean)
    assert nothing.count == 0
    infinite = bootstrap_mean([1.0, np.inf], np.random.default_rng(0))
    assert infinite.mean == np.inf
    assert np.isnan(infinite.low)


def test_signed_rank_test_against_all_signs():
    first = np.array([0.50, 0.61, 0.42, 0.70, 0.35, 0.58])
    difference = np.array([0.05, 0.11, 0.02, -0.03, 0.07, 0.09])
    ranks = np.argsort(np.argsort(np.abs(difference))) + 1
    statistic = ranks[difference > 0].sum()
    sums = [ranks[np.array(signs)].sum() for signs in product([False, True], repeat=6)]
    expected = 2 * np.mean([s >= statistic for s in sums])
    found = compare(first, first + difference)
    assert found.p_value == pytest.approx(expected)
    assert found.mean_difference == pytest.approx(difference.mean())


def test_comparison_of_equal_or_missing_values():
    assert compare([1.0, 2.0], [1.0, 2.0]).p_value == 1
    partly = compare([1.0, NAN, 2.0], [1.5, 3.0, NAN])
    assert partly.count == 1
    assert np.isnan(compare([NAN], [1.0]).p_value)
    with pytest.raises(ShapeError, match="same pairs"):
        compare([1.0], [1.0, 2.0])


def test_quantile_over_cases():
    assert quantile_over_cases([0.1, 0.2, NAN, 0.3, 0.4, 0.5], 0.3) == pytest.approx(0.22)
    assert np.isnan(quantile_over_cases([NAN], 0.3))
    assert quantile_over_cases([np.inf, np.inf], 0.3) == np.inf
    assert quantile_over_cases([1.0, 2.0, np.inf, np.inf], 0.3) == pytest.approx(1.9)
    assert quantile_over_cases([1.0, 2.0, np.inf, np.inf], 0.5) == np.inf


def test_hardest_entries_are_chosen_before_registration():
    initial = np.array([[0.1, 0.9, 0.2, NAN, 0.5], [0.8, 0.3, 0.7, 0.6, 0.4]])
    final = np.array([[0.6, 0.1, 0.5, 0.7, 0.2], [0.1, 0.7, 0.2, 0.1, NAN]])
    # Eight entries known: round(2.4) = 2 of them, those that began at .1 and .2.
    assert mean_of_hardest_entries(final, initial, higher_is_better=True) == pytest.approx((0.6 + 0.5) / 2)
    # As errors the hardest began at .9 and .8.
    assert mean_of_hardest_entries(final, initial, higher_is_better=False) == pytest.approx((0.1 + 0.1) / 2)
    assert np.isnan(mean_of_hardest_entries([[0.5]], [[0.5]], higher_is_better=True))
    with pytest.raises(ShapeError):
        mean_of_hardest_entries([[0.5]], [[0.5, 0.5]], higher_is_better=True)
