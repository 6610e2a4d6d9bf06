"""Number of steps that a time budget allows: a few steps are timed before the training."""

from __future__ import annotations

import copy
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from lightning_fabric import Fabric

from learngn.io import parse_json, write_json
from learngn.learning.config import TrainingConfig
from learngn.learning.data import TrainingData
from learngn.learning.trainer import TrainingLoop
from learngn.model import Model

BUDGET_NAME = "budget.json"
_TIMED = 4  # steps of each kind, the first of which is not counted
_RESERVE = 0.9  # fraction of the time that is planned
_VALIDATIONS = 8  # of a training


@dataclass(frozen=True)
class Speed:
    """Seconds of the parts of a training.

    Attributes
    ----------
    alone : float
        Of a step of φ alone.
    whole : float
        Of a whole step.
    validation : float
        Of a validation.
    """

    alone: float
    whole: float
    validation: float


def measured(model: Model, data: TrainingData, config: TrainingConfig, fabric: Fabric) -> Speed:
    """Time a few steps of a copy of a model."""
    alone = _timed(model, data, config, fabric, first=0) if config.pretraining_steps else 0.0
    whole = config.pretraining_steps < config.steps
    through = _timed(model, data, config, fabric, first=config.steps - _TIMED) if whole else 0.0
    with tempfile.TemporaryDirectory() as folder:
        loop = TrainingLoop(copy.deepcopy(model), data, config, Path(folder), fabric, "")
        loop.validate()  # the first one compiles
        start = time.perf_counter()
        loop.validate()
        return Speed(alone, through, time.perf_counter() - start)


def _timed(model: Model, data: TrainingData, config: TrainingConfig, fabric: Fabric, first: int) -> float:
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        loop = TrainingLoop(copy.deepcopy(model), data, config, Path(folder), fabric, "")
        for index in range(max(0, first), max(0, first) + _TIMED):
            start = time.perf_counter()
            loop.advance(index)
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def within(config: TrainingConfig, seconds: float, speed: Speed) -> TrainingConfig:
    """Return the configuration with as many steps as a time allows, one at least, and validations spread over them.

    Parameters
    ----------
    config : TrainingConfig
    seconds : float
        Time for the steps and validations.
    speed : Speed
    """
    share = config.pretraining if config.teaches_features else 0.0
    step = share * speed.alone + (1 - share) * speed.whole
    choices = len(config.lam_factors) * (2 if 0 < share < 1 else 1)  # of λ: before the first whole step and at the end
    left = _RESERVE * seconds - (_VALIDATIONS + choices) * speed.validation
    steps = max(1, int(left / max(step, 1e-9)))
    every = max(1, -(-steps // _VALIDATIONS))
    return config.model_copy(update={"steps": steps, "validate_every": every})


def kept_steps(directory: Path, minutes: float, config: TrainingConfig) -> TrainingConfig | None:
    """Return the configuration that an earlier call with the same budget has chosen; None if there is none."""
    try:
        stored = parse_json((directory / BUDGET_NAME).read_text(encoding="utf-8"))
        same = stored["minutes"] == minutes and stored["config"] == config.model_dump(mode="json")
        values = {"steps": int(stored["steps"]), "validate_every": int(stored["validate_every"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return config.model_copy(update=values) if same else None


def keep_steps(directory: Path, minutes: float, config: TrainingConfig, chosen: TrainingConfig) -> None:
    """Write the choice, so that an interrupted training goes on with the same number of steps."""
    directory.mkdir(parents=True, exist_ok=True)
    values = {"minutes": minutes, "config": config.model_dump(mode="json")}
    write_json({**values, "steps": chosen.steps, "validate_every": chosen.validate_every}, directory / BUDGET_NAME)
