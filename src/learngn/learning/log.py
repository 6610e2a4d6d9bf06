"""Log of a training for TensorBoard."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from learngn.learning.trainer import TrainingEvents
from learngn.learning.validation import Validation
from learngn.model import Model, TrainableGaussNewton

LOG_NAME = "log"


def logged(directory: Path, then: TrainingEvents) -> TrainingEvents:
    """Return events that write losses and validations to ``directory/log``, and then call the events `then`."""

    @cache
    def writer() -> SummaryWriter:  # made with the first entry: a training that cannot begin leaves no log
        return SummaryWriter(str(directory / LOG_NAME))

    def step(done: int, losses: dict[str, float]) -> None:
        for name, value in losses.items():
            writer().add_scalar(f"loss/{name}", value, done)
        then.step(done, losses)

    def validated(done: int, model: Model, validation: Validation, best: bool) -> None:
        for name, value in validation.to_json().items():
            if value is not None:
                writer().add_scalar(f"validation/{name}", value, done)
        method = model.method
        if isinstance(method, TrainableGaussNewton):
            trained = method.gauss_newton
            for index in range(len(trained.levels)):
                writer().add_scalar(f"lam/{index}", float(trained.lam(index).detach()), done)
        writer().flush()
        then.validated(done, model, validation, best)

    return TrainingEvents(step, validated, then.begins, then.planned)
