"""One pair of a cohort: register, write, score. A task that any process can do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from learngn._version import __version__
from learngn.cohort.locks import locked
from learngn.cohort.records import Record, differences, leave_record, left_record
from learngn.cohort.store import FolderStore
from learngn.errors import ClusterError
from learngn.evaluation import read_truth
from learngn.features import parse_features
from learngn.image import Image
from learngn.inputs import Guidance
from learngn.io import Pair, read_image, write_learn2reg
from learngn.model import Model, read_model
from learngn.optimise import Iteration
from learngn.registration import register
from learngn.results import outcome
from learngn.settings import Settings
from learngn.transform import Composite


@dataclass(frozen=True)
class PairWork:
    """Register pairs; write the displacement of each, and then its record, which says that the pair is done.

    Attributes
    ----------
    directory : Path
        For the displacements.
    left : Path
        For the records; see :func:`learngn.cohort.records.leave_record`.
    guidance : Guidance
    model : Path or Model, optional
    also : dict
        What decides a result beside settings, for the record.
    device : str, optional
        Where torch computes, ``"cuda"`` for example; by default where the images are read to.
    begins, step : callable, optional
        See :class:`learngn.cohort.CohortEvents`; only where the work stays in its process.
    version : str
        Of LearnGN, where this was made.
    """

    directory: Path
    left: Path
    guidance: Guidance
    model: Path | Model | None = None
    also: Mapping[str, Any] = field(default_factory=dict)
    device: str | None = None
    begins: Callable[[Pair, Settings], None] | None = None
    step: Callable[[Iteration], None] | None = None
    version: str = __version__

    def __call__(self, pair: Pair, settings: Settings, features: Path | None) -> Record:
        """Register a pair.

        Parameters
        ----------
        pair : Pair
        settings : Settings
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
            wanted = {**settings.as_dict(), **self.also}
            if record is None or differences(record, wanted) or not (self.directory / pair.field_name).is_file():
                record = self._register(pair, settings, features)
                leave_record(record, self.left)
        return record

    def _register(self, pair: Pair, settings: Settings, features: Path | None) -> Record:
        truth = read_truth(pair)
        if self.begins is not None:
            self.begins(pair, settings)
        result = register(
            *(self._placed(subject.image, settings) for subject in (pair.fixed, pair.moving)),
            settings=settings,
            model=self._placed_model(),
            callback=self.step,
            store=None if features is None else FolderStore(features),
            **self.guidance.of(pair),
        )
        # Scores are computed where the label maps are.
        transform = Composite((replace(result.displacement, data=result.displacement.data.cpu()), result.affine))
        start = perf_counter()
        write_learn2reg(transform, self.directory / pair.field_name, truth.fixed, truth.moving)
        seconds = result.seconds | {"write": perf_counter() - start}
        scores = truth.score(transform, (pair.fixed.image.name, pair.moving.image.name)).to_json()
        return {
            **identity(pair),
            **scores,
            **outcome(result),
            "seconds": seconds | {"total": sum(seconds.values())},
            "settings": {**result.settings.as_dict(), **self.also},
            "version": __version__,
        }

    def _placed(self, path: Path, settings: Settings) -> Path | Image:
        if self.device is None:
            return path
        return read_image(path, labels=parse_features(settings.features).labels).to(self.device)

    def _placed_model(self) -> Model | Path | None:
        if self.device is None or self.model is None:
            return self.model
        model = self.model if isinstance(self.model, Model) else read_model(self.model)
        return model.to(self.device)


def identity(pair: Pair) -> dict[str, Any]:
    """What every record of a pair begins with."""
    return {"pair": pair.id, "fixed": pair.fixed.image.name, "moving": pair.moving.image.name}
