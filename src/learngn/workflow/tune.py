"""Tuning of settings on the training subjects of a data set."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from learngn.errors import DatasetError
from learngn.evaluation.quick import quick_scores
from learngn.geometry.transform import Transform
from learngn.io import Dataset, Pair
from learngn.registration import Prepared, Request, prepare, read_pair, resolve
from learngn.registration.pair import RegistrationPair
from learngn.settings import Settings

_GAIN = 5e-4  # least gain in the objective; smaller changes are noise
_GAIN_OF_A_DOUBLING = 3e-3  # additional gain required for twice the work


@dataclass(frozen=True)
class Trial:
    """Settings and their results on the pairs.

    Attributes
    ----------
    settings : Settings
    objective : float
        Mean Dice, or the mean reduction of TRE as a fraction of that before, minus a penalty for folding.
    folds : float
        Mean percentage of folded voxels [%].
    seconds : float
        Median time of the optimisation of a pair [s].
    """

    settings: Settings
    objective: float
    folds: float
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return values for JSON."""
        return asdict(self)


def tune(
    dataset: Dataset,
    start: Request,
    *,
    pairs: int = 8,
    rounds: int = 3,
    most_folds: float = 0.1,
    seed: int = 0,
    callback: Callable[[Trial, bool], None] | None = None,
) -> list[Trial]:
    """Search for λ, levels and iterations on pairs of training subjects, by changing one at a time.

    Starting at `start`, each round tries in this order: both λ divided or multiplied by a factor, then only the first,
    then only the last (the factor is 4 in the first round, and in each further one the root of the previous one); one
    finer level more, or the finest level less; twice or half the iterations. A change is kept if it gains more than
    noise, and one that increases the work if it gains correspondingly more. Affine stage and features are computed once
    per pair.

    Parameters
    ----------
    dataset : Dataset
        Data set, whose validation pairs are not used; or a table of pairs.
    start : Request
        Initial settings; those left out are chosen for the first pair.
    pairs : int
        Largest number of pairs, drawn from all pairs of training subjects, or from those of a table.
    rounds : int
        Largest number of rounds.
    most_folds : float
        Percentage of folded voxels above which the excess is subtracted from the objective [%].
    seed : int
        Random seed for the choice of pairs.
    callback : callable, optional
        Called with every trial, and whether it is the best so far.

    Returns
    -------
    list of Trial
        All trials, `start` first; :func:`best` returns the best one.

    Raises
    ------
    DatasetError
        If there are fewer than two training subjects, or they have neither labels nor landmarks.
    LearnGNError
        If a file cannot be read.
    """
    chosen = [
        read_pair(files, label_maps=start.label_maps())
        for files in training_pairs(dataset, pairs, np.random.default_rng(seed))
    ]
    settings = resolve(start, chosen[0]).settings
    bench = _Bench(chosen, settings, most_folds)
    trials: list[Trial] = []

    def run(settings: Settings) -> Trial:
        trial = bench.run(settings)
        trials.append(trial)
        if callback is not None:
            callback(trial, trial is best(trials))
        return trial

    current = run(settings)
    factor = 4.0
    for _ in range(rounds):
        before = current
        for moves in _moves(factor):
            for move in moves:
                moved = move(current.settings)
                if moved is None:
                    continue
                trial = run(moved)
                if trial.objective > current.objective + _price(current.settings, moved):
                    current = trial
                    break
        factor = math.sqrt(factor)
        if current is before and factor < 1.3:
            break
    return trials


def best(trials: Sequence[Trial]) -> Trial:
    """Return the best trial: a later one replaces an earlier one if its gain exceeds that required for its work."""
    chosen = trials[0]
    for trial in trials[1:]:
        if trial.objective > chosen.objective + _price(chosen.settings, trial.settings):
            chosen = trial
    return chosen


def training_pairs(dataset: Dataset, most: int, rng: np.random.Generator) -> list[Pair]:
    """Return ordered pairs of training subjects, or pairs of a table, drawn without replacement.

    Raises
    ------
    DatasetError
        If there are fewer than two subjects with labels or landmarks, or no such pair in a table.
    """
    known = [s for s in dataset.training if s.labels is not None or s.landmarks is not None]
    if not dataset.training and dataset.training_pairs:  # a table of pairs
        every = [pair for pair in dataset.training_pairs if _can_be_scored(pair)]
        if not every:
            raise DatasetError(
                f"table {dataset.name}", "no pair with labels or landmarks of both scans", "one at least",
                "fill in fixed_labels and moving_labels",
            )  # fmt: skip
    elif len(known) < 2:
        raise DatasetError(
            f"data set {dataset.name}",
            f"{len(known)} training subjects with labels or landmarks",
            "two at least",
            "list subjects under training that no pair of registration_val shows, with files in labelsTr",
        )
    else:
        every = [Pair(a, b) for a in known for b in known if a is not b]
    order = rng.permutation(len(every))[:most]
    return [every[i] for i in sorted(order)]


