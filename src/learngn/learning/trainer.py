"""Training loop: draw pairs, take a step, validate, keep the best weights; resume from a checkpoint."""

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
from learngn.learning.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from learngn.learning.config import TrainingConfig
from learngn.learning.data import TrainingData
from learngn.learning.draw import batches
from learngn.learning.precision import computes_in_bfloat16
from learngn.learning.training_step import TrainingStep
from learngn.learning.validation import Validation, validate
from learngn.model import Model
from learngn.settings import Settings


def _ignore(*_: object) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class TrainingEvents:
    """Functions called during a training, to show and log it; on the first process only.

    Attributes
    ----------
    step : callable
        Called after every step with the number of steps done, and the losses of the last one by name.
    validated : callable
        Called after every validation with the number of steps done, the model, its validation, and whether it is the
        best so far.
    begins : callable
        Called once, before scans are read, with a sentence on what is drawn, and the labels that teach φ.
    planned : callable
        Called once, before the first step, with the number of steps and, if it was estimated, the time [s], or 0.
    """

    step: Callable[[int, dict[str, float]], None] = _ignore
    validated: Callable[[int, Model, Validation, bool], None] = _ignore
    begins: Callable[[str, tuple[int, ...]], None] = _ignore
    planned: Callable[[int, float], None] = _ignore


@dataclass(frozen=True, eq=False)
class Trained:
    """Result of :func:`fit`.

    Attributes
    ----------
    model : Model
        Model with the weights of the best validation, in evaluation mode.
    validation : Validation
        Validation of these weights.
    step : int
        Number of steps after which these weights were reached.
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
        Hash of everything that determines the result; see :class:`Checkpoint`.
    events : TrainingEvents, optional

    Raises
    ------
    TrainingError
        If the loss diverges; the last checkpoint, with the best weights so far, is kept. If the folder has the
        checkpoint of another training.
    """
    return TrainingLoop(model, data, config, directory, fabric, identity, events).run()


class TrainingLoop:
    """State of a training, and its steps; see :func:`fit` for the parameters."""

    def __init__(
        self,
        model: Model,
        data: TrainingData,
        config: TrainingConfig,
        directory: Path,
        fabric: Fabric,
        identity: str,
        events: TrainingEvents | None = None,
    ) -> None:
        self.data, self.config, self.directory, self.identity = data, config, directory, identity
        self.fabric, self.events = fabric, events or TrainingEvents()
        torch.manual_seed(config.seed)  # for the head's initial weights; everything else random has its own generator
        step = TrainingStep(
            model,
            config.losses,
            len(data.organs),
            last=config.last,
            limit=config.limit,
            mixed=computes_in_bfloat16(config.precision, fabric.device),
            through=config.through_rate > 0,
            start=config.start,
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
        """Take the steps that are left."""
        config = self.config
        while self.done < config.steps:
            # The state before the first whole step is validated too: the analytic linearisation, or pretrained φ.
            if self.done == config.pretraining_steps and (self.done == 0 or self.done % config.validate_every):
                self.validate()
            losses = self.advance(self.done)
            self.done += 1
            if self.fabric.is_global_zero:
                self.events.step(self.done, losses)
            last = self.done == config.steps
            if last or self.done % config.validate_every == 0:
                self.validate()
            if last or self.done % config.checkpoint_every == 0:
                self._save()
        model = self._averaged()
        model.load_state_dict(self.best["weights"])
        return Trained(model.cpu().eval(), Validation(**self.best["validation"]), self.best["step"])

    def _averaged(self) -> Model:
        """Return the model with the running mean of the weights."""
        step = self.average.module
        return step.model if isinstance(step, TrainingStep) else self.bare.model

    def advance(self, index: int) -> dict[str, float]:
        """Take one step of the optimiser; random numbers depend only on the seed, the index and the process."""
        config = self.config
        shared = np.random.default_rng((config.seed, index))  # so that the graph is equally deep on all processes
        for group in self.optimiser.param_groups:
            group["lr"] = group["highest"] * _rate(index, config, group["through"])
        counts = _counts(self.bare.model.settings, index, config, shared)
        losses: dict[str, float] = {}
        self.optimiser.zero_grad()
        rank, processes = self.fabric.global_rank, self.fabric.world_size
        spacing = self.bare.model.config.spacing
        drawn = batches(self.data, config, index, spacing, rank=rank, processes=processes)
        for number, (batch, weight) in enumerate(drawn, start=1):
            with self.fabric.no_backward_sync(self.step, enabled=number < len(drawn)):
                batch_losses = self.step(batch, counts, shared)
                total = torch.stack([value * weight for value in batch_losses.values()]).sum()
                self._check(total, index)
                self.fabric.backward(total)
            for name, value in batch_losses.items():
                losses[name] = losses.get(name, 0.0) + weight * float(value.detach())
        norm = torch.nn.utils.clip_grad_norm_([p for p in self.bare.parameters() if p.requires_grad], config.clip)
        self._check(norm, index)
        self.optimiser.step()
        self.average.update_parameters(self.bare)
        return losses

    def _check(self, value: torch.Tensor, index: int) -> None:
        """Raise :class:`TrainingError` if a loss or gradient is not finite, before it reaches the weights."""
        if not bool(torch.isfinite(value.detach())):
            where = f"; the best weights before it are in {self.directory}" if self.best else ""
            raise TrainingError(
                f"step {index + 1} of the training",
                "a loss or gradient that is not finite",
                "a finite one",
                f"lower the rate ({self.config.rate:g}) or the clip ({self.config.clip:g}){where}",
            )

    def validate(self) -> None:
        """Score the running mean of the weights; on every process, so that all of them know the best."""
        model = self._averaged()
        model.eval()
        validation = validate(model, self.data.validation, organs=self.data.organs or None)
        model.train()
        better = not self.best or validation.figure > Validation(**self.best["validation"]).figure
        if better:
            weights = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
            self.best = {"step": self.done, "validation": validation.to_json(), "weights": weights}
        if self.fabric.is_global_zero:
            self.events.validated(self.done, model, validation, better)

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

    A module lists its parameters that have one number per channel or level in `factor_parameters`.
    """
    factors = {
        id(getattr(module, name)) for module in step.modules() for name in getattr(module, "factor_parameters", ())
    }
    networks = {id(p) for network in step.networks() for p in network.parameters()}
    kinds: dict[str, list[torch.nn.Parameter]] = {"factor": [], "network": [], "rest": []}
    for parameter in step.parameters():
        kind = "factor" if id(parameter) in factors else "network" if id(parameter) in networks else "rest"
        if parameter.requires_grad:
            kinds[kind].append(parameter)
    highest = {"factor": config.factor_rate or config.rate}
    through = {"network": config.through_rate}
    return [
        {"params": chosen, "highest": highest.get(kind, config.rate), "through": through.get(kind, 1.0)}
        for kind, chosen in kinds.items()
        if chosen
    ]


def _rate(index: int, config: TrainingConfig, through: float) -> float:
    """Return the factor of the learning rate: in each part of the training a linear rise, and a cosine to zero."""
    start = config.pretraining_steps
    whole = index >= start
    done, steps = (index - start, config.steps - start) if whole else (index, start)
    rise = min(1.0, (done + 1) / max(1, config.warmup))
    return (through if whole else 1.0) * rise * (0.5 + 0.5 * math.cos(math.pi * done / steps))


def _counts(settings: Settings, index: int, config: TrainingConfig, random: np.random.Generator) -> tuple[int, ...]:
    """Draw the number of Gauss-Newton steps of every level, so that the model does not overfit to one number."""
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
