"""The paper's comparison: train the learned methods, register every pair with every method, write table and figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from learngn.cohort import run_cohort
from learngn.errors import DatasetError
from learngn.evaluation import bootstrap_mean, compare
from learngn.evaluation.pair_scores import json_number
from learngn.io import Dataset, Pair, check_writable, write_json, write_text
from learngn.learning import TrainingEvents, train
from learngn.model import Model
from learngn.paper.figure import draw_curves
from learngn.paper.methods import Method, budgets, paper_methods, truncated
from learngn.registration import Request
from learngn.settings import Settings

_REFERENCE = "gauss-newton"
_SEED = 0  # random seed of the bootstrap

Records = Sequence[Any]


def _ignore(*_: object) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class PaperEvents:
    """Functions called during the comparison.

    Attributes
    ----------
    begins : callable
        Called at the beginning of each part with its description.
    training : TrainingEvents
        Functions called during the trainings.
    """

    begins: Callable[[str], None] = _ignore
    training: TrainingEvents = field(default_factory=TrainingEvents)


def run_paper(
    dataset: Dataset,
    directory: str | Path,
    *,
    features: str = "distance",
    steps: int | None = None,
    seed: int = 0,
    limit: int | None = None,
    curve_pairs: int = 10,
    events: PaperEvents | None = None,
) -> Path:
    """Compare Adam, Gauss-Newton, VoxelMorph and learned Gauss-Newton on the validation pairs of a data set.

    The results of an interrupted call are kept: trainings and registrations resume where they stopped.

    Parameters
    ----------
    dataset : Dataset
    directory : path
        Folder for ``table.md``, ``table.json``, ``curves.png``, and a folder for every method.
    features : str
    steps : int, optional
        Number of steps of every training.
    seed : int
        Random seed of the trainings.
    limit : int, optional
        Use only this number of pairs, the first ones.
    curve_pairs : int
        Number of pairs in the figure.
    events : PaperEvents, optional

    Returns
    -------
    Path
        File of the table.

    Raises
    ------
    LearnGNError
        If a training or a registration fails.
    """
    directory, events = Path(directory), events or PaperEvents()
    check_writable(directory)
    pairs = dataset.validation[:limit]
    if not pairs:
        raise DatasetError(f"data set {dataset.name}", "no registration_val", "pairs to compare on", "list some")
    records: dict[str, Records] = {}
    curves: dict[str, tuple[list[int], list[float]]] = {}
    methods = paper_methods(features, dataset, steps, seed)
    for method in methods:
        settings, model = _prepare(method, dataset, directory, events)
        events.begins(f"registering: {method.title}")
        records[method.key] = _register(pairs, directory / method.key, settings, model)
        if method.curve:
            curves[method.title] = _curve(
                pairs[:curve_pairs], records[method.key], directory / "curves" / method.key, settings, model
            )
    events.begins("writing")
    table = {method.key: _row(method, records[method.key], records[_REFERENCE]) for method in methods}
    as_json = {
        key: {name: v if isinstance(v, str) else json_number(v) for name, v in row.items()}
        for key, row in table.items()
    }
    write_json({"dataset": dataset.name, "features": features, "methods": as_json}, directory / "table.json")
    write_text(_markdown(dataset, features, len(pairs), list(table.values())), directory / "table.md")
    before = float(np.mean([record["dice_mean_before"] for record in records[_REFERENCE][:curve_pairs]]))
    draw_curves(curves, before, directory / "curves.png")
    return directory / "table.md"


def _prepare(method: Method, dataset: Dataset, directory: Path, events: PaperEvents) -> tuple[Settings, Model | None]:
    """Return the settings of a method, and its model if it is a trained one; train it if that has not been done."""
    if method.settings is not None:
        return method.settings, None
    if method.training is None:
        raise ValueError(f"method {method.key} has neither settings nor a training")
    events.begins(f"training: {method.title}")
    trained = train(dataset, directory / "models" / method.key, method.training, events=events.training)
    return trained.model.settings, trained.model


def _register(pairs: Sequence[Pair], directory: Path, settings: Settings, model: Model | None) -> Records:
    records = run_cohort(pairs, directory, Request(settings=settings), model=model)
    for record in records:
        if "error" in record:
            raise DatasetError(
                f"pair {record['pair']}", record["error"], "a pair that registers", "correct or remove it"
            )
    return records


def _curve(
    pairs: Sequence[Pair], whole: Records, directory: Path, settings: Settings, model: Model | None
) -> tuple[list[int], list[float]]:
    """Return numbers of iterations and the mean Dice after each, up to the total of the schedule."""
    counts, dice = [], []
    for count in budgets(settings):
        records = whole[: len(pairs)]
        if count < sum(settings.iterations):
            records = _register(pairs, directory / f"{count:03d}", truncated(settings, count), model)
        counts.append(count)
        dice.append(float(np.mean([record["dice_mean"] for record in records])))
    return counts, dice


def _row(method: Method, records: Records, reference: Records) -> dict[str, Any]:
    def column(name: str, of: Records = records) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.asarray([np.nan if r[name] is None else r[name] for r in of], dtype=np.float64)

    interval = bootstrap_mean(column("dice_mean"), np.random.default_rng(_SEED))
    against = compare(column("dice_mean", reference), column("dice_mean"))
    optimise = [record["seconds"]["features"] + record["seconds"]["optimise"] for record in records]
    return {
        "title": method.title,
        "dice_before": float(column("dice_mean_before").mean()),
        "dice": interval.mean,
        "dice_low": interval.low,
        "dice_high": interval.high,
        "hd95": float(np.nanmean(column("hd95_mean"))),
        "folds_percent": float(column("folds_percent").mean()),
        "std_log_jacobian": float(np.nanmean(column("std_log_jacobian"))),
        "seconds": float(np.median(optimise)),
        "difference": against.mean_difference,
        "p_value": against.p_value,
    }


def _markdown(dataset: Dataset, features: str, count: int, rows: Sequence[dict[str, Any]]) -> str:
    head = (
        "method", "Dice (95 %)", "against Gauss-Newton (p)", "HD95 [voxel]", "folds [%]", "std log J", "seconds a pair"
    )  # fmt: skip
    lines = [
        f"# {dataset.name}, `{features}`, {count} pairs",
        "",
        f"Dice before registration {rows[0]['dice_before']:.3f}. Seconds: median of features and optimisation.",
        "",
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
    ]
    for row in rows:
        against = "" if row["difference"] == 0 else f"{100 * row['difference']:+.1f} ({row['p_value']:.2g})"
        lines.append(
            f"| {row['title']} | {row['dice']:.3f} ({row['dice_low']:.3f} to {row['dice_high']:.3f}) | {against} "
            f"| {row['hd95']:.2f} | {row['folds_percent']:.3f} | {row['std_log_jacobian']:.2f} | {row['seconds']:.2f} |"
        )
    return "\n".join([*lines, "", "![Dice against iterations](curves.png)", ""])
