"""Training loop: draw pairs, take a step, validate, keep the best weights; resume from a checkpoint."""

from __future__ import annotations

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
from learngn.learning.regularisation_weight import multiply_lam, suited_factor
from learngn.learning.schedule import parameter_groups, rate_factor, step_counts
from learngn.learning.training_step import TrainingStep
from learngn.learning.validation import Validation, validate
from learngn.model import Model


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
        optimiser = torch.optim.AdamW(parameter_groups(step, config), lr=config.rate, weight_decay=config.weight_decay)
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
            if self.done == config.pretraining_steps:
                validation = self.validate()
                if self.done and config.learn_lam:
                    self._suit_lam(validation)
            losses = self.advance(self.done)
            self.done += 1
            if self.fabric.is_global_zero:
                self.events.step(self.done, losses)
            last = self.done == config.steps
            if last or (self.done % config.validate_every == 0 and self.done != config.pretraining_steps):
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
            group["lr"] = group["highest"] * rate_factor(index, config, group["through"])
        counts = step_counts(self.bare.model.settings, index, config, shared)
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

    def _suit_lam(self, known: Validation) -> None:
        """Choose λ for φ as it is now, before whole steps, which would teach φ to make up for a wrong one."""
        model = self._averaged().eval()
        factors, organs = self.config.lam_factors, self.data.organs or None
        factor, found = suited_factor(model, known, self.data.validation, factors, organs)
        for one in (model.train(), self.bare.model):
            multiply_lam(one, factor)
        if factor != 1:
            self._record(found)

    def validate(self) -> Validation:
        """Score the running mean of the weights; on every process, so that all of them know the best."""
        model = self._averaged().eval()
        validation = validate(model, self.data.validation, organs=self.data.organs or None)
        model.train()
        self._record(validation)
        return validation

    def _record(self, validation: Validation) -> None:
        """Keep the running mean of the weights if it is the best; tell those who follow."""
        model = self._averaged()
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