def _can_be_scored(pair: Pair) -> bool:
    fixed, moving = pair.fixed, pair.moving
    return None not in (fixed.labels, moving.labels) or None not in (fixed.landmarks, moving.landmarks)


_Move = Callable[[Settings], Settings | None]


def _moves(factor: float) -> Iterator[tuple[_Move, ...]]:
    """Yield groups of alternative changes; the first one of a group that gains is kept."""
    yield _scaled(1 / factor, 1 / factor), _scaled(factor, factor)
    yield _scaled(1 / factor, 1), _scaled(factor, 1)
    yield _scaled(1, 1 / factor), _scaled(1, factor)
    yield _finer, _coarser
    yield _worked(2.0), _worked(0.5)


def _scaled(first: float, last: float) -> _Move:
    def move(s: Settings) -> Settings | None:
        lam = s.lam[0] * first, s.lam[1] * last
        return replace(s, lam=lam) if lam[0] >= lam[1] else None

    return move


def _finer(s: Settings) -> Settings | None:
    if s.strides[-1] / 2 < 1:
        return None
    lam = s.lam[1] * (s.lam[1] / s.lam[0]) ** (1 / max(1, len(s.strides) - 1))
    return replace(
        s, strides=(*s.strides, s.strides[-1] / 2), iterations=(*s.iterations, s.iterations[-1]), lam=(s.lam[0], lam)
    )


def _coarser(s: Settings) -> Settings | None:
    if len(s.strides) < 3:
        return None
    levels = s.levels()
    return replace(s, strides=s.strides[:-1], iterations=s.iterations[:-1], lam=(s.lam[0], levels[-2].lam))


def _worked(factor: float) -> _Move:
    def move(s: Settings) -> Settings | None:
        iterations = tuple(max(1, round(n * factor)) for n in s.iterations)
        return replace(s, iterations=iterations) if iterations != s.iterations else None

    return move


def _price(old: Settings, new: Settings) -> float:
    """Return the gain required for a change: larger if it takes more work, negative if it takes much less."""
    doublings = math.log2(_work(new) / _work(old))
    return _GAIN + _GAIN_OF_A_DOUBLING * doublings if doublings > 0.5 else _GAIN if doublings > -0.5 else -_GAIN


def _work(s: Settings) -> float:
    """Return voxels times iterations, up to a factor."""
    return float(sum(n / stride**2.5 for n, stride in zip(s.iterations, s.strides, strict=True)))


class _Bench:
    """Pairs that are prepared once, and registered with any settings."""

    def __init__(self, pairs: Sequence[RegistrationPair], start: Settings, most_folds: float) -> None:
        self.most_folds = most_folds
        # Features at full resolution can be used for all levels.
        finest = replace(start, strides=(start.strides[0] * 2, 1.0), iterations=(1, 1), quality=False)
        request = Request(settings=finest)
        self.prepared: list[Prepared] = [prepare(pair, resolve(request, pair)) for pair in pairs]

    def run(self, settings: Settings) -> Trial:
        scores, seconds = [], []
        for prepared in self.prepared:
            result = prepared.register(settings)
            scores.append(_scored(result.transform, prepared.pair))
            seconds.append(result.seconds["optimise"])
        objective, folds = np.mean(scores, axis=0)
        excess = max(0.0, float(folds) - self.most_folds) / 100
        return Trial(settings, float(objective) - excess, float(folds), float(np.median(seconds)))


def _scored(transform: Transform, pair: RegistrationPair) -> tuple[float, float]:
    """Return Dice, or else the relative reduction of the landmark distance, and the folding [%]."""
    points = pair.landmarks
    scores = quick_scores(transform, pair.fixed.grid, pair.labels, points)
    if math.isfinite(scores.dice) or points is None:
        return scores.dice, scores.folds
    before = float(np.linalg.norm(points[0] - points[1], axis=1).mean())
    return float(1 - scores.tre / max(before, 1e-6)), scores.folds
