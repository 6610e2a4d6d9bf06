"""Presets: settings by anatomy and modality."""

from __future__ import annotations

from dataclasses import dataclass, replace

from learngn.errors import SettingsError
from learngn.settings.defaults import LABEL_FEATURES, default_settings
from learngn.settings.settings import Settings


@dataclass(frozen=True)
class Preset:
    """Settings for one kind of pair.

    Attributes
    ----------
    name : str
    suits : str
        Kind of scans, as text.
    settings : Settings
    """

    name: str
    suits: str
    settings: Settings


def _scans(features: str, **changes: object) -> Settings:
    return replace(default_settings(features, labels=False), **changes)  # type: ignore[arg-type]


# docs/results.md lists the subjects on which these were tuned.
_STRIDES = (16, 8, 4, 2, 1)
# The trunk: fields of view differ, and respiration and anatomy cause large displacements.
_CT = _scans(
    "mind-centre,intensity:20",
    strides=_STRIDES,
    iterations=(8, 8, 8, 8, 3),
    lam=(1.5, 0.15),
    overlap=True,
    discrete=True,
)
_BRAIN_MR = _scans(
    "mind-multi,intensity:10", strides=_STRIDES, iterations=(16, 16, 16, 16, 8), lam=(1.7, 0.12), robust="huber:0.5"
)
# Slices are thick: a level of the finest spacing would gain little, and take most of the time.
_BODY_MR = _scans(
    "mind-multi,intensity:20",
    strides=_STRIDES[:-1],
    iterations=(16, 16, 16, 8),
    lam=(1.5, 0.2),
    overlap=True,
    discrete=True,
    symmetric=True,
)
_PLANE = _scans("mind-multi,intensity:20", strides=_STRIDES, iterations=(16, 16, 16, 16, 8), lam=(1.5, 0.15))
# Contrasts of two stains differ: directions of edges, in texture of several sizes, are what they share.
_STAINS = _scans("ngf-multi", strides=_STRIDES, iterations=(16, 16, 16, 8, 4), lam=(3.0, 0.5))
PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset("abdomen-ct", "CT of the abdomen", _CT),
        Preset("thorax-ct", "CT of the chest, between patients or breaths", _CT),
        Preset("abdomen-mr", "MR of the abdomen", _BODY_MR),
        Preset("brain-mr", "MR of the head or of a part of it", _BRAIN_MR),
        Preset("ct-mr", "scans of different modalities", _scans("mind-multi")),
        Preset("2d", "2D scans", _PLANE),
        Preset("histology", "colour pictures: stained sections, photographs", _STAINS),
        Preset(
            "label-maps", "label maps that are registered themselves", default_settings(LABEL_FEATURES, labels=True)
        ),
    )
}


def preset(name: str) -> Preset:
    """Return a preset by its name.

    Raises
    ------
    SettingsError
        If there is no such preset.
    """
    if name not in PRESETS:
        raise SettingsError("preset", repr(name), f"one of {', '.join(PRESETS)}", "name one of these")
    return PRESETS[name]
