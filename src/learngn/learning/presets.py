"""Configurations that suit a data set, measured on training subjects (docs/results.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from learngn._defaults import LABEL_FEATURES
from learngn.learning.config import TrainingConfig
from learngn.learning.files import read_config


def config_for(ndim: int, path: Path | None = None, **given: Any) -> TrainingConfig:
    """Configuration for scans of a dimension: that of a file, with the values given, the rest at what suits.

    Parameters
    ----------
    ndim : int
    path : Path, optional
    **given
        As of :func:`learngn.learning.files.read_config`.
    """
    return read_config(path, defaults={"features": LABEL_FEATURES}, **given)
