"""Registration of a cohort: pairs without a result are registered, by this process or by workers."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learngn.cohort.feature_cache import FolderStore
from learngn.cohort.locks import exclusive_folder
from learngn.cohort.pair import PairWork, asked_of, identity
from learngn.cohort.pool import Failure, Pool, Serial
from learngn.cohort.records import Ledger, Record, check_same_request, check_same_scans
from learngn.cohort.saving import Saving
from learngn.cohort.wider import is_doubtful
from learngn.errors import DatasetError, OutputError
from learngn.io import Pair, Subject, check_writable, split_format
from learngn.optimise import Iteration
from learngn.registration import Guidance, Request
from learngn.registration.resolve import check_model
from learngn.settings import Settings

if TYPE_CHECKING:
    from learngn.model import Model

_LOG = logging.getLogger(__name__)
_LOCK, _WORK, _TEMPORARY = ".learngn-cohort.lock", ".learngn-cohort", ".learngn-*"


def _ignore(*_: object) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class CohortEvents:
    """Functions called while a cohort runs, to show progress.

    Attributes
    ----------
    begins : callable
        Called before a pair is registered in this process, with the pair and its settings.
    step : callable
        Called with every Gauss-Newton step in this process.
    done : callable
        Called with the record of every pair, including those of an earlier run.
    ends : callable
        Called at the end, with the number of feature images that were computed and cached, and the number of pairs that
        were registered.
    """

    begins: Callable[[Pair, Settings], None] = _ignore
    step: Callable[[Iteration], None] = _ignore
    done: Callable[[Record], None] = _ignore
    ends: Callable[[int, int], None] = _ignore


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
    retry: bool = False,
    scratch: str | Path | None = None,
    device: str | None = None,
    saving: Saving | None = None,
) -> list[Record]:
    """Register pairs and write ``disp_FFFF_MMMM.nii.gz`` and a line of ``results.jsonl`` for each.

    A pair that already has a displacement and a record is skipped; a pair that failed before is tried again. If the run
    or its workers are killed, finished pairs are kept. Features of a subject are computed once for all of its pairs.

    Parameters
    ----------
    pairs : sequence of Pair
    directory : path
        Output folder, made unless it exists. Workers must see it under the same path.
    request : Request, optional
        Features, preset and settings; by default the preset that is recognised for each pair.
    events : CohortEvents, optional
    model : Model, optional
        Trained model.
    guidance : Guidance, optional
        Masks and key points that guide the registration.
    pool : Pool, optional
        Pool of workers; by default this process. See :func:`learngn.cohort.open_pool`.
    retries : int
        Number of times that a failed pair is tried again.
    retry : bool
        Register pairs whose verdict is ``"check"`` or ``"failed"`` again, with a wider search for the position, then
        with one for large displacements and a larger λ, and keep the result with the least doubt. What was tried is
        recorded as ``searches``. Pairs of an earlier run without it are registered again, too. Values that the request
        names are not changed.
    scratch : path, optional
        Folder for the feature cache during the run, visible to all workers; by default `directory`.
    device : str, optional
        Device of the registrations, see :func:`learngn.register`; by default that of the request.
    saving : Saving, optional
        Further files of each pair, in ``pairs/FFFF_MMMM``; by default none. What pairs of an earlier run lack is made
        from their displacements.

    Returns
    -------
    list of Record
        Records in the order of the pairs. The record of a failed pair has the key ``error`` and no scores.

    Raises
    ------
    SettingsError
        If the folder holds results of another request.
    ModelError
        If the request contradicts the model.
    DatasetError
        If two pairs have the same name, or a result of this name is of other scans.
    OutputError
        If the folder cannot be written, or another run is writing there; at the end, if files could not be saved for
        pairs of an earlier run.
    ClusterError
        If the connection to the scheduler is lost.
    """
    directory, events = Path(directory).resolve(), events or CohortEvents()
    pool, guidance, request = pool or Serial(), guidance or Guidance(), request or Request()
    request = request if device is None else replace(request, device=device)
    if model is not None:
        check_model(request, model)
    _check_different(pairs)
    saving = saving or Saving()
    saving.check(directory, pairs)
    check_writable(directory)
    context = _context(model, guidance)
    with _work_folders(directory, scratch) as folders:
        ledger = Ledger(directory, folders.records)
        done, missing = _done_and_missing(pairs, ledger.records, directory)
        _LOG.info("%d pairs, %d of them registered before", len(pairs), len(done))
        for pair in done:
            check_same_scans(ledger.records[pair.id], identity(pair), directory)
            check_same_request(ledger.records[pair.id], asked_of(pair, request, context), directory)
        known = {pair.id: ledger.records[pair.id] for pair in done}
        again = {pair.id for pair in done if retry and is_doubtful(known[pair.id])}
        missing |= {pair.id: pair for pair in done if pair.id in again or saving.missing(directory, pair)}
        done = [pair for pair in done if pair.id not in missing]
        trained = folders.portable(model) if pool.remote else model
        work = PairWork(directory, folders.records, request, guidance, trained, context, retry=retry, saving=saving)
        if not pool.remote:
            work = replace(work, begins=events.begins, step=events.step)
        try:
            for pair in done:
                events.done(ledger.records[pair.id])
            unsaved = {}
            for name, result in _results(work, missing, known, folders.features, pool, retries):
                if isinstance(result, Failure) and name in known and name not in again:
                    unsaved[name], record = result.error, known[name]  # what has been registered remains
                else:
                    record = _failed(missing[name], result) if isinstance(result, Failure) else result
                ledger.add(record)
                _log_result(record)
                events.done(record)
            events.ends(len(FolderStore(folders.features)), len(missing.keys() - (known.keys() - again)))
        finally:
            ledger.close(pair.id for pair in pairs)
    _check_saved(unsaved)
    return [ledger.records[pair.id] for pair in pairs]


def _log_result(record: Record) -> None:
    """Log the result of a pair."""
    if "error" in record:
        _LOG.info("pair %s: error: %s", record["pair"], record["error"])
        return
    dice, verdict = record.get("dice_mean"), record.get("verdict")
    _LOG.info(
        "pair %s: %.1f s%s%s",
        record["pair"],
        record["seconds"]["total"],
        f", Dice {dice:.3f}" if isinstance(dice, float) else "",
        f", verdict {verdict}" if verdict else "",
    )


def _results(
    work: PairWork,
    missing: Mapping[str, Pair],
    known: Mapping[str, Record],
    features: Path,
    pool: Pool,
    retries: int,
) -> Iterator[tuple[str, Any]]:
    """Register or complete the missing pairs, and yield their records or failures."""
    uses = Counter(subject.image for pair in missing.values() for subject in (pair.fixed, pair.moving))
    tasks = {}
    for name, pair in missing.items():
        shared = max(uses[pair.fixed.image], uses[pair.moving.image]) > 1
        tasks[name] = partial(work, _absolute(pair), features if shared else None, known.get(name))
    yield from pool.run(tasks, retries)


def _done_and_missing(
    pairs: Iterable[Pair], records: Mapping[str, Record], directory: Path
) -> tuple[list[Pair], dict[str, Pair]]:
    """Return the pairs that are done, and the missing pairs by name."""
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


def _context(model: Model | None, guidance: Guidance) -> dict[str, Any]:
    """Return the inputs beside the request that decide a result, for the records."""
    guided = guidance.as_dict()
    named = {"model": model.digest if model else None, "guidance": guided or None}
    return {key: value for key, value in named.items() if value is not None}


def _check_saved(unsaved: Mapping[str, str]) -> None:
    """Raise :class:`OutputError` if files of registered pairs could not be saved."""
    if unsaved:
        name, error = next(iter(unsaved.items()))
        count = f"{len(unsaved)} registered pair{'' if len(unsaved) == 1 else 's'}"
        raise OutputError(f"files of {count}", f"'{error}' ({name})", "those of --save", "repeat the command then")


def _check_different(pairs: Iterable[Pair]) -> None:
    """Raise :class:`DatasetError` if two pairs have the same name."""
    for name, count in Counter(pair.id for pair in pairs).items():
        if count > 1:
            raise DatasetError(
                f"pair {name}", f"{count} pairs of this name", "names that differ", "number the subjects differently"
            )


def _absolute(pair: Pair) -> Pair:
    """Return a pair with absolute paths, for workers with another working directory."""

    def resolved(subject: Subject) -> Subject:
        return Subject(*(None if path is None else path.resolve() for path in vars(subject).values()))  # type: ignore[arg-type]

    initial = pair.initial
    if initial is not None:
        name, path = split_format(initial)
        initial = f"{'' if name is None else f'{name}:'}{path.resolve()}"
    return replace(pair, fixed=resolved(pair.fixed), moving=resolved(pair.moving), initial=initial)


@dataclass(frozen=True)
class _WorkFolders:
    """Folders for the temporary files of a run."""

    records: Path
    features: Path
    model: Path

    def portable(self, model: Model | None) -> Path | None:
        """Write the model to a folder, for other processes."""
        if model is None:
            return None
        from learngn.model import write_model

        write_model(model, self.model)
        return self.model


@contextmanager
def _work_folders(directory: Path, scratch: str | Path | None) -> Iterator[_WorkFolders]:
    """Lock the output folder, and remove the temporary files of the run at the end."""
    with exclusive_folder(directory, _LOCK):
        hidden, features = directory / _WORK, directory / _WORK / "features"
        if scratch is not None:
            # Named by the output folder, so that the cache is found again when a killed run is repeated.
            digest = hashlib.sha256(str(directory).encode()).hexdigest()[:12]
            features = Path(scratch).resolve() / f"learngn-{digest}"
            check_writable(features)
        try:
            yield _WorkFolders(hidden / "records", features, hidden / "model")
            for path in directory.glob(_TEMPORARY):  # folders of files that a killed process was writing
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
        finally:
            shutil.rmtree(features, ignore_errors=True)
            shutil.rmtree(hidden, ignore_errors=True)
