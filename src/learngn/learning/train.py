"""Training of a model on a data set: what ``learngn train`` does."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from learngn._version import __version__
from learngn.errors import TrainingError
from learngn.features import Feature, parse_features
from learngn.io import Dataset, Subject, check_writable, read_grid, scan_numbers
from learngn.learning.budget import Speed, keep_steps, kept_steps, measured, within
from learngn.learning.config import TrainingConfig
from learngn.learning.data import Example, TrainingData, read_example
from learngn.learning.experience import experience_of
from learngn.learning.pairing import Listed
from learngn.learning.regularisation_weight import with_suited_lam
from learngn.learning.selection import Selection, labels_in, organs_of, select
from learngn.learning.trainer import Trained, TrainingEvents, fit
from learngn.learning.validation import Validation
from learngn.model import Modality, Model, ModelConfig, Provenance, write_model
from learngn.registration import RegistrationPair, Request, Side, resolve
from learngn.results import sha256
from learngn.settings import Settings
from learngn.threads import thread_count

_LAM_OF_DISTANCES = (1.0, 0.03)  # for learned features, which begin as distances between -1 and 1
_PAIR = 2


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
    _check_files(selection, config)
    organs = organs_of(dataset, selection, config)
    others = (
        tuple(value for value in labels_in(selection.subjects) if value not in organs) if _by_pair(selection) else ()
    )
    _check_channels(config, organs)
    feature = _feature(config, organs)
    grids = [read_grid(subject.image) for subject in selection.subjects]
    spacing = min(float(grid.spacing.min()) for grid in grids)
    settings = _settings(config, feature, RegistrationPair(Side("fixed", grids[0]), Side("moving", grids[1])))
    _check_levels(config, settings)
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
    data = _read(selection, read, organs, others, config.unseen, workers)
    _check_landmarks(data, config)
    torch.manual_seed(config.seed)
    architecture = _architecture(dataset, config, settings, feature, spacing, data, selection.modalities)
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
        trained = with_suited_lam(trained, data.validation, config.lam_factors, organs or None)
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
        If the networks of φ differ.
    """
    own, given = model.state_dict(), initial.state_dict()
    same = {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
    lacking = [name for name in own if ".network." in name and name not in same]
    if lacking:
        raise TrainingError(
            "initial model", f"no weights for {lacking[0]}", "the same network of φ", "use its configuration of network"
        )
    model.load_state_dict(same, strict=False)


def _by_pair(selection: Selection) -> bool:
    """Return whether labels may correspond within a pair alone."""
    return isinstance(selection.pairing, Listed)


def _read(
    selection: Selection,
    read: Callable[..., Example],
    organs: tuple[int, ...],
    others: tuple[int, ...],
    unseen: float,
    workers: int | None,
) -> TrainingData:
    """Read every subject once, several at a time."""

    def example(subject: Subject) -> Example:
        code = scan_numbers(subject.image)[1]
        return read(subject, modality=selection.modalities.index(code) if selection.modalities else 0)

    subjects = selection.subjects
    with ThreadPoolExecutor(workers or thread_count()) as pool:
        examples = dict(zip((subject.image for subject in subjects), pool.map(example, subjects), strict=True))
    held_out = [(examples[fixed.image], examples[moving.image]) for fixed, moving in selection.held_out]
    pairing = selection.pairing.mapped(lambda subject: examples[subject.image])
    taught, whole = pairing.parted(unseen) if unseen else (pairing, pairing)
    return TrainingData(taught, whole, held_out, organs, others)


def _feature(config: TrainingConfig, organs: tuple[int, ...]) -> Feature:
    return parse_features(config.features, organs=organs or None)


def _settings(config: TrainingConfig, feature: Feature, pair: RegistrationPair) -> Settings:
    """Return the settings of the schedule; their λ is that of the input features before scaling."""
    given = {
        name: value
        for name in ("strides", "iterations", "longest_step", "min_jacobian")
        if (value := getattr(config, name)) is not None
    }
    return resolve(Request(feature, changes={"affine": config.pose, **given}), pair).settings


def _architecture(
    dataset: Dataset,
    config: TrainingConfig,
    settings: Settings,
    feature: Feature,
    spacing: float,
    data: TrainingData,
    codes: Sequence[str],
) -> ModelConfig:
    examples = data.pairing.members
    scales = [_scale([e for e in examples if e.modality == number]) for number in range(max(1, len(codes)))]
    if config.network is not None and not config.network.keep_input:
        suited = _LAM_OF_DISTANCES
    else:  # λ has the unit of the squared features, which the model scales to unit standard deviation
        suited = settings.lam[0] * scales[0] ** 2, settings.lam[1] * scales[0] ** 2
    return ModelConfig(
        ndim=2 if dataset.ndim == 2 else 3,
        settings=replace(settings, lam=config.lam or suited),
        spacing=spacing,
        channels=examples[0].features.data.shape[1],
        organs=data.organs if feature.traits.by_organ else None,
        scale=scales[0],
        modalities=tuple(
            Modality(code=code, name=dataset.modalities.get(code, code), scale=scale)
            for code, scale in zip(codes, scales, strict=False)
        ),
        network=config.network,
        lineariser=config.lineariser,
        learn_lam=config.learn_lam,
        voxelmorph=config.voxelmorph,
    )


def _scale(examples: Sequence[Example]) -> float:
    """Return one over the standard deviation of the examples' input features."""
    values = torch.cat([example.features.data[0].flatten(1) for example in examples], dim=1)
    return 1 / max(1e-6, float(values.std()))


def _check_files(selection: Selection, config: TrainingConfig) -> None:
    """Raise :class:`TrainingError` unless the subjects have every file that a loss needs."""
    losses, subjects = config.losses, selection.subjects
    if not any((losses.labels, losses.mse, losses.features, losses.landmarks, losses.known_maps)):
        raise TrainingError("losses", "none that looks at the alignment", "one at least", "set losses.labels to 1")
    if losses.labels or losses.mse or config.teaches_features:
        _check_there(
            "labels",
            "a label map",
            [subject for subject in subjects if subject.labels is None],
            "add them to labelsTr, or set losses.labels, .mse, .auxiliary and .distances to 0 and losses.features to 1",
        )
    if losses.landmarks and not _by_pair(selection):  # of listed pairs, those without landmarks are left out
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


def _check_landmarks(data: TrainingData, config: TrainingConfig) -> None:
    """Raise :class:`TrainingError` unless scans that may form a pair have the same number of landmarks."""
    if not config.losses.landmarks:
        return
    pairing = data.whole
    pairs = pairing.pairs if isinstance(pairing, Listed) else [tuple(pairing.members)]
    for members in (*pairs, *data.validation):
        counts = sorted({len(example.landmarks) for example in members if example.landmarks is not None})
        if len(counts) > 1:
            raise TrainingError(
                f"landmarks of {members[0].name} and {members[1].name}" if len(members) == _PAIR else "landmarks",
                f"{counts[0]} to {counts[-1]} points",
                "the same points in scans that are registered",
                "correct the files, or set losses.landmarks to 0",
            )


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
