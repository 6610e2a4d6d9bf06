"""Ranking of methods as in Learn2Reg: by significantly better methods in each metric, and their geometric mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from learngn.errors import ShapeError
from learngn.evaluation.pair_scores import PairScores
from learngn.evaluation.statistics import hardest_entries
from learngn.geometry.grid import FloatArray

Test = Literal["rank-sum", "signed-rank"]

_LEVEL = 0.05
_LOWEST = 0.1
_WORST_HD95 = 10.0  # [voxel], of a label that is missing or was lost


@dataclass(frozen=True, eq=False)
class Ranking:
    """Ranking of methods.

    Attributes
    ----------
    methods : tuple of str
    metrics : tuple of str
        Metrics of the ranking.
    wins, losses : array of int, shape (N, K)
        Number of methods that each method is significantly better than, and number that are better than it, by metric.
    scores : array, shape (N, K)
        Scores by losses, from 0.1 for the most to 1 for the fewest; ties have their mean score.
    overall : array, shape (N,)
        Geometric mean of the scores over the metrics: the challenge's rank score.
    test : str
    """

    methods: tuple[str, ...]
    metrics: tuple[str, ...]
    wins: NDArray[np.int64]
    losses: NDArray[np.int64]
    scores: FloatArray
    overall: FloatArray
    test: Test

    @property
    def order(self) -> list[int]:
        """Methods from best to worst; ties in the order given."""
        return [int(index) for index in np.argsort(-self.overall, kind="stable")]

    def to_json(self) -> dict[str, Any]:
        """Return the ranking as values for :func:`json.dumps`, best method first."""
        return {
            "test": self.test,
            "methods": [
                {
                    "name": self.methods[index],
                    "rank_score": float(self.overall[index]),
                    "scores": dict(zip(self.metrics, self.scores[index].tolist(), strict=True)),
                    "wins": dict(zip(self.metrics, self.wins[index].tolist(), strict=True)),
                    "losses": dict(zip(self.metrics, self.losses[index].tolist(), strict=True)),
                }
                for index in self.order
            ],
        }


def rank(methods: Mapping[str, Sequence[PairScores]], *, test: Test = "rank-sum") -> Ranking:
    """Rank methods that have registered the same pairs.

    Parameters
    ----------
    methods : dict
        Scores of the same pairs, in the same order, by name; at least two methods.
    test : {"rank-sum", "signed-rank"}
        The challenge's notebooks use Wilcoxon's rank-sum test; its description says the signed-rank test, which is
        paired.

    Returns
    -------
    Ranking
        Ranking over the pairs that no method has failed in, by those of Dice, Dice30, HD95, TRE, TRE30 and SDlogJ that
        are known. Every pair and label, and every landmark, is one entry. As in the challenge, a missing Dice counts as
        0, a missing or infinite HD95 as 10 voxels.

    Raises
    ------
    ShapeError
        If there is only one method, the methods have scored different pairs, or every pair has failed in some method.

    References
    ----------
    github.com/MDL-UzL/L2R, ``ranking/ranking_utils.py`` and the notebooks beside it.
    """
    names = {tuple((pair.fixed, pair.moving) for pair in pairs) for pairs in methods.values()}
    if len(methods) < 2 or len(names) != 1:
        raise ShapeError(
            "ranking", f"{len(methods)} methods with {len(names)} lists of pairs", "two methods on the same pairs",
            "score every method on the same data set",
        )  # fmt: skip
    metrics: dict[str, tuple[FloatArray, bool]] = {}
    scored = [all(pair.error is None for pair in same) for same in zip(*methods.values(), strict=True)]
    lists = [[pair for pair, fine in zip(pairs, scored, strict=True) if fine] for pairs in methods.values()]
    if not any(scored):
        raise ShapeError("ranking", "no pair that all methods have registered", "one at least", "register the pairs")
    labels = sorted({label for pairs in lists for pair in pairs for label in pair.dice})
    if labels:
        dice, hd95, before = (
            np.array(
                [[[getattr(pair, name).get(label, np.nan) for label in labels] for pair in pairs] for pairs in lists]
            )
            for name in ("dice", "hd95", "dice_before")
        )
        dice, start = np.nan_to_num(dice, nan=0.0), np.nan_to_num(before[0], nan=0.0)
        metrics["dice"] = dice.reshape(len(lists), -1), True
        metrics["dice30"] = np.array([hardest_entries(values, start, higher_is_better=True) for values in dice]), True
        hd95 = np.where(np.isfinite(hd95), hd95, _WORST_HD95)
        metrics["hd95"] = hd95.reshape(len(lists), -1), False
    if any(pair.tre_landmarks for pairs in lists for pair in pairs):
        errors = [np.concatenate([pair.tre_landmarks for pair in pairs]) for pairs in lists]
        hard = [
            np.concatenate(
                [
                    hardest_entries(pair.tre_landmarks, first.tre_landmarks_before, higher_is_better=False)
                    for pair, first in zip(pairs, lists[0], strict=True)
                ]
            )
            for pairs in lists
        ]
        metrics["tre"], metrics["tre30"] = (np.array(errors), False), (np.array(hard), False)
    metrics["sdlogj"] = np.array([[pair.sdlogj for pair in pairs] for pairs in lists]), False
    counted = [count(values, higher_is_better=better, test=test) for values, better in metrics.values()]
    wins, losses = (np.stack(part, axis=1) for part in zip(*counted, strict=True))
    scores = np.stack([score_of_losses(column) for column in losses.T], axis=1)
    overall = np.exp(np.log(scores).mean(axis=1))
    return Ranking(tuple(methods), tuple(metrics), wins, losses, scores, overall, test)


def count(
    values: ArrayLike, *, higher_is_better: bool, test: Test = "rank-sum"
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the methods that every method is significantly better than (p < 0.05), and those that are better than it.

    Parameters
    ----------
    values : array, shape (N, E)
        Values of the methods, one row each, for the same entries.
    higher_is_better : bool
    test : {"rank-sum", "signed-rank"}

    Returns
    -------
    wins, losses : array, shape (N,)
    """
    from scipy.stats import (  # imported here: it takes half a second, and registration has no need of it
        ranksums,
        wilcoxon,
    )

    data = np.asarray(values, dtype=np.float64) * (1 if higher_is_better else -1)
    better = np.zeros((len(data), len(data)), dtype=np.int64)
    for i, j in np.argwhere(~np.eye(len(data), dtype=bool)):
        if test == "rank-sum":
            statistic, p_value = ranksums(data[i], data[j])
            better[i, j] = statistic > 0 and p_value < _LEVEL
        else:
            difference = data[i] - data[j]
            if difference.any():
                one_sided = wilcoxon(difference, alternative="greater").pvalue
                better[i, j] = one_sided < 0.5 and wilcoxon(difference).pvalue < _LEVEL
    return better.sum(axis=1), better.sum(axis=0)


def score_of_losses(losses: ArrayLike) -> FloatArray:
    """Convert losses to scores from 0.1 (most) to 1 (fewest), evenly by rank; ties have their mean; shape (N,)."""
    from scipy.stats import rankdata

    ranks = rankdata(-np.asarray(losses), method="average")
    return np.asarray(_LOWEST + (1 - _LOWEST) * (ranks - 1) / (len(ranks) - 1))
