"""Schedule of a training: learning rates of its parts, and Gauss-Newton steps of every level."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from learngn.learning.config import TrainingConfig
from learngn.learning.training_step import TrainingStep
from learngn.settings import Settings


def parameter_groups(step: TrainingStep, config: TrainingConfig) -> list[dict[str, Any]]:
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


def rate_factor(index: int, config: TrainingConfig, through: float) -> float:
    """Return the factor of the learning rate: in each part of the training a linear rise, and a cosine to zero."""
    start = config.pretraining_steps
    whole = index >= start
    done, steps = (index - start, config.steps - start) if whole else (index, start)
    rise = min(1.0, (done + 1) / max(1, config.warmup))
    return (through if whole else 1.0) * rise * (0.5 + 0.5 * math.cos(math.pi * done / steps))


def step_counts(settings: Settings, index: int, config: TrainingConfig, random: np.random.Generator) -> tuple[int, ...]:
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
