"""Training configurations that suit a data set, tuned on training subjects (docs/results.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from learngn.features import parse_features
from learngn.io import Dataset, read_grid, read_image
from learngn.learning.config import TrainingConfig
from learngn.learning.config_file import read_config
from learngn.learning.selection import modalities_of_pairs
from learngn.registration.recognise import looks_like_label_map
from learngn.settings import LABEL_FEATURES

_SCANS = "intensity"  # features of scans: the network finds the others
_SMALL = 1_000_000  # voxels of a scan
_LARGE = 100_000  # voxels that a network sees; of stages of few cells oneDNN's bfloat16 gradients were seen to be wrong
_BRIEF = 12.0  # [min] below which a narrower network learns more
# What other scanners and protocols do to intensities.
_INTENSITIES = {"contrast": 0.3, "noise": 0.05, "blur": 1.0, "bias": 0.2, "thick": 2.0}
_WEAK = {"contrast": 0.25, "noise": 0.03, "blur": 0.5, "bias": 0.2}
# Pairs of one patient are few patients: a network that has seen few sizes and places tells the mean one.
_FEW = {"scale": 0.2, "rotation": 8.0, "smooth": 0.03, "shift": 0.1}


def config_for(
    dataset: Dataset, path: Path | None = None, *, minutes: float | None = None, **given: Any
) -> TrainingConfig:
    """Return a configuration for a data set: the values of a file and those given, otherwise values that suit the data.

    Parameters
    ----------
    dataset : Dataset
    path : Path, optional
    minutes : float, optional
        Time for the training, for which the width of the network is chosen.
    **given
        See :func:`learngn.learning.config_file.read_config`.

    Raises
    ------
    LearnGNError
        If the configuration is invalid (:func:`learngn.learning.config_file.read_config`), a feature is unknown, or a
        scan cannot be read.
    """
    first = read_config(path, defaults={"features": given.get("features") or _features(dataset)}, **given)
    return read_config(path, defaults=_suited(dataset, first.features, minutes), **given)


def _voxels(dataset: Dataset) -> int:
    """Return the number of voxels of the first scan."""
    return read_grid(dataset.training[0].image).size if dataset.training else 0


def _features(dataset: Dataset) -> str:
    """Return the features that suit what the data set registers, label maps or scans."""
    if not dataset.training:
        return LABEL_FEATURES
    return LABEL_FEATURES if looks_like_label_map(read_image(dataset.training[0].image)) else _SCANS


def _suited(dataset: Dataset, features: str, minutes: float | None) -> dict[str, Any]:
    """Return the values that differ from the defaults of :class:`TrainingConfig`."""
    feature = parse_features(features)
    flat, scans = dataset.ndim == 2, not feature.traits.reads_labels
    two = bool(modalities_of_pairs(dataset.training_pairs or dataset.validation))
    wide = minutes is None or minutes > _BRIEF
    # A network that sees every voxel learns boundaries from a quarter of the scans, at three times the cost of a step.
    fine = flat or (scans and _voxels(dataset) < _SMALL)
    suited: dict[str, Any] = {
        "features": features,
        "network": {
            "stem": 1 if fine else 2,
            "width": 16 if fine or not wide else 24,
            "depth": 4 if flat else 3,
            "widest": 64 if fine else 96,
            # Distances of the whole foreground draw organs onto their neighbours; distances of single organs do not.
            "keep_input": feature.parts[0][0].traits.by_organ,
            "profiles": True,
            "trim": scans,
        },
        "batch": 3 if flat else 1,
        "steps": 1600 if flat else 1500,
        "rate": 3e-3,
        "pretraining": 0.85,
        "through_rate": 0.05,
        "factor_rate": 0.02,
        "validation": max(3, min(10, len(dataset.training_pairs or dataset.training) // 10)),
        "losses": {"labels": 1.0, "auxiliary": 1.0, "distances": 0.3, "stride": 2.0 if flat or scans else 4.0},
    }
    if fine and not flat and not two:
        # Steps through Gauss-Newton cost three of such a network alone, and what it learns there is worth more; without
        # a price for deformation φ learns to outweigh λ.
        suited |= {"pretraining": 0.45, "through_rate": 0.3}
        suited["losses"] |= {"smoothness": 0.5}
    if two:
        # The scans of two modalities seldom lie on one another, and a boundary is all that they surely share.
        suited |= {"pose": "translation", "rate": 1e-3, "batch": 2, "through_rate": 0.3}
        # Listed pairs show one patient each, whose organs are shifted rather than deformed.
        suited["lam"] = (30.0, 1.0) if dataset.training_pairs else (1.0, 0.03)
        suited["network"] |= {"positions": False, "widest": 128}
        if fine and not flat:
            # Half the resolution shows an organ as well, and in the same time eight times as many scans teach φ more.
            suited["network"] |= {"pool": 2}
            suited |= {"steps": 3600, "pretraining": 1.0}
        if any(pair.fixed.landmarks is not None for pair in dataset.training_pairs):
            suited["losses"] |= {"landmarks": 0.03}
    if scans and feature.traits.reads_intensities:
        suited["augmentation"] = {**_FEW, **_WEAK} if two else _INTENSITIES
    if not flat and _voxels(dataset) >= _LARGE * suited["network"].get("pool", 1) ** dataset.ndim:
        suited["precision"] = "auto"
    if not flat and not scans:
        suited["finest"] = 4.0
    return suited
