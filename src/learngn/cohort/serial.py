"""Pair after pair in this process: register, score, write, remember."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from learngn._version import __version__
from learngn.cohort.records import Record, check_same_settings, read_records, write_records
from learngn.errors import LearnGNError
from learngn.evaluation import read_truth
from learngn.grid import Grid
from learngn.inputs import Guidance
from learngn.io import Pair, check_writable, read_grid, write_learn2reg
from learngn.model import Model
from learngn.optimise import Iteration
from learngn.registration import register
from learngn.results import outcome
from learngn.settings import Settings


def _nothing(*_: object) -> None:
    """Listen to nothing."""


@dataclass(frozen=True)
class CohortEvents:
    """Functions called while a cohort runs, to show progress.

    Attributes
    ----------
    begins : callable
        Before a pair is registered, with the pair and its settings.
    step : callable
        With every Gauss-Newton step.
    done : callable
        With the record of every pair, those of an earlier run included.
    """

    begins: Callable[[Pair, Settings], None] = _nothing
    step: Callable[[Iteration], None] = _nothing
    done: Callable[[Record], None] = _nothing


def run_cohort(
    pairs: Sequence[Pair],
    directory: str | Path,
    settings: Callable[[Grid], Settings],
    events: CohortEvents | None = None,
    *,
    model: Model | None = None,
    guidance: Guidance | None = None,
) -> list[Record]:
    """Register pairs and write ``disp_FFFF_MMMM.nii.gz`` and a line of ``results.jsonl`` for each.

    A pair whose displacement and record are there already is skipped; one that failed before is tried again.

    Parameters
    ----------
    pairs : sequence of Pair
    directory : path
        Made unless it exists.
    settings : callable
        Settings for a fixed grid.
    events : CohortEvents, optional
    model : Model, optional
        A trained one, to register with.
    guidance : Guidance, optional
        Masks and key points to use.

    Returns
    -------
    list of Record
        In the order of the pairs. A pair that a user's error has stopped has the key ``error`` and no scores.

    Raises
    ------
    SettingsError
        If the folder holds results of other settings.
    OutputError
        If it cannot be written.
    """
    directory = Path(directory)
    events, guidance = events or CohortEvents(), guidance or Guidance()
    check_writable(directory)
    records = read_records(directory)
    for pair in pairs:
        if _is_done(pair, records, directory):
            wanted = _description(settings(read_grid(pair.fixed.image)), model, guidance)
            check_same_settings(records[pair.id], wanted, directory)
    for pair in pairs:
        if not _is_done(pair, records, directory):
            records[pair.id] = _run_pair(pair, directory, settings, events, model, guidance)
            write_records(records, directory)
        events.done(records[pair.id])
    return [records[pair.id] for pair in pairs]


def _is_done(pair: Pair, records: dict[str, Record], directory: Path) -> bool:
    record = records.get(pair.id)
    return record is not None and "error" not in record and (directory / pair.field_name).is_file()


def _run_pair(
    pair: Pair,
    directory: Path,
    settings: Callable[[Grid], Settings],
    events: CohortEvents,
    model: Model | None,
    guidance: Guidance,
) -> Record:
    names = pair.fixed.image.name, pair.moving.image.name
    record: dict[str, Any] = {"pair": pair.id, "fixed": names[0], "moving": names[1]}
    try:
        truth = read_truth(pair)
    except LearnGNError as error:
        return record | {"error": str(error)}
    chosen = settings(truth.fixed)  # wrong settings are no fault of the pair: they end the run
    events.begins(pair, chosen)
    try:
        result = register(
            pair.fixed.image,
            pair.moving.image,
            settings=chosen,
            model=model,
            callback=events.step,
            **guidance.of(pair),
        )
        start = perf_counter()
        write_learn2reg(result.transform, directory / pair.field_name, truth.fixed, truth.moving)
        seconds = result.seconds | {"write": perf_counter() - start}
        scores = truth.score(result.transform, names).to_json()
    except LearnGNError as error:
        return record | {"error": str(error)}
    return {
        **record,
        **scores,
        **outcome(result),
        "seconds": seconds | {"total": sum(seconds.values())},
        "settings": _description(result.settings, model, guidance),
        "version": __version__,
    }


def _description(settings: Settings, model: Model | None, guidance: Guidance) -> dict[str, Any]:
    """All that decides a result, for JSON."""
    guided = guidance.as_dict()
    return (
        settings.as_dict()
        | ({} if model is None else {"model": model.digest})
        | ({"guidance": guided} if guided else {})
    )
