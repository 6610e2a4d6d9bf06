"""Comparison of several methods on the same pairs: means, paired tests, ranking."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from learngn.evaluation.pair_scores import METRICS, Metric, json_number
from learngn.evaluation.ranking import Ranking, Test, rank
from learngn.evaluation.statistics import Comparison, compare
from learngn.evaluation.summary import Summary
from learngn.geometry.grid import FloatArray


@dataclass(frozen=True, eq=False)
class MethodComparison:
    """Comparison of methods; the others are compared with the first one.

    Attributes
    ----------
    summaries : dict
        Summary of every method.
    differences : dict
        Paired comparison of every other method with the first, by method and metric.
    adjusted : dict
        p values adjusted by Holm's method for the number of other methods, by method and metric.
    ranking : Ranking
    """

    summaries: Mapping[str, Summary]
    differences: Mapping[str, Mapping[str, Comparison]]
    adjusted: Mapping[str, Mapping[str, float]]
    ranking: Ranking

    def to_json(self) -> dict[str, Any]:
        """Return all attributes as values for :func:`json.dumps`."""
        return {
            "methods": {name: summary.to_json() for name, summary in self.summaries.items()},
            "compared_with": next(iter(self.summaries)),
            "differences": {
                name: {
                    key: {
                        "mean": json_number(difference.mean_difference),
                        "p": json_number(difference.p_value),
                        "p_holm": json_number(self.adjusted[name][key]),
                        "pairs": difference.count,
                    }
                    for key, difference in metrics.items()
                }
                for name, metrics in self.differences.items()
            },
            "ranking": self.ranking.to_json(),
        }


def compare_methods(summaries: Mapping[str, Summary], *, test: Test = "rank-sum") -> MethodComparison:
    """Compare methods with the first one, pair by pair, and rank them.

    Parameters
    ----------
    summaries : dict
        Scores of the same pairs by method.
    test : {"rank-sum", "signed-rank"}
        Test for the ranking; paired comparisons use the signed-rank test.

    Raises
    ------
    ShapeError
        If there is only one method, or the methods have scored different pairs.
    """
    ranking = rank({name: summary.pairs for name, summary in summaries.items()}, test=test)
    first, *others = summaries
    differences: dict[str, dict[str, Comparison]] = {name: {} for name in others}
    adjusted: dict[str, dict[str, float]] = {name: {} for name in others}
    for metric in compared_metrics(summaries):
        values = {name: values_of(summary, metric) for name, summary in summaries.items()}
        comparisons = {name: compare(values[first], values[name]) for name in others}
        p_values = holm([comparison.p_value for comparison in comparisons.values()])
        for (name, comparison), p_value in zip(comparisons.items(), p_values, strict=True):
            differences[name][metric.key], adjusted[name][metric.key] = comparison, p_value
    return MethodComparison(summaries, differences, adjusted, ranking)


def compared_metrics(summaries: Mapping[str, Summary]) -> list[Metric]:
    """Return the metrics that every method has, except those before registration."""
    return [
        metric
        for metric in METRICS
        if "before" not in metric.key and all(metric.key in summary.means for summary in summaries.values())
    ]


def values_of(summary: Summary, metric: Metric) -> FloatArray:
    """Return the values of a metric for all pairs, NaN for missing ones, shape (P,)."""
    return np.array([getattr(pair, metric.key) for pair in summary.pairs], dtype=np.float64)


def holm(p_values: list[float]) -> list[float]:
    """Adjust p values for multiple tests by Holm's step-down method; NaN stays, and is not counted as a test."""
    order = sorted((index for index, p in enumerate(p_values) if not math.isnan(p)), key=lambda index: p_values[index])
    adjusted, largest = list(p_values), 0.0
    for position, index in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - position) * p_values[index]))
        adjusted[index] = largest
    return adjusted
