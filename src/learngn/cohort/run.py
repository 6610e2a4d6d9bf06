"""A cohort: what of it is missing is done, by this process or by workers, and remembered."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from learngn.cohort.feature_cache import FolderStore
from learngn.cohort.locks import exclusive_folder
from learngn.cohort.pair import PairWork, asked_for, identity
from learngn.cohort.pool import Failure, Pool, Serial
from learngn.cohort.records import Ledger, Record, check_same_request
from learngn.errors import DatasetError
from learngn.io import Pair, Subject, check_writable
from learngn.model import Model, write_model
from learngn.optimise import Iteration
from learngn.registration import Guidance, Request
from learngn.registration.resolve import check_model
from learngn.settings import Settings

_LOCK, _WORK, _LEFTOVERS = ".learngn-cohort.lock", ".learngn-cohort", ".learngn-*"


def _nothing(*_: object) -> None:
    """Listen to nothing."""


@dataclass(frozen=True)
class CohortEvents:
    """Functions called while a cohort runs, to show progress.

    Attributes
    ----------
    begins : callable
        Before a pair is registered in this process, with the pair and its settings.
    step : callable
        With every Gauss-Newton step of this process.
    done : callable
        With the record of every pair, those of an earlier run included.
    ends : callable
        At the end, with the number of feature images that were computed and kept for other pairs, and that of the pairs
        registered.
    """

    begins: Callable[[Pair, Settings], None] = _nothing
    step: Callable[[Iteration], None] = _nothing
    done: Callable[[Record], None] = _nothing
    ends: Callable[[int, int], None] = _nothing


def run_cohort(
    pairs: Sequence[Pair],
    directory: str | Path,
    request: Request | None = None,
    events: CohortEvents | None = None,
    *,
    model: Model | None = None,
    guidance: Guidance | None = None,
    pool: Pool | None = None,
    retries: int = 0,
    scratch: str | Path | None = None,
    device: str | None = None,
) -> list[Record]:
    """Register pairs and write ``disp_FFFF_MMMM.nii.gz`` and a line of ``results.jsonl`` for each.

    A pair whose displacement and record are there already is skipped; one that failed before is tried again. Whatever
    is killed, what was done stays done. Features of a subject are computed once for all of its pairs.

    Parameters
    ----------
    pairs : sequence of Pair
    directory : path
        Made unless it exists. Workers see it under the same path.
    request : Request, optional
        Features, preset and settings; by default those that suit each pair.
    events : CohortEvents, optional
    model : Model, optional
        A trained one, to register with.
    guidance : Guidance, optional
        Masks and key points to use.
    pool : Pool, optional
        Who registers; by default this process. See :func:`learngn.cohort.open_pool`.
    retries : int
        How often a pair that fails is tried again.
    scratch : path, optional
        Folder, seen by all workers, for the features while the cohort runs; by default `directory`.
    device : str, optional
        Where torch computes, ``"cuda"`` for example; by default the CPU.

    Returns
    -------
    list of Record
        In the order of the pairs. A pair that has failed has the key ``error`` and no scores.

    Raises
    ------
    SettingsError
        If the folder holds results that were asked for otherwise.
    ModelError
        If something is asked for otherwise than the model has learned it.
    DatasetError
        If two pairs have the same name.
    OutputError
        If the folder cannot be written, or another run is writing there.
    ClusterError
        If the scheduler of the workers is lost.
    """
    directory, events = Path(directory).resolve(), events or CohortEvents()
    pool, guidance, request = pool or Serial(), guidance or Guidance(), request or Request()
    if model is not None:
        check_model(request, model)
    _check_different(pairs)
    check_writable(directory)
    also = _also(model, guidance, device)
    with _workplace(directory, scratch) as place:
        ledger = Ledger(directory, place.left)
        done, missing = _divided(pairs, ledger.records, directory)
        for pair in done:
            check_same_request(ledger.records[pair.id], asked_for(request, also), directory)
        trained = place.portable(model) if pool.remote else model
        work = PairWork(directory, place.left, request, guidance, trained, also, device)
        if not pool.remote:
            work = replace(work, begins=events.begins, step=events.step)
        try:
            for pair in done:
                events.done(ledger.records[pair.id])
            for name, found in _results(work, missing, place.features, pool, retries):
                record = _failed(missing[name], found) if isinstance(found, Failure) else found
                ledger.add(record)
                events.done(record)
            events.ends(len(FolderStore(place.features)), len(missing))
        finally:
            ledger.close(pair.id for pair in pairs)
    return [ledger.records[pair.id] for pair in pairs]


def _results(
    work: PairWork,
    missing: Mapping[str, Pair],
    features: Path,
    pool: Pool,
    retries: int,
) -> Iterator[tuple[str, Any]]:
    """Records and failures of the pairs that are missing."""
    uses = Counter(subject.image for pair in missing.values() for subject in (pair.fixed, pair.moving))
    tasks = {}
    for name, pair in missing.items():
        shared = max(uses[pair.fixed.image], uses[pair.moving.image]) > 1
        tasks[name] = partial(work, _absolute(pair), features if shared else None)
    yield from pool.run(tasks, retries)


def _divided(
    pairs: Iterable[Pair], records: Mapping[str, Record], directory: Path
) -> tuple[list[Pair], dict[str, Pair]]:
    """Pairs that are done, and by name those that are not."""
    done, missing = [], {}
    for pair in pairs:
        record = records.get(pair.id)
        if record is not None and "error" not in record and (directory / pair.field_name).is_file():
            done.append(pair)
        else:
            missing[pair.id] = pair
    return done, missing


def _failed(pair: Pair, failure: Failure) -> Record:
    trace = {} if failure.trace is None else {"traceback": failure.trace}
    return {**identity(pair), "error": failure.error, **trace}


def _also(model: Model | None, guidance: Guidance, device: str | None) -> dict[str, Any]:
    """Return what decides a result beside the request, for JSON."""
    guided = guidance.as_dict()
    named = {"model": model.digest if model else None, "guidance": guided or None, "device": device}
    return {key: value for key, value in named.items() if value is not None}


def _check_different(pairs: Iterable[Pair]) -> None:
    """Raise :class:`DatasetError` if the results of two pairs would have one name."""
    for name, count in Counter(pair.id for pair in pairs).items():
        if count > 1:
            raise DatasetError(
                f"pair {name}", f"{count} pairs of this name", "names that differ", "number the subjects differently"
            )


def _absolute(pair: Pair) -> Pair:
    """The pair with paths that mean the same to a worker elsewhere."""

    def resolved(subject: Subject) -> Subject:
        return Subject(*(None if path is None else path.resolve() for path in vars(subject).values()))  # type: ignore[arg-type]

    return Pair(resolved(pair.fixed), resolved(pair.moving))


@dataclass(frozen=True)
class _Workplace:
    """Where a run keeps what nobody needs when it has ended."""

    left: Path
    features: Path
    model: Path

    def portable(self, model: Model | None) -> Path | None:
        """The model as a folder, for other processes."""
        if model is None:
            return None
        write_model(model, self.model)
        return self.model


@contextmanager
def _workplace(directory: Path, scratch: str | Path | None) -> Iterator[_Workplace]:
    """Hold the output folder; at the end nothing is left of the run there but its results."""
    with exclusive_folder(directory, _LOCK):
        hidden, features = directory / _WORK, directory / _WORK / "features"
        if scratch is not None:
            # The same folder after a kill: what is kept there is found again.
            digest = hashlib.sha256(str(directory).encode()).hexdigest()[:12]
            features = Path(scratch).resolve() / f"learngn-{digest}"
            check_writable(features)
        try:
            yield _Workplace(hidden / "left", features, hidden / "model")
            for path in directory.glob(_LEFTOVERS):  # of files that a killed process was writing
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
        finally:
            shutil.rmtree(features, ignore_errors=True)
            shutil.rmtree(hidden, ignore_errors=True)
