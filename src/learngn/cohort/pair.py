"""One pair of a cohort: register, write, score. A task that any process can do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from learngn._version import __version__
from learngn.clock import Clock
from learngn.cohort.feature_cache import FolderStore
from learngn.cohort.locks import locked
from learngn.cohort.records import Record, differences, leave_record, left_record
from learngn.errors import ClusterError
from learngn.evaluation import score_pair
from learngn.geometry.transform import Composite
from learngn.io import Pair, write_learn2reg
from learngn.model import Model, read_model
from learngn.optimise import Iteration
from learngn.registration import Guidance, Request, read_pair, register_pair
from learngn.results import outcome
from learngn.settings import Settings


@dataclass(frozen=True)
class PairWork:
    """Register pairs; write the displacement of each, and then its record, which says that the pair is done.

    Attributes
    ----------
    directory : Path
        For the displacements.
    left : Path
        For the records; see :func:`learngn.cohort.records.leave_record`.
    request : Request
        Features, preset and settings that are asked for.
    guidance : Guidance
    model : Path or Model, optional
    also : dict
        What decides a result beside the request, for the record.
    device : str, optional
        Where torch computes, ``"cuda"`` for example; by default where the images are read to.
    begins, step : callable, optional
        See :class:`learngn.cohort.CohortEvents`; only where the work stays in its process.
    version : str
        Of LearnGN, where this was made.
    """

    directory: Path
    left: Path
    request: Request
    guidance: Guidance
    model: Path | Model | None = None
    also: Mapping[str, Any] = field(default_factory=dict)
    device: str | None = None
    begins: Callable[[Pair, Settings], None] | None = None
    step: Callable[[Iteration], None] | None = None
    version: str = __version__

    def __call__(self, pair: Pair, features: Path | None) -> Record:
        """Register a pair.

        Parameters
        ----------
        pair : Pair
        features : Path, optional
            Folder of a :class:`FolderStore`.

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
        self.left.mkdir(parents=True, exist_ok=True)
        # A worker that lost its client goes on: who comes after it waits, and finds the pair done.
        with locked(self.left / f"{pair.id}.lock"):
            record = left_record(pair.id, self.left)
            there = (self.directory / pair.field_name).is_file()
            if record is None or differences(record, asked_for(self.request, self.also)) or not there:
                record = self._register(pair, features)
                leave_record(record, self.left)
        return record

    def _register(self, files: Pair, features: Path | None) -> Record:
        clock, model = Clock(), self._placed_model()
        self.guidance.check(files)
        with clock.stage("read"):
            pair = read_pair(files, label_maps=self.request.label_maps(model), guidance=self.guidance)
        result = register_pair(
            pair if self.device is None else pair.to(self.device),
            self.request,
            model=model,
            begins=None if self.begins is None else partial(self.begins, files),
            callback=self.step,
            store=None if features is None else FolderStore(features),
            clock=clock,
        )
        # Scores are computed where the label maps are.
        transform = Composite((replace(result.displacement, data=result.displacement.data.cpu()), result.affine))
        start = perf_counter()
        write_learn2reg(transform, self.directory / files.field_name, pair.fixed.grid, pair.moving.grid)
        seconds = result.seconds | {"write": perf_counter() - start}
        scores = score_pair(transform, pair).to_json()
        preset = result.resolved.recognised
        return {
            **identity(files),
            **scores,
            **outcome(result),
            "seconds": seconds | {"total": sum(seconds.values())},
            "asked": asked_for(self.request, self.also),
            "settings": result.settings.as_dict(),
            **({} if preset is None else {"preset": preset.to_json()}),
            "version": __version__,
        }

    def _placed_model(self) -> Model | None:
        model = read_model(self.model) if isinstance(self.model, Path) else self.model
        return model if model is None or self.device is None else model.to(self.device)


def identity(pair: Pair) -> dict[str, Any]:
    """What every record of a pair begins with."""
    return {"pair": pair.id, "fixed": pair.fixed.image.name, "moving": pair.moving.image.name}


def asked_for(request: Request, also: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides the result of every pair, for JSON: a record keeps it."""
    return {**request.as_dict(), **also}
