"""The training loop: draw pairs, step, validate, keep the best; goes on where it was killed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from learngn.errors import TrainingError
from learngn.learning.augmentation import augmented
from learngn.learning.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from learngn.learning.config import TrainingConfig
from learngn.learning.data import Batch, Side, TrainingData, share_channels, stack
from learngn.learning.training_step import TrainingStep
from learngn.learning.validation import Validation, validate
from learngn.model import Model
from learngn.settings import Settings


def _nothing(*_: object) -> None:
    """Listen to nothing."""


@dataclass(frozen=True)
class TrainingEvents:
    """Functions called while a training runs, to show and log it; on the first process alone.

    Attributes
    ----------
    step : callable
        With the number of steps done, and the losses of the last one by name.
    validated : callable
        With the number of steps done, the model validated, its validation, and whether it is the best so far.
    """

    step: Callable[[int, dict[str, float]], None] = _nothing
    validated: Callable[[int, Model, Validation, bool], None] = _nothing


@dataclass(frozen=True, eq=False)
class Trained:
    """Result of :func:`fit`.

    Attributes
    ----------
    model : Model
        With the weights of the best validation, in evaluation mode.
    validation : Validation
    step : int
        After which these weights were taken.
    """

    model: Model
    validation: Validation
    step: int


def fit(
    model: Model,
    data: TrainingData,
    config: TrainingConfig,
    directory: Path,
    *,
    fabric: Fabric,
    identity: str,
    events: TrainingEvents | None = None,
) -> Trained:
    """Train a model.

    Parameters
    ----------
    model : Model
    data : TrainingData
    config : TrainingConfig
    directory : Path
        Folder of the checkpoint.
    fabric : Fabric
        Devices and processes.
    identity : str
        Hash of all that decides the result; see :class:`Checkpoint`.
    events : TrainingEvents, optional

    Raises
    ------
    TrainingError
        If the loss diverges: the checkpoint, and with it the best weights, is that before it did. If a checkpoint is
        there that belongs to another training.
    """
    return _Loop(model, data, config, directory, fabric, identity, events or TrainingEvents()).run()


class _Loop:
    def __init__(
        self,
        model: Model,
        data: TrainingData,
        config: TrainingConfig,
        directory: Path,
        fabric: Fabric,
        identity: str,
        events: TrainingEvents,
    ) -> None:
        self.data, self.config, self.directory, self.identity = data, config, directory, identity
        self.fabric, self.events = fabric, events
        torch.manual_seed(config.seed)  # the head's start; all else that is drawn has generators of its own
        step = TrainingStep(
            model,
            config.losses,
            1 + len(data.organs),
            last=config.last,
            limit=config.limit,
            mixed=config.precision == "bfloat16",
        )
        optimiser = torch.optim.AdamW(_groups(step, config), lr=config.rate, weight_decay=config.weight_decay)
        self.average = AveragedModel(
            step,
            multi_avg_fn=get_ema_multi_avg_fn(config.average),  # type: ignore[no-untyped-call]
            use_buffers=True,
        )
        self.best: dict[str, Any] = {}
        self.done = 0
        state = read_checkpoint(directory, identity)
        if state is not None:
            step.load_state_dict(state.weights)
            optimiser.load_state_dict(state.optimiser)
            self.average.load_state_dict(state.average)
            self.best, self.done = state.best, state.step
        self.average.to(fabric.device)
        self.bare = step
        self.step, self.optimiser = fabric.setup(step, optimiser)

    def run(self) -> Trained:
        config = self.config
        while self.done < config.steps:
            # What the first whole step starts from counts too: the hand-made linearisation, or φ after its pretraining.
            if self.done == config.pretraining_steps and (self.done == 0 or self.done % config.validate_every):
                self._validate()
            losses = self._advance(self.done)
            self.done += 1
            if self.fabric.is_global_zero:
                self.events.step(self.done, losses)
            last = self.done == config.steps
            if last or self.done % config.validate_every == 0:
                self._validate()
            if last or self.done % config.checkpoint_every == 0:
                self._save()
        model = self._averaged()
        model.load_state_dict(self.best["weights"])
        return Trained(model.cpu().eval(), Validation(**self.best["validation"]), self.best["step"])

    def _averaged(self) -> Model:
        """The model whose weights are kept."""
        step = self.average.module
        return step.model if isinstance(step, TrainingStep) else self.bare.model

    def _advance(self, index: int) -> dict[str, float]:
        """One step of the optimiser; what is drawn depends on the seed, the index and the process alone."""
        config = self.config
        random = np.random.default_rng((config.seed, index, self.fabric.global_rank))
        shared = np.random.default_rng((config.seed, index))  # equal depth of the graph on all processes
        for group in self.optimiser.param_groups:
            group["lr"] = group["highest"] * _rate(index, config)
        counts = _counts(self.bare.model.settings, index, config, shared)
        losses: dict[str, float] = {}
        self.optimiser.zero_grad()
        batches = _batches(self.data, config, random, self.bare.model.config.spacing)
        for number, (batch, weight) in enumerate(batches, start=1):
            with self.fabric.no_backward_sync(self.step, enabled=number < len(batches)):
                found = self.step(batch.to(self.fabric.device), counts)
                total = torch.stack([value * weight for value in found.values()]).sum()
                self._check(total, index)
                self.fabric.backward(total)
            for name, value in found.items():
                losses[name] = losses.get(name, 0.0) + weight * float(value.detach())
        norm = torch.nn.utils.clip_grad_norm_([p for p in self.bare.parameters() if p.requires_grad], config.clip)
        self._check(norm, index)
        self.optimiser.step()
        self.average.update_parameters(self.bare)
        return losses

    def _check(self, value: torch.Tensor, index: int) -> None:
        """Stop before a loss or gradient that is no number reaches the weights."""
        if not bool(torch.isfinite(value.detach())):
            kept = f"; the best weights before it are in {self.directory}" if self.best else ""
            raise TrainingError(
                f"step {index + 1} of the training",
                "a loss or gradient that is not finite",
                "a finite one",
                f"lower the rate ({self.config.rate:g}) or the clip ({self.config.clip:g}){kept}",
            )

    def _validate(self) -> None:
        """Score the running mean; every process does, so that all know the best."""
        model = self._averaged()
        model.eval()
        found = validate(model, self.data.validation)
        model.train()
        better = not self.best or found.figure > Validation(**self.best["validation"]).figure
        if better:
            weights = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
            self.best = {"step": self.done, "validation": found.to_json(), "weights": weights}
        if self.fabric.is_global_zero:
            self.events.validated(self.done, model, found, better)

    def _save(self) -> None:
        if self.fabric.is_global_zero:
            state = Checkpoint(
                self.done,
                self.identity,
                self.bare.state_dict(),
                self.optimiser.state_dict(),
                self.average.state_dict(),
                self.best,
            )
            write_checkpoint(state, self.directory)
        self.fabric.barrier()


def _groups(step: TrainingStep, config: TrainingConfig) -> list[dict[str, Any]]:
    """Group the parameters by their learning rate.

    A module names those of its parameters that are one number a channel or a level in `factor_parameters`.
    """
    factors = {
        id(getattr(module, name)) for module in step.modules() for name in getattr(module, "factor_parameters", ())
    }
    groups: list[dict[str, Any]] = []
    for highest, are_factors in ((config.rate, False), (config.factor_rate or config.rate, True)):
        chosen = [p for p in step.parameters() if p.requires_grad and (id(p) in factors) == are_factors]
        if chosen:
            groups.append({"params": chosen, "highest": highest})
    return groups


def _rate(index: int, config: TrainingConfig) -> float:
    """Linear rise, then a cosine down to zero."""
    rise = min(1.0, (index + 1) / max(1, config.warmup))
    return rise * (0.5 + 0.5 * math.cos(math.pi * index / config.steps))


def _counts(settings: Settings, index: int, config: TrainingConfig, random: np.random.Generator) -> tuple[int, ...]:
    """Gauss-Newton steps of every level: a random number, so that no number of them is learned by heart."""
    start = config.pretraining_steps
    if index < start:
        return ()
    progress = min(1.0, (index - start) / max(1.0, config.curriculum * (config.steps - start)))
    counts = []
    for stride, full in zip(settings.strides, settings.iterations, strict=True):
        if stride < config.finest:
            counts.append(0)
            continue
        low = max(1, round(config.fewest * full))
        high = max(low, round((config.fewest + (config.most - config.fewest) * progress) * full))
        counts.append(int(random.integers(low, high + 1)))
    return tuple(counts)


def _batches(
    data: TrainingData, config: TrainingConfig, random: np.random.Generator, spacing: float
) -> list[tuple[Batch, float]]:
    """Draw pairs; those of equal grids side by side, each group with its share of the loss."""
    groups: dict[tuple[object, ...], list[tuple[Side, Side]]] = {}
    for _ in range(config.batch):
        chosen = random.choice(len(data.training), 2, replace=False)
        fixed, moving = (
            augmented(data.training[i], data.organs, config.losses.stride * spacing, config.augmentation, random)
            for i in chosen
        )
        fixed, moving = _shared(fixed, moving, config.augmentation.drop, random)
        key = (fixed.kind, moving.kind)
        groups.setdefault(key, []).append((fixed, moving))
    return [
        (Batch(stack([f for f, _ in group]), stack([m for _, m in group])), len(group) / config.batch)
        for group in groups.values()
    ]


def _shared(fixed: Side, moving: Side, drop: float, random: np.random.Generator) -> tuple[Side, Side]:
    first, second = share_channels(fixed.features.data, moving.features.data)
    if drop:
        keep = torch.from_numpy(random.random((1, first.shape[1], *[1] * (first.ndim - 2))) >= drop).to(first.dtype)
        first, second = first * keep, second * keep
    return fixed.with_features(first), moving.with_features(second)
