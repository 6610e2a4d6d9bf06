"""Levels and λ that suit each kind of feature: the defaults of all settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OF_LABELS = ("distance", "organ-distance", "labels")
"""Features that compare label maps, which are assumed to be aligned; scans are not."""

_SCANS = {"strides": (16.0, 8.0, 4.0, 2.0, 1.0), "iterations": (8, 8, 8, 8, 4)}
_ORGANS = {"strides": (16.0, 8.0, 4.0, 2.0), "iterations": (4, 5, 5, 5)}
# Tuned on the subjects listed in docs/results.md. λ has the unit of the squared features, and scales with their weight.
_BY_FEATURE: dict[str, dict[str, Any]] = {
    "distance": {**_ORGANS, "lam": (10.0, 0.5)},
    "organ-distance": {**_ORGANS, "lam": (10.0, 0.5)},
    "labels": {**_ORGANS, "lam": (0.3, 0.005)},
    # λ is relative to the weight of the landmarks [1/mm²] only.
    "none": {"strides": (16.0, 8.0, 4.0, 2.0), "iterations": (10, 10, 10, 5), "lam": (0.1, 0.01)},
    "intensity": {**_SCANS, "lam": (0.3, 0.03)},
    "mind": {**_SCANS, "lam": (3.0, 0.3)},
}


def suited(features: str) -> dict[str, Any]:
    """Return the linear maps, strides, iterations and λ that suit features, by the names of the settings.

    Parameters
    ----------
    features : str
        Names of features; the first one determines the values.
    """
    first = features.split(",")[0].split(":")[0]
    affine = "none" if first in (*OF_LABELS, "none") else "affine"
    return {"affine": affine, **_BY_FEATURE.get(first, _BY_FEATURE["mind"])}


def completed(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return given values of settings, completed by those that suit the features.

    Strides without iterations get those of the same levels, and further levels those of the last one.
    """
    features = given.get("features")
    if not isinstance(features, str):
        return dict(given)
    values = {**suited(features), **given}
    if "strides" in given and "iterations" not in given:
        values["iterations"] = iterations_for(values["strides"], values["iterations"])
    return values


def iterations_for(strides: Any, known: tuple[int, ...]) -> tuple[int, ...]:
    """Return the iterations of as many levels as there are strides: those known, then the last of these again."""
    try:
        levels = len(strides)
    except TypeError:  # refused when it is validated
        return known
    return (known + known[-1:] * levels)[:levels]
