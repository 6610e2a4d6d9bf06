"""Statistics over pairs: confidence intervals, paired tests, and the two quantities that Learn2Reg calls "30"."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from learngn.errors import ShapeError
from learngn.geometry.grid import FloatArray

_HARD_SHARE = 0.3


@dataclass(frozen=True)
class Interval:
    """Mean and its confidence interval.

    Attributes
    ----------
    mean : float
        Mean over the values that are not NaN.
    low, high : float
        Bounds of the interval; NaN if there is no value, or an infinite one.
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
    """Compute the mean over pairs and its bootstrap percentile interval.

    Parameters
    ----------
    values : array, shape (P,)
        One value for each pair; NaN for missing ones.
    generator : numpy.random.Generator
        Random number generator of the resampling; the same state gives the same interval.
    confidence : float
        Share of the resampled means within the interval.
    resamples : int
        Number of resamples.

    Notes
    -----
    Pairs are resampled as if they were independent. If they share scans, as in most data sets, the interval is too
    narrow.
    """
    data = _without_nan(values)
    if data.size == 0:
        return Interval(float("nan"), float("nan"), float("nan"), 0, confidence)
    if not np.isfinite(data).all():
        return Interval(float(data.mean()), float("nan"), float("nan"), data.size, confidence)
    # NumPy instead of scipy.stats.bootstrap, whose parameter for the generator has different names in its versions.
    means = data[generator.integers(0, data.size, (resamples, data.size))].mean(axis=1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(data.mean()), float(low), float(high), data.size, confidence)


@dataclass(frozen=True)
class Comparison:
    """Comparison of two methods on the same pairs.

    Attributes
    ----------
    mean_difference : float
        Mean of second minus first.
    p_value : float
        p value of the two-sided Wilcoxon signed-rank test; 1 if no pair differs.
    count : int
        Number of pairs for which both methods have a value.
    """

    mean_difference: float
    p_value: float
    count: int


def compare(first: ArrayLike, second: ArrayLike) -> Comparison:
    """Compare two methods pair by pair, by Wilcoxon's signed-rank test.

    Parameters
    ----------
    first, second : array, shape (P,)
        One value for each pair, in the same order; pairs with NaN in either are ignored.

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
    """Compute a quantile over pairs: the "30" of Learn2Reg's evaluation script.

    Parameters
    ----------
    values : array, shape (P,)
        One value for each pair; NaN is ignored.
    quantile : float
        The script uses 0.3 for Dice and, although lower is better, for HD95; 0.7 for TRE and SDlogJ.
    """
    data = np.sort(_without_nan(values))
    if data.size == 0:
        return float("nan")
    # Interpolation towards an infinite distance must be infinite, but is NaN in NumPy.
    above = data[int(np.ceil(quantile * (data.size - 1)))]
    return float(np.quantile(data, quantile) if np.isfinite(above) else above)


def hardest_entries(values: ArrayLike, initial: ArrayLike, *, higher_is_better: bool) -> FloatArray:
    """Choose the 30 % of entries that were worst before registration.

    Parameters
    ----------
    values : array, shape (P, L) or (M,)
        Value of each pair and label, or of each landmark, after registration.
    initial : array, same shape
        Values before registration, by which the entries are chosen. Entries that are NaN in either array are ignored.
    higher_is_better : bool
        Whether the lowest entries are the worst, as for Dice.

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
    """Compute the mean of :func:`hardest_entries`: the "30" of Learn2Reg's rankings (Dice30, TRE30).

    Parameters and errors are the same; NaN if there are no entries.
    """
    chosen = hardest_entries(values, initial, higher_is_better=higher_is_better)
    return float(chosen.mean()) if chosen.size else float("nan")


def _without_nan(values: ArrayLike) -> FloatArray:
    data = np.asarray(values, dtype=np.float64).ravel()
    return data[~np.isnan(data)]
