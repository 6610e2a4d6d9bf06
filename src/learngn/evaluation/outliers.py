"""Pairs whose scores differ from those of the others, by the robust z-score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from learngn.evaluation.pair_scores import PairScores
from learngn.geometry.grid import FloatArray

_LIMIT = 3.5  # robust z-score beyond which a value is an outlier (Iglewicz and Hoaglin)
_FEWEST = 5  # pairs with a score, below which none is an outlier
# Standard deviations of a normal distribution in the median and in the mean of the absolute deviations.
_FROM_MEDIAN, _FROM_MEAN = 1.4826, 1.2533


@dataclass(frozen=True)
class Outlier:
    """Pair that differs from the others.

    Attributes
    ----------
    index : int
        Index of the pair.
    reasons : tuple of str
        Reasons in words, such as ``"Dice gain 0.02, median 0.21 (z -6.1)"``.
    """

    index: int
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class _Score:
    """Score whose outliers are named.

    Attributes
    ----------
    title, unit : str
    worse : int
        1 if large values are bad, -1 if small ones are.
    least : float
        Least difference from the median that matters.
    """

    title: str
    unit: str
    worse: int
    least: float


_SCORES = {
    "dice": _Score("Dice gain", "", -1, 0.02),
    "tre": _Score("landmark error reduced by", " mm", -1, 0.5),
    "folds": _Score("folds", " %", 1, 0.1),
}


def find_outliers(pairs: Sequence[PairScores]) -> list[Outlier]:
    """Find pairs that gain little in Dice or landmark error, or fold much, compared with the others, or have failed.

    A value is an outlier if its robust z-score, the difference from the median over 1.48 times the median absolute
    deviation, is worse than 3.5, and the difference is not negligible. Where more than half of the values are equal,
    the mean absolute deviation is used. Pairs whose verdict is ``"failed"`` are outliers, too.

    Parameters
    ----------
    pairs : sequence of PairScores
        Scores; those of at least five pairs are compared.

    Returns
    -------
    list of Outlier
        The worst first, by the sum of their scores.

    References
    ----------
    B. Iglewicz, D. C. Hoaglin: How to detect and handle outliers. ASQC, 1993.
    """
    values = {
        "dice": [pair.dice_mean - pair.dice_mean_before for pair in pairs],
        "tre": [pair.tre_before - pair.tre for pair in pairs],
        "folds": [pair.folds_percent for pair in pairs],
    }
    reasons: dict[int, list[str]] = {n: ["verdict failed"] for n, pair in enumerate(pairs) if pair.verdict == "failed"}
    badness = dict.fromkeys(range(len(pairs)), 0.0)
    for key, score in _SCORES.items():
        array = np.array(values[key], dtype=np.float64)
        z, median = _robust_z(array)
        for index in np.flatnonzero((score.worse * z > _LIMIT) & (score.worse * (array - median) > score.least)):
            text = f"{score.title} {array[index]:.2f}{score.unit}, median {median:.2f}{score.unit} (z {z[index]:.1f})"
            reasons.setdefault(int(index), []).append(text)
            badness[int(index)] += abs(float(z[index]))
    order = sorted(reasons, key=lambda index: (-badness[index], index))
    return [Outlier(index, tuple(reasons[index])) for index in order]


def _robust_z(values: FloatArray) -> tuple[FloatArray, float]:
    """Return the robust z-scores of values, 0 for those that are not finite, and their median."""
    known = np.isfinite(values)
    if known.sum() < _FEWEST:
        return np.zeros_like(values), float("nan")
    median = float(np.median(values[known]))
    deviations = np.abs(values[known] - median)
    scale = _FROM_MEDIAN * float(np.median(deviations)) or _FROM_MEAN * float(deviations.mean())
    z = np.zeros_like(values)
    if scale > 0:
        z[known] = (values[known] - median) / scale
    return z, median
