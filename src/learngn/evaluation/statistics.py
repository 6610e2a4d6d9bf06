"""Statistics over pairs: intervals, paired comparison, and the two things that Learn2Reg calls "30"."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from learngn.errors import ShapeError
from learngn.geometry.grid import FloatArray

_HARD_SHARE = 0.3


@dataclass(frozen=True)
class Interval:
    """A mean and its confidence interval.

    Attributes
    ----------
    mean : float
        Over the finite or infinite values; NaN ones are left out.
    low, high : float
        Bounds; NaN where there is no value, or an infinite one.
    count : int
        Number of values.
    confidence : float
        For example 0.95.
    """

    mean: float
    low: float
    high: float
    count: int
    confidence: float


def bootstrap_mean(
    values: ArrayLike, generator: np.random.Generator, *, confidence: float = 0.95, resamples: int = 10_000
) -> Interval:
    """Bootstrap the mean over pairs, with a percentile interval.

    Parameters
    ----------
    values : array, shape (P,)
        One value a pair; NaN where a pair has none.
    generator : numpy.random.Generator
        Source of the resamples: the same state, the same interval.
    confidence : float
        Share of the resampled means within the interval.
    resamples : int
        Number of resamples.

    Notes
    -----
    Pairs are drawn as if independent. Where they share scans, as most data sets' pairs do, the interval is too narrow.
    """
    data = _without_nan(values)
    if data.size == 0:
        return Interval(float("nan"), float("nan"), float("nan"), 0, confidence)
    if not np.isfinite(data).all():
        return Interval(float(data.mean()), float("nan"), float("nan"), data.size, confidence)
    # NumPy rather than scipy.stats.bootstrap, which names the generator differently from version to version.
    means = data[generator.integers(0, data.size, (resamples, data.size))].mean(axis=1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(data.mean()), float(low), float(high), data.size, confidence)


@dataclass(frozen=True)
class Comparison:
    """Two methods on the same pairs.

    Attributes
    ----------
    mean_difference : float
        Mean of second minus first.
    p_value : float
        Of the two-sided Wilcoxon signed-rank test; 1 if no pair differs.
    count : int
        Pairs that both methods have a value for.
    """

    mean_difference: float
    p_value: float
    count: int


def compare(first: ArrayLike, second: ArrayLike) -> Comparison:
    """Compare two methods pair by pair, by Wilcoxon's signed-rank test.

    Parameters
    ----------
    first, second : array, shape (P,)
        One value a pair, in the same order; pairs with NaN in either are left out.

    Raises
    ------
    ShapeError
        If the numbers of pairs differ.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise ShapeError(
            "paired comparison", f"{a.shape} and {b.shape} values", "one value a pair in both", "score the same pairs"
        )
    difference = b - a
    difference = difference[~np.isnan(difference)]
    if difference.size == 0:
        return Comparison(float("nan"), float("nan"), 0)
    from scipy.stats import wilcoxon  # half a second, which a registration need not wait

    p_value = float(wilcoxon(difference).pvalue) if difference.any() else 1.0
    return Comparison(float(difference.mean()), p_value, difference.size)


def quantile_over_cases(values: ArrayLike, quantile: float) -> float:
    """Take a quantile of the pairs' means: the "30" of Learn2Reg's evaluation script.

    Parameters
    ----------
    values : array, shape (P,)
        One value a pair; NaN ones are left out.
    quantile : float
        The script takes 0.3 for Dice and, although lower is better there, for HD95; 0.7 for TRE and SDlogJ.
    """
    data = np.sort(_without_nan(values))
    if data.size == 0:
        return float("nan")
    # Interpolation towards an infinite distance is infinite; NumPy makes it NaN.
    above = data[int(np.ceil(quantile * (data.size - 1)))]
    return float(np.quantile(data, quantile) if np.isfinite(above) else above)


def hardest_entries(values: ArrayLike, initial: ArrayLike, *, higher_is_better: bool) -> FloatArray:
    """Choose the 30 % of entries that began worst.

    Parameters
    ----------
    values : array, shape (P, L) or (M,)
        One value for each pair and label, or for each landmark, after registration.
    initial : array, same shape
        The same before registration: it alone decides which entries are hard. Entries without a value (NaN) in
        either are left out.
    higher_is_better : bool
        Whether the worst entries are the lowest, as for Dice.

    Returns
    -------
    array, shape (K,)

    Raises
    ------
    ShapeError
        If the shapes differ.
    """
    after, before = np.asarray(values, dtype=np.float64), np.asarray(initial, dtype=np.float64)
    if after.shape != before.shape:
        raise ShapeError(
            "hardest entries",
            f"shapes {after.shape} and {before.shape}",
            "the same entries before and after",
            "score the same pairs and labels",
        )
    known = ~(np.isnan(after) | np.isnan(before))
    after, before = after[known], before[known]
    order = np.argsort(before if higher_is_better else -before, kind="stable")
    return after[order[: round(_HARD_SHARE * after.size)]]


def mean_of_hardest_entries(values: ArrayLike, initial: ArrayLike, *, higher_is_better: bool) -> float:
    """Average the entries that :func:`hardest_entries` chooses: the "30" of Learn2Reg's rankings (Dice30, TRE30).

    Parameters and errors are the same; NaN if there are none.
    """
    chosen = hardest_entries(values, initial, higher_is_better=higher_is_better)
    return float(chosen.mean()) if chosen.size else float("nan")


def _without_nan(values: ArrayLike) -> FloatArray:
    data = np.asarray(values, dtype=np.float64).ravel()
    return data[~np.isnan(data)]
