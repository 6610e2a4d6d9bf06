"""Which preset suits two scans, told by their headers and intensities."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from learngn.geometry.image import Image
from learngn.settings import PRESETS, Preset

_AIR = -300.0  # [HU]: no scanner but CT writes such values for air
_LUNG = (-950.0, -500.0)  # [HU]
_MUCH_LUNG = 0.15  # of what is denser than lung
_HEAD = 280.0  # [mm], longest side of a scan of a head


@dataclass(frozen=True)
class Recognised:
    """A preset and why it was chosen.

    Attributes
    ----------
    preset : Preset
    because : str
        The reason, in words.
    """

    preset: Preset
    because: str

    def to_json(self) -> dict[str, str]:
        """Return values for JSON."""
        return {"name": self.preset.name, "because": self.because}


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
