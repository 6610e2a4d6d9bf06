"""Training configurations that suit a data set, tuned on training subjects (docs/results.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from learngn.features import parse_features
from learngn.io import Dataset
from learngn.learning.config import TrainingConfig
from learngn.learning.config_file import read_config
from learngn.settings import LABEL_FEATURES

_CHANNELS = 12  # channels of φ for a data set without named labels


def config_for(dataset: Dataset, path: Path | None = None, **given: Any) -> TrainingConfig:
    """Return a configuration for a data set: the values of a file and those given, otherwise values that suit the data.

    Parameters
    ----------
    dataset : Dataset
    path : Path, optional
    **given
        See :func:`learngn.learning.config_file.read_config`.

    Raises
    ------
    LearnGNError
        If the configuration is invalid (:func:`learngn.learning.config_file.read_config`), or a feature is unknown.
    """
    first = read_config(path, defaults={"features": LABEL_FEATURES}, **given)
    return read_config(path, defaults=_suited(dataset, first.features), **given)


def _suited(dataset: Dataset, features: str) -> dict[str, Any]:
    """Return the values that differ from the defaults of :class:`TrainingConfig`."""
    feature = parse_features(features)
    flat, scans = dataset.ndim == 2, not feature.traits.reads_labels
    suited: dict[str, Any] = {
        "features": features,
        "network": {
            "out_channels": len(dataset.label_names) or _CHANNELS,
            "depth": 4 if flat else 3,
            "widest": 64 if flat else 96,
            # Distances of the whole foreground draw organs onto their neighbours; distances of single organs do not.
            "keep_input": feature.parts[0][0].traits.by_organ,
        },
        "batch": 3 if flat else 1,
        "steps": 1600 if flat else 700,
        "losses": {"stride": 2.0 if flat or scans else 4.0},
        "augmentation": {"contrast": 0.2 if scans else 0.0},
    }
    if not flat and not scans:
        suited["finest"] = 4.0
    return suited
