"""Settings that suit a data set, found on its training subjects."""

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

_GAIN = 5e-4  # of the objective, below which a change is noise
_GAIN_OF_A_DOUBLING = 3e-3  # what twice the work must bring


@dataclass(frozen=True)
class Trial:
    """Settings and what they reach on the pairs.

    Attributes
    ----------
    settings : Settings
    objective : float
        Mean Dice, or minus the mean TRE as a fraction of that before, less a penalty for folds.
    folds : float
        Mean [%].
    seconds : float
        Median of a pair's optimisation.
    """

    settings: Settings
    objective: float
    folds: float
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """For JSON."""
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
    """Search λ, levels and iterations on pairs of training subjects, one after the other.

    From `start` each round tries, in this order: both λ times a factor, the first alone, the last alone (the factor is
    4 in the first round and its root in every further one); a finer or one less fine level; half or twice the
    iterations. A change is kept if it is better by more than noise, one that doubles the work only if it is worth it.
    Affine stage and features are computed once a pair.

    Parameters
    ----------
    dataset : Dataset
        Its validation pairs are not looked at.
    start : Request
        What the search starts from; settings that are left out are those that suit the first pair.
    pairs : int
        At most so many, drawn from all pairs of training subjects.
    rounds : int
    most_folds : float
        Folds above it cost as much Dice [%].
    seed : int
        Of the draw.
    callback : callable, optional
        Called with every trial and whether it is the best so far.

    Returns
    -------
    list of Trial
        All, the first one `start`; :func:`best` says which is the best.

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
    """The trial with the highest objective, unless another comes within what its price is worth."""
    found = trials[0]
    for trial in trials[1:]:
        if trial.objective > found.objective + _price(found.settings, trial.settings):
            found = trial
    return found


def training_pairs(dataset: Dataset, most: int, rng: np.random.Generator) -> list[Pair]:
    """Ordered pairs of training subjects, drawn without repetition.

    Raises
    ------
    DatasetError
        If there are fewer than two subjects, or nothing to score them with.
    """
    known = [s for s in dataset.training if s.labels is not None or s.landmarks is not None]
    if len(known) < 2:
        raise DatasetError(
            f"data set {dataset.name}",
            f"{len(known)} training subjects with labels or landmarks",
            "two at least",
            "list subjects under training that no pair of registration_val shows, with files in labelsTr",
        )
    every = [Pair(a, b) for a in known for b in known if a is not b]
    order = rng.permutation(len(every))[:most]
    return [every[i] for i in sorted(order)]


_Move = Callable[[Settings], Settings | None]


def _moves(factor: float) -> Iterator[tuple[_Move, ...]]:
    """Groups of alternatives: the first that gains is kept."""
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
    """What a change must gain: more the more work it is, nothing but noise if it is less."""
    doublings = math.log2(_work(new) / _work(old))
    return _GAIN + _GAIN_OF_A_DOUBLING * doublings if doublings > 0.5 else _GAIN if doublings > -0.5 else -_GAIN


def _work(s: Settings) -> float:
    """Voxels times iterations, up to a factor."""
    return float(sum(n / stride**2.5 for n, stride in zip(s.iterations, s.strides, strict=True)))


class _Bench:
    """The pairs, prepared once."""

    def __init__(self, pairs: Sequence[RegistrationPair], start: Settings, most_folds: float) -> None:
        self.most_folds = most_folds
        # Features at full resolution serve every level that is tried.
        finest = replace(start, strides=(start.strides[0] * 2, 1.0), iterations=(1, 1))
        request = Request(settings=finest)
        self.prepared: list[Prepared] = [prepare(pair, resolve(request, pair)) for pair in pairs]

    def run(self, settings: Settings) -> Trial:
        found, seconds = [], []
        for prepared in self.prepared:
            result = prepared.register(settings)
            found.append(_scored(result.transform, prepared.pair))
            seconds.append(result.seconds["optimise"])
        objective, folds = np.mean(found, axis=0)
        excess = max(0.0, float(folds) - self.most_folds) / 100
        return Trial(settings, float(objective) - excess, float(folds), float(np.median(seconds)))


def _scored(transform: Transform, pair: RegistrationPair) -> tuple[float, float]:
    """Dice, or by how much the landmarks have come closer as a fraction; and folds."""
    points = pair.landmarks
    scores = quick_scores(transform, pair.fixed.grid, pair.labels, points)
    if math.isfinite(scores.dice) or points is None:
        return scores.dice, scores.folds
    before = float(np.linalg.norm(points[0] - points[1], axis=1).mean())
    return float(1 - scores.tre / max(before, 1e-6)), scores.folds
