"""Registration, writing and scoring of one pair of a cohort, as a task for any process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from learngn._version import __version__
from learngn.clock import Clock
from learngn.cohort.feature_cache import FolderStore
from learngn.cohort.locks import locked
from learngn.cohort.records import Record, differences, save_record, saved_record
from learngn.cohort.saving import Saving
from learngn.cohort.wider import is_doubtful, widened
from learngn.errors import ClusterError
from learngn.evaluation import score_pair
from learngn.io import Pair, read_learn2reg, split_format, write_learn2reg
from learngn.optimise import Iteration
from learngn.registration import (
    Guidance,
    Registration,
    RegistrationPair,
    Request,
    model_of,
    read_pair,
    register_pair,
)
from learngn.registration.initial import read_initial
from learngn.results import initial_json, outcome, sha256, uncertainty_json, verdict_json, write_uncertainty
from learngn.settings import Settings

if TYPE_CHECKING:
    from learngn.model import Model

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class PairWork:
    """Register pairs; write the displacement and the further files of each, and then its record: the pair is done.

    Attributes
    ----------
    directory : Path
        Folder for the displacements.
    saved : Path
        Folder for the records; see :func:`learngn.cohort.records.save_record`.
    request : Request
        Requested features, preset, settings and device.
    guidance : Guidance
    model : Path or Model, optional
    context : dict
        Inputs beside the request that decide a result, for the record: model and guidance.
    begins, step : callable, optional
        See :class:`learngn.cohort.CohortEvents`; only without worker processes.
    retry : bool
        Register pairs whose verdict is not ``"ok"`` again, see :func:`learngn.cohort.wider.widened`.
    saving : Saving
        Further files to write for each pair.
    version : str
        Version of LearnGN in the process that made this object.
    """

    directory: Path
    saved: Path
    request: Request
    guidance: Guidance
    model: Path | Model | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    begins: Callable[[Pair, Settings], None] | None = None
    step: Callable[[Iteration], None] | None = None
    retry: bool = False
    saving: Saving = field(default_factory=Saving)
    version: str = __version__

    def __call__(self, pair: Pair, features: Path | None, known: Record | None = None) -> Record:
        """Register a pair, or write the files that a registered pair lacks.

        Parameters
        ----------
        pair : Pair
        features : Path, optional
            Cache folder, see :class:`FolderStore`.
        known : Record, optional
            Record of an earlier run, if the pair has been registered.

        Returns
        -------
        Record

        Raises
        ------
        LearnGNError
            If the pair cannot be registered.
        """
        if self.version != __version__:
            raise ClusterError("worker", f"LearnGN {__version__}", f"{self.version}, the client's", "install the same")
        self.saved.mkdir(parents=True, exist_ok=True)
        # A worker that has lost its client goes on; a worker that is given the same pair waits, and finds it done.
        with locked(self.saved / f"{pair.id}.lock"):
            record = saved_record(pair.id, self.saved) or known
            there = (self.directory / pair.field_name).is_file()
            again = record is not None and self.retry and is_doubtful(record)
            asked = asked_of(pair, self.request, self.context)
            if record is None or again or differences(record, asked) or not there:
                record = self._register(pair, features)
                save_record(record, self.saved)
            elif self.saving.missing(self.directory, pair):
                self._complete(pair, record)
        return record

    def _read(self, files: Pair, model: Model | None) -> RegistrationPair:
        return read_pair(files, label_maps=self.request.label_maps(model), guidance=self.guidance)

    def _complete(self, files: Pair, record: Record) -> None:
        pair = self._read(files, model_of(self.model))
        transform = read_learn2reg(self.directory / files.field_name, pair.fixed.grid, pair.moving.grid)
        self.saving.complete(self.directory, files, pair, transform, record)

    def _register(self, files: Pair, features: Path | None) -> Record:
        _LOG.info("pair %s", files.id)
        clock, model = Clock(), model_of(self.model)
        self.guidance.check(files)
        with clock.stage("read"):
            pair = self._read(files, model)
            initial = read_initial(files.initial, pair)

        def register(request: Request, clock: Clock) -> Registration:
            return register_pair(
                pair,
                request,
                model=model,
                initial=initial,
                begins=None if self.begins is None else partial(self.begins, files),
                callback=self.step,
                store=None if features is None else FolderStore(features),
                clock=clock,
            )

        result, searches = register(self.request, clock), dict[str, Any]()
        seconds: Mapping[str, float] = result.seconds
        if self.retry and result.verdict is not None and result.verdict.status != "ok":
            best = widened(result, self.request, register, learned=model is not None)
            result, seconds, searches = best.result, best.seconds, best.to_json()
        start = perf_counter()
        field, grids = self.directory / files.field_name, (pair.fixed.grid, pair.moving.grid)
        write_learn2reg(result.transform, field, *grids, rounded=True)
        if result.uncertainty is not None:
            write_uncertainty(result.uncertainty, self.directory, f"uncertainty_{files.id}")
        seconds = {**seconds, "write": perf_counter() - start}
        seconds |= {"total": sum(seconds.values())}
        scores = score_pair(result.transform, pair)
        self.saving.write(self.directory, files, result, scores, seconds)
        preset = result.resolved.recognised
        return {
            **identity(files),
            **scores.to_json(),
            **outcome(result),
            **initial_json(result),
            **verdict_json(result),
            **searches,
            **uncertainty_json(result),
            "seconds": seconds,
            "asked": asked_of(files, self.request, self.context),
            "settings": result.settings.as_dict(),
            **({} if preset is None else {"preset": preset.to_json()}),
            "version": __version__,
        }


def identity(pair: Pair) -> dict[str, Any]:
    """Return the first entries of a record: the pair and its file names."""
    return {"pair": pair.id, "fixed": pair.fixed.image.name, "moving": pair.moving.image.name}


def asked_of(pair: Pair, request: Request, context: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs beside its scans that decide the result of a pair, for its record."""
    named: dict[str, Any] = {}
    if pair.initial is not None:
        name, path = split_format(pair.initial)
        digest = sha256(path)[:12] if path.is_file() else "missing"
        named["initial_transform"] = f"{path.name} {name or ''}".strip() + f" (SHA-256 {digest})"
    return {**request.as_dict(), **context, **named}
