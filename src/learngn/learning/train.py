"""Training of a model on a data set: what ``learngn train`` does."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from learngn._version import __version__
from learngn.errors import TrainingError
from learngn.io import Dataset, Subject, check_writable, read_grid
from learngn.learning.architecture import architecture_of, feature_of, settings_of
from learngn.learning.budget import Speed, keep_steps, kept_steps, measured, within
from learngn.learning.checks import check_files, check_landmarks, check_levels, with_channels
from learngn.learning.config import TrainingConfig
from learngn.learning.data import TrainingData, read_example
from learngn.learning.experience import experience_of
from learngn.learning.reading import read_data
from learngn.learning.regularisation_weight import multiply_lam, suited_factor
from learngn.learning.selection import labels_in, organs_of, select
from learngn.learning.trainer import Trained, TrainingEvents, fit
from learngn.learning.validation import Validation
from learngn.model import Model, Provenance, write_model
from learngn.registration import RegistrationPair, Side
from learngn.results import sha256

_GIVEN = ("pool", "trim")  # what a network is given, which the shapes of its weights do not tell


def train(
    dataset: Dataset,
    directory: str | Path,
    config: TrainingConfig,
    *,
    network: nn.Module | None = None,
    fabric: Fabric | None = None,
    events: TrainingEvents | None = None,
    workers: int | None = None,
    initial: Model | None = None,
    minutes: float | None = None,
) -> Trained:
    """Train a model on the training subjects of a data set and write it; resume where an earlier call was interrupted.

    Parameters
    ----------
    dataset : Dataset
        A few of its training subjects are held out to choose the best weights; its validation pairs are not used.
    directory : path
        Folder for ``model.json``, ``weights.safetensors`` and ``checkpoint.pt``.
    config : TrainingConfig
    network : nn.Module, optional
        Your own φ, (N, C, *S) to (N, config.network.out_channels, *S), for ``config.network.kind = "own"``.
    fabric : Fabric, optional
        Devices and processes, already launched; by default one process on the CPU.
    events : TrainingEvents, optional
        Functions to call during the training.
    workers : int, optional
        Number of scans that are read at a time; by default the number of threads.
    initial : Model, optional
        Trained model whose weights are the start: of all parts that both architectures have.
    minutes : float, optional
        Time for the training, from which the number of steps is chosen; `config.steps` does not count then.

    Returns
    -------
    Trained

    Raises
    ------
    TrainingError
        If there are too few subjects, labels that a loss needs are missing, or the loss diverges.
    LearnGNError
        If a file cannot be read, or the folder cannot be written.
    """
    begun = time.monotonic()
    directory, fabric = Path(directory), fabric or Fabric(accelerator="cpu", devices=1)
    events = events or TrainingEvents()
    selection = select(dataset, config)
    check_files(selection, config)
    organs = organs_of(dataset, selection, config)
    others = tuple(value for value in labels_in(selection.subjects) if value not in organs) if selection.by_pair else ()
    config = with_channels(config, organs)
    feature = feature_of(config, organs)
    grids = [read_grid(subject.image) for subject in selection.subjects]
    spacing = min(float(grid.spacing.min()) for grid in grids)
    settings = settings_of(config, feature, RegistrationPair(Side("fixed", grids[0]), Side("moving", grids[1])))
    check_levels(config, settings)
    check_writable(directory)
    if fabric.is_global_zero:
        events.begins(selection.described(dataset), organs)
    read = partial(
        read_example,
        feature=feature,
        spacing=settings.strides[-1] * spacing,
        organs=organs if config.network is not None and config.losses.distances else (),
        pool=1 if config.network is None else config.network.pool,
    )
    data = read_data(selection, read, organs, others, config.unseen, workers)
    check_landmarks(data, config)
    torch.manual_seed(config.seed)
    architecture = architecture_of(dataset, config, settings, feature, spacing, data, selection.modalities)
    model = Model(architecture, network)
    if initial is not None:
        _start_from(initial, model)
    placed = data.to(fabric.device)
    if minutes is not None:
        config = _planned(config, minutes, directory, model, placed, fabric, begun)
    if fabric.is_global_zero:
        events.planned(config.steps, 0.0 if minutes is None else 60 * minutes)
    training = {
        "dataset": dataset.name,
        "drawn": selection.described(dataset),
        "organs": list(organs),
        "subjects": [subject.image.name for subject in selection.pairing.members],
        "held_out": [subject.image.name for subject in selection.subjects[len(selection.pairing.members) :]],
        "data_sha256": _data_hash(selection.subjects),
        "config": config.model_dump(mode="json"),
        **({} if initial is None else {"initial": initial.digest}),
    }
    writer = _ModelWriter(events, directory, training)
    trained = fit(model, placed, config, directory, fabric=fabric, identity=_identity(training), events=writer.events())
    if config.learn_lam:
        found = suited_factor(trained.model, trained.validation, data.validation, config.lam_factors, organs or None)
        multiply_lam(trained.model, found[0])
        trained = replace(trained, validation=found[1])
    if fabric.is_global_zero:
        known = experience_of(trained.model, data, config, selection.held_out, dataset.label_names)
        trained.model.experience = known.to_json()
        writer.write(trained.model, trained.validation, trained.step)
    fabric.barrier()
    return trained


def _planned(
    config: TrainingConfig,
    minutes: float,
    directory: Path,
    model: Model,
    data: TrainingData,
    fabric: Fabric,
    begun: float,
) -> TrainingConfig:
    """Return the configuration with the number of steps that the time left allows, the same on all processes."""
    chosen = kept_steps(directory, minutes, config)
    if chosen is None:
        speed = measured(model, data, config, fabric)
        speed = Speed(*(fabric.broadcast(astuple(speed))))
        chosen = within(config, 60 * minutes - (time.monotonic() - begun), speed)
        if fabric.is_global_zero:
            keep_steps(directory, minutes, config, chosen)
    fabric.barrier()
    return chosen


def _start_from(initial: Model, model: Model) -> None:
    """Copy the weights that have the same names and shapes in both models.

    Raises
    ------
    TrainingError
        If the networks of φ differ, or what they are given.
    """
    first, second = initial.config.network, model.config.network
    for name in _GIVEN if first is not None and second is not None else ():
        if getattr(first, name) != getattr(second, name):
            raise TrainingError(
                f"network.{name} of the initial model",
                f"{getattr(first, name)}",
                f"{getattr(second, name)}, as in this training",
                "use its configuration of network",
            )
    own, given = model.state_dict(), initial.state_dict()
    same = {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
    lacking = [name for name in own if ".network." in name and name not in same]
    if lacking:
        raise TrainingError(
            "initial model", f"no weights for {lacking[0]}", "the same network of φ", "use its configuration of network"
        )
    model.load_state_dict(same, strict=False)


def _data_hash(subjects: Sequence[Subject]) -> str:
    digest = hashlib.sha256()
    for subject in subjects:
        for path in (subject.image, subject.labels, subject.landmarks):
            digest.update((sha256(path) if path is not None else "none").encode())
    return digest.hexdigest()


def _identity(training: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps([__version__, training], sort_keys=True).encode()).hexdigest()


class _ModelWriter:
    """Writer of the model after each best validation, so that an interrupted training leaves the best model so far."""

    def __init__(self, events: TrainingEvents, directory: Path, training: Mapping[str, Any]) -> None:
        self.outer, self.directory, self.training = events, directory, training

    def events(self) -> TrainingEvents:
        return replace(self.outer, validated=self._validated)

    def _validated(self, step: int, model: Model, validation: Validation, best: bool) -> None:
        if best:
            self.write(model, validation, step)
        self.outer.validated(step, model, validation, best)

    def write(self, model: Model, validation: Validation, step: int) -> None:
        training = {**self.training, "step": step, "validation": validation.to_json()}
        if model.experience is not None:
            training["experience"] = dict(model.experience)
        write_model(model, self.directory, Provenance(training=training))
