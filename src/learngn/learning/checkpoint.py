"""Checkpoints: the state of a training in a file, from which an interrupted training resumes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from learngn.errors import TrainingError
from learngn.io import atomic_path

CHECKPOINT_NAME = "checkpoint.pt"


@dataclass(frozen=True)
class Checkpoint:
    """State of a training: everything that the next step depends on.

    Attributes
    ----------
    step : int
        Steps done.
    identity : str
        Hash of the configuration and the data; only the same training resumes from this checkpoint.
    weights, optimiser, average : dict
        States of the training step, of AdamW and of the running mean.
    best : dict
        Step, validation and weights of the best model so far; empty before the first validation.
    """

    step: int
    identity: str
    weights: dict[str, Any]
    optimiser: dict[str, Any]
    average: dict[str, Any]
    best: dict[str, Any]


def write_checkpoint(checkpoint: Checkpoint, directory: Path) -> None:
    """Write a checkpoint atomically."""
    with atomic_path(directory / CHECKPOINT_NAME) as temporary:
        torch.save(vars(checkpoint), temporary)


def read_checkpoint(directory: Path, identity: str) -> Checkpoint | None:
    """Read the checkpoint of a training; return None if there is none.

    Raises
    ------
    TrainingError
        If the file is damaged, or belongs to another training.
    """
    path = directory / CHECKPOINT_NAME
    if not path.exists():
        return None
    try:
        # Only tensors and plain values are loaded: reading runs no code.
        state = Checkpoint(**torch.load(path, weights_only=True, map_location="cpu"))
    except Exception as failure:  # for a damaged file the unpickler raises exceptions of many kinds
        raise TrainingError(
            f"checkpoint {path}", "a broken file", "what learngn train has written", "delete it to begin anew"
        ) from failure
    if state.identity != identity:
        raise TrainingError(
            f"checkpoint {path}",
            "the state of a training with another configuration or other data",
            "the same as now",
            "name another folder, or delete this file to begin anew",
        )
    return state
