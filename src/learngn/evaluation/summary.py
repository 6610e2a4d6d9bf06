"""Summary of the scores of many pairs: means with confidence intervals, by metric and by label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from learngn.evaluation.outliers import Outlier, find_outliers
from learngn.evaluation.pair_scores import METRICS, PairScores, json_number
from learngn.evaluation.statistics import (
    Interval,
    bootstrap_mean,
    hardest_entries,
    mean_of_hardest_entries,
    quantile_over_cases,
)
from learngn.geometry.grid import FloatArray
from learngn.quality.verdict import STATUSES, Status

LABEL_METRICS = ("dice_before", "dice", "hd95")


@dataclass(frozen=True)
class Summary:
    """Scores of the pairs of a data set, and their statistics.

    Attributes
    ----------
    pairs : tuple of PairScores
        Scores of all pairs, including failed ones.
    means : dict
        Mean over pairs with its interval, by metric, for the metrics that some pair has.
    case_quantiles : dict
        The "30" of Learn2Reg's script, by metric.
    dice_hardest : float
        The "30" of Learn2Reg's rankings: mean Dice of the 30 % of (pair, label) entries with the least initial overlap.
    tre_hardest : float
        The same for landmarks: mean error of the 30 % of each pair with the largest initial distance [mm].
    labels : dict
        Mean over pairs with its interval, by label and by name in :data:`LABEL_METRICS`.
    names : dict
        Names of the labels, where known.
    """

    pairs: tuple[PairScores, ...]
    means: Mapping[str, Interval]
    case_quantiles: Mapping[str, float]
    dice_hardest: float
    tre_hardest: float
    labels: Mapping[int, Mapping[str, Interval]]
    names: Mapping[int, str]

    @property
    def failed(self) -> list[PairScores]:
        """Pairs without scores."""
        return [pair for pair in self.pairs if pair.error is not None]

    @property
    def verdicts(self) -> dict[Status, int]:
        """Number of pairs of each verdict, the worst first; empty if no pair was judged."""
        given = [pair.verdict for pair in self.pairs if pair.verdict is not None]
        return {status: given.count(status) for status in STATUSES} if given else {}

    @property
    def doubtful(self) -> list[PairScores]:
        """Pairs whose verdict is not ``"ok"``, the worst verdict first."""
        return [pair for status in STATUSES[:-1] for pair in self.pairs if pair.verdict == status]

    @property
    def outliers(self) -> list[Outlier]:
        """Pairs whose scores differ from those of the others, the worst first."""
        return find_outliers(self.pairs)

    def to_json(self) -> dict[str, Any]:
        """Return all attributes as values for :func:`json.dumps`: statistics first, then every pair."""
        return {
            "pairs_scored": len(self.pairs) - len(self.failed),
            "pairs_failed": len(self.failed),
            **({"verdicts": self.verdicts} if self.verdicts else {}),
            "outliers": [
                {"pair": self.pairs[found.index].title, "reasons": list(found.reasons)} for found in self.outliers
            ],
            "means": {key: _interval_json(interval) for key, interval in self.means.items()},
            "quantile_over_cases": {key: json_number(value) for key, value in self.case_quantiles.items()},
            "dice_mean_hardest_30_percent": json_number(self.dice_hardest),
            "tre_hardest_30_percent": json_number(self.tre_hardest),
            "labels": {
                str(label): {"name": self.names.get(label, "")}
                | {name: _interval_json(interval) for name, interval in intervals.items()}
                for label, intervals in self.labels.items()
            },
            "pairs": [pair.to_json() for pair in self.pairs],
        }


def summarise(
    pairs: Sequence[PairScores], generator: np.random.Generator, *, names: Mapping[int, str] | None = None
) -> Summary:
    """Compute means, intervals and quantiles over pairs.

    Parameters
    ----------
    pairs : sequence of PairScores
        Scores of the pairs. Failed pairs are listed, but not included in the statistics.
    generator : numpy.random.Generator
        Random number generator of the bootstrap.
    names : dict, optional
        Names of the labels.
    """
    means, quantiles = {}, {}
    for metric in METRICS:
        values = np.array([getattr(pair, metric.key) for pair in pairs], dtype=np.float64)
        if np.isnan(values).all():
            continue
        means[metric.key] = bootstrap_mean(values, generator)
        if metric.case_quantile is not None:
            quantiles[metric.key] = quantile_over_cases(values, metric.case_quantile)
    labels = sorted({label for pair in pairs for label in pair.dice})
    entries = {name: _by_label(pairs, name, labels) for name in LABEL_METRICS}
    return Summary(
        tuple(pairs),
        means,
        quantiles,
        mean_of_hardest_entries(entries["dice"], entries["dice_before"], higher_is_better=True),
        _tre_of_hardest(pairs),
        {
            label: {name: bootstrap_mean(entries[name][:, column], generator) for name in LABEL_METRICS}
            for column, label in enumerate(labels)
        },
        dict(names or {}),
    )


def _tre_of_hardest(pairs: Sequence[PairScores]) -> float:
    """Choose the hardest landmarks of each pair, as the challenge does, and return the mean over all of them."""
    values = [hardest_entries(pair.tre_landmarks, pair.tre_landmarks_before, higher_is_better=False) for pair in pairs]
    chosen = np.concatenate([*values, np.empty(0)])
    return float(chosen.mean()) if chosen.size else float("nan")


def _by_label(pairs: Sequence[PairScores], name: str, labels: Sequence[int]) -> FloatArray:
    """Return a metric of every pair and label, shape (P, L); NaN for missing ones."""
    rows = [[getattr(pair, name).get(label, float("nan")) for label in labels] for pair in pairs]
    return np.array(rows, dtype=np.float64).reshape(len(pairs), len(labels))


def _interval_json(interval: Interval) -> dict[str, Any]:
    return {
        "mean": json_number(interval.mean),
        "low": json_number(interval.low),
        "high": json_number(interval.high),
        "confidence": interval.confidence,
        "count": interval.count,
    }
