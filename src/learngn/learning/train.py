"""Training of a model on a data set: what ``learngn train`` does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from learngn._version import __version__
from learngn.errors import TrainingError
from learngn.features import Feature, parse_features
from learngn.io import Dataset, Subject, check_writable, read_grid
from learngn.learning.config import TrainingConfig
from learngn.learning.data import Example, TrainingData, organs_in, read_example
from learngn.learning.regularisation_weight import with_suited_lam
from learngn.learning.trainer import Trained, TrainingEvents, fit
from learngn.learning.validation import Validation
from learngn.model import Model, ModelConfig, Provenance, write_model
from learngn.registration import RegistrationPair, Request, Side, resolve
from learngn.results import sha256
from learngn.settings import Settings

_LAM_OF_DISTANCES = (1.0, 0.03)  # for learned features, which begin as distances between -1 and 1
_FEWEST = 3  # subjects: two that make a pair, one for validation


def train(
    dataset: Dataset,
    directory: str | Path,
    config: TrainingConfig,
    *,
    network: nn.Module | None = None,
    fabric: Fabric | None = None,
    events: TrainingEvents | None = None,
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
    directory, fabric = Path(directory), fabric or Fabric(accelerator="cpu", devices=1)
    fitting, held_out = split(dataset, config)
    _check_files((*fitting, *held_out), config)
    organs = tuple(sorted(dataset.label_names)) or organs_in((*fitting, *held_out))
    _check_channels(config, organs)
    feature = _feature(config, organs)
    sides = [Side(subject.image.name, read_grid(subject.image)) for subject in fitting]
    spacing = min(float(side.grid.spacing.min()) for side in sides)
    settings = _settings(config, feature, RegistrationPair(sides[0], sides[1]))
    _check_levels(config, settings)
    check_writable(directory)
    taught = organs if config.network is not None and config.losses.distances else ()
    pool = 1 if config.network is None else config.network.pool
    examples = [
        read_example(subject, feature, settings.strides[-1] * spacing, taught, pool)
        for subject in (*fitting, *held_out)
    ]
    _check_landmarks(examples, config)
    data = TrainingData(
        examples[: len(fitting)], _validation_pairs(examples, len(fitting), config.validation_pairs), organs
    )
    torch.manual_seed(config.seed)
    architecture = _architecture(dataset.ndim, config, settings, feature, spacing, organs, data.training)
    model = Model(architecture, network)
    training = {
        "dataset": dataset.name,
        "subjects": [subject.image.name for subject in fitting],
        "held_out": [subject.image.name for subject in held_out],
        "data_sha256": _data_hash((*fitting, *held_out)),
        "config": config.model_dump(mode="json"),
    }
    writer = _ModelWriter(events or TrainingEvents(), directory, training)
    trained = fit(model, data, config, directory, fabric=fabric, identity=_identity(training), events=writer.events())
    if config.learn_lam:
        trained = with_suited_lam(trained, data.validation, config.lam_factors)
    if fabric.is_global_zero:
        writer.write(trained.model, trained.validation, trained.step)
    fabric.barrier()
    return trained


def split(dataset: Dataset, config: TrainingConfig) -> tuple[list[Subject], list[Subject]]:
    """Return the subjects to train on, and those held out for validation: the last ones, a third at most.

    Raises
    ------
    TrainingError
        If there are fewer than three subjects.
    """
    subjects = list(dataset.training)
    if len(subjects) < _FEWEST:
        raise TrainingError(
            f"data set {dataset.name}",
            f"{len(subjects)} training subjects",
            f"{_FEWEST} at least: two to register, one to validate with",
            "list more under training, that no pair of registration_val shows",
        )
    held = min(config.validation, len(subjects) // 3)
    return subjects[:-held], subjects[-held:]


def _feature(config: TrainingConfig, organs: tuple[int, ...]) -> Feature:
    return parse_features(config.features, organs=organs or None)


def _settings(config: TrainingConfig, feature: Feature, pair: RegistrationPair) -> Settings:
    """Return the settings of the schedule; their λ is that of the input features before scaling."""
    given = {
        name: value
        for name in ("strides", "iterations", "longest_step", "min_jacobian")
        if (value := getattr(config, name)) is not None
    }
    return resolve(Request(feature, changes={"affine": "none", **given}), pair).settings


def _architecture(
    ndim: int,
    config: TrainingConfig,
    settings: Settings,
    feature: Feature,
    spacing: float,
    organs: tuple[int, ...],
    examples: Sequence[Example],
) -> ModelConfig:
    values = torch.cat([example.features.data[0].flatten(1) for example in examples], dim=1)
    scale = 1 / max(1e-6, float(values.std()))
    if config.network is not None and not config.network.keep_input:
        suited = _LAM_OF_DISTANCES
    else:  # λ has the unit of the squared features, which the model scales to unit standard deviation
        suited = settings.lam[0] * scale**2, settings.lam[1] * scale**2
    return ModelConfig(
        ndim=2 if ndim == 2 else 3,
        settings=replace(settings, lam=config.lam or suited),
        spacing=spacing,
        channels=len(values),
        organs=organs if feature.traits.by_organ else None,
        scale=scale,
        network=config.network,
        lineariser=config.lineariser,
        learn_lam=config.learn_lam,
        voxelmorph=config.voxelmorph,
    )


def _check_files(subjects: Sequence[Subject], config: TrainingConfig) -> None:
    """Raise :class:`TrainingError` unless the subjects have every file that a loss needs."""
    losses = config.losses
    if not any((losses.labels, losses.mse, losses.features, losses.landmarks)):
        raise TrainingError("losses", "none that looks at the alignment", "one at least", "set losses.labels to 1")
    if losses.labels or losses.mse or config.teaches_features:
        _check_there(
            "labels",
            "a label map",
            [subject for subject in subjects if subject.labels is None],
            "add them to labelsTr, or set losses.labels, .mse, .auxiliary and .distances to 0 and losses.features to 1",
        )
    if losses.landmarks:
        missing = [subject for subject in subjects if subject.landmarks is None]
        _check_there("landmarks", "a file", missing, "add them to landmarksTr, or set losses.landmarks to 0")


def _check_there(what: str, wanted: str, missing: Sequence[Subject], remedy: str) -> None:
    if missing:
        names = ", ".join(subject.image.name for subject in missing[:3])
        raise TrainingError(
            f"{what} of {names}{' ...' if len(missing) > 3 else ''}",
            "no file",
            f"{wanted} for every training subject, as the losses need it",
            remedy,
        )


def _check_channels(config: TrainingConfig, organs: Sequence[int]) -> None:
    """Raise :class:`TrainingError` unless the loss on distances has a channel for every organ."""
    if config.network is not None and config.losses.distances and config.network.out_channels < len(organs):
        raise TrainingError(
            "network.out_channels",
            str(config.network.out_channels),
            f"{len(organs)} at least, one an organ",
            "raise it, or set losses.distances to 0",
        )


def _check_levels(config: TrainingConfig, settings: Settings) -> None:
    """Raise :class:`TrainingError` unless at least one level takes steps."""
    if max(settings.strides) < config.finest:
        raise TrainingError(
            "finest", f"{config.finest:g}", f"at most {max(settings.strides):g}, the coarsest stride", "lower it"
        )


def _check_landmarks(examples: Sequence[Example], config: TrainingConfig) -> None:
    """Raise :class:`TrainingError` unless every subject has the same number of landmarks, if a loss needs them."""
    counts = sorted({len(example.landmarks) for example in examples if example.landmarks is not None})
    if config.losses.landmarks and len(counts) > 1:
        raise TrainingError(
            "landmarks",
            f"{counts[0]} to {counts[-1]} points a subject",
            "the same points in every one",
            "correct the files, or set losses.landmarks to 0",
        )


def _validation_pairs(examples: Sequence[Example], fitting: int, most: int) -> list[tuple[Example, Example]]:
    """Return pairs of held-out subjects; a single one is paired with training subjects."""
    held_out = examples[fitting:]
    others = held_out if len(held_out) > 1 else examples[:fitting]
    pairs = [(fixed, moving) for fixed in held_out for moving in others if moving is not fixed]
    chosen = np.linspace(0, len(pairs) - 1, min(most, len(pairs))).round().astype(int)
    return [pairs[i] for i in chosen]


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
        return TrainingEvents(self.outer.step, self._validated)

    def _validated(self, step: int, model: Model, validation: Validation, best: bool) -> None:
        if best:
            self.write(model, validation, step)
        self.outer.validated(step, model, validation, best)

    def write(self, model: Model, validation: Validation, step: int) -> None:
        training = {**self.training, "step": step, "validation": validation.to_json()}
        write_model(model, self.directory, Provenance(training=training))
