"""Settings by what is registered: anatomy and modality, named or recognised."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from learngn.errors import SettingsError
from learngn.image import Image
from learngn.settings import Settings, default_settings

_AIR = -300.0  # [HU]: no scanner but CT writes such values for air
_LUNG = (-950.0, -500.0)  # [HU]
_MUCH_LUNG = 0.15  # of what is denser than lung
_HEAD = 280.0  # [mm], longest side of a scan of a head


@dataclass(frozen=True)
class Preset:
    """Settings for one kind of pair.

    Attributes
    ----------
    name : str
    suits : str
        For people.
    settings : Settings
    """

    name: str
    suits: str
    settings: Settings


def _scans(features: str, **changes: object) -> Settings:
    return replace(default_settings(features, labels=False), **changes)  # type: ignore[arg-type]


# docs/results.md says on which subjects these were tuned.
_STRIDES = (16, 8, 4, 2, 1)
# Of the trunk: fields of view end where the scanner was told to; breath and build displace far.
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
# Slices are thick: a level of the finest spacing would gain little for most of the work.
_BODY_MR = _scans(
    "mind-multi,intensity:20",
    strides=_STRIDES[:-1],
    iterations=(16, 16, 16, 8),
    lam=(1.5, 0.2),
    overlap=True,
    discrete=True,
)
_PLANE = _scans("mind-multi,intensity:20", strides=_STRIDES, iterations=(16, 16, 16, 16, 8), lam=(1.5, 0.15))
PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset("abdomen-ct", "CT of the abdomen", _CT),
        Preset("thorax-ct", "CT of the chest, between patients or breaths", _CT),
        Preset("abdomen-mr", "MR of the abdomen", _BODY_MR),
        Preset("brain-mr", "MR of the head or of a part of it", _BRAIN_MR),
        Preset("ct-mr", "scans of different modalities", _scans("mind-multi")),
        Preset("2d", "2D scans", _PLANE),
    )
}


@dataclass(frozen=True)
class Recognised:
    """A preset and what speaks for it.

    Attributes
    ----------
    preset : Preset
    because : str
        For people.
    """

    preset: Preset
    because: str

    def to_json(self) -> dict[str, str]:
        """For JSON."""
        return {"name": self.preset.name, "because": self.because}


def preset(name: str) -> Preset:
    """The preset of a name.

    Raises
    ------
    SettingsError
        If there is none.
    """
    if name not in PRESETS:
        raise SettingsError("preset", repr(name), f"one of {', '.join(PRESETS)}", "mend --preset")
    return PRESETS[name]


def recognise(fixed: Image, moving: Image) -> Recognised:
    """Choose a preset by headers and intensities of two scans.

    CT is told by its air, far below zero; the chest by how much of the body has the density of lung; a head by the size
    of the scan. Which one was chosen is shown, and can be overruled.

    Parameters
    ----------
    fixed, moving : Image
    """
    if fixed.grid.ndim == 2:
        return Recognised(PRESETS["2d"], "the scans are 2D")
    ct = _is_ct(fixed), _is_ct(moving)
    if ct[0] != ct[1]:
        sides = ("CT", "not") if ct[0] else ("not", "CT")
        return Recognised(PRESETS["ct-mr"], f"the fixed scan is {sides[0]}, the moving one {sides[1]}")
    if all(ct):
        lung = _lung(fixed)
        name = "thorax-ct" if lung > _MUCH_LUNG else "abdomen-ct"
        return Recognised(PRESETS[name], f"Hounsfield units, {lung:.0%} lung")
    longest = float(fixed.grid.extent.max())
    name = "brain-mr" if longest <= _HEAD else "abdomen-mr"
    return Recognised(PRESETS[name], f"no Hounsfield units, {longest:.0f} mm long")


def _is_ct(image: Image) -> bool:
    return float(image.data.min()) <= _AIR


def _lung(image: Image) -> float:
    """Voxels of the density of lung, as a fraction of those that are denser."""
    data = image.data.to(torch.float32)
    lung = ((data > _LUNG[0]) & (data < _LUNG[1])).sum()
    return float(lung) / max(1.0, float((data >= _LUNG[1]).sum()))
