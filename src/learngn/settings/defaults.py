"""Settings that suit each kind of feature."""

from __future__ import annotations

from learngn.settings.settings import Settings

LABEL_FEATURES = "organ-distance"  # default features of label maps


def default_settings(features: str, labels: bool) -> Settings:
    """Return settings tuned for features (on the subjects listed in docs/results.md).

    Parameters
    ----------
    features : str
        Names of features; the first one determines the settings.
    labels : bool
        Whether the features compare label maps, which are assumed to be aligned, whatever their names.
    """
    return Settings(features, affine="none") if labels else Settings(features)
