"""Settings that suit each kind of feature."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from learngn.settings.settings import NO_AFFINE, Settings

LABEL_FEATURES = "organ-distance"  # default features of label maps

# λ has the unit of the squared features, and scales with their weight.
_BY_FEATURE: dict[str, Callable[..., Settings]] = {
    "distance": partial(Settings, lam=(10.0, 0.5)),
    "organ-distance": partial(Settings, lam=(10.0, 0.5)),
    "labels": partial(Settings, lam=(0.3, 0.005)),
    # λ is relative to the weight of the landmarks [1/mm²] only.
    "none": partial(Settings, strides=(16, 8, 4, 2), iterations=(10, 10, 10, 5), lam=(0.1, 0.01)),
    "intensity": partial(Settings, strides=(16, 8, 4, 2, 1), iterations=(8, 8, 8, 8, 4), lam=(0.3, 0.03)),
    "mind": partial(Settings, strides=(16, 8, 4, 2, 1), iterations=(8, 8, 8, 8, 4), lam=(3.0, 0.3)),
}


def default_settings(features: str, labels: bool) -> Settings:
    """Return settings tuned for features (on the subjects listed in docs/results.md).

    Parameters
    ----------
    features : str
        Names of features; the first one determines the settings.
    labels : bool
        Whether the features compare label maps, which are assumed to be aligned; scans are not.
    """
    first = features.split(",")[0].split(":")[0]
    affine = NO_AFFINE if labels or first == "none" else "affine"
    return _BY_FEATURE.get(first, _BY_FEATURE["mind"])(features=features, affine=affine)
