"""Which preset suits two scans, told by their headers and intensities."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from learngn.geometry.image import Image
from learngn.settings import PRESETS, Preset

_AIR = -300.0  # [HU]: no scanner but CT writes such values for air
_LUNG = (-950.0, -500.0)  # [HU]
_MUCH_LUNG = 0.15  # of what is denser than lung
_HEAD = 280.0  # [mm], longest side of a scan of a head
# A label map has few values, all whole, numbered without wide gaps, and wide regions of one value.
_MOST_VALUES = 128
_A_BYTE, _GAPS = 255, 64  # largest number, of a mask for example; and as a multiple of how many labels there are
_FLAT = 0.6  # fraction of the voxels beside which lies one of the same value


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

    Label maps are told by their few whole values in wide regions, CT by its air, far below zero; the chest by how much
    of the body has the density of lung; a head by the size of the scan. The choice is shown, and can be overruled.

    Parameters
    ----------
    fixed, moving : Image
    """
    if fixed.labels or (looks_like_label_map(fixed) and looks_like_label_map(moving)):
        counts = " and ".join(str(len(image.label_values)) for image in (fixed, moving))
        return Recognised(PRESETS["label-maps"], f"{counts} labels, whole numbers in regions of one value")
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


def looks_like_label_map(image: Image) -> bool:
    """Whether an image is a label map, or has the values of one: few, whole, none below zero, in wide regions.

    Parameters
    ----------
    image : Image
        Which may have been read as a scan.
    """
    if image.labels:
        return True
    data = image.data
    low, high = (float(value) for value in data.aminmax())
    if not (low >= 0 and 0 < high < 2**16):  # NaN fails
        return False
    whole = data.to(torch.int32)
    if not torch.equal(whole.to(data.dtype), data):
        return False
    values = len(whole.flatten().bincount().nonzero())
    if values > _MOST_VALUES or high > max(_A_BYTE, _GAPS * values):
        return False
    inside = whole[:, :, 1:] != 0
    same = (whole[:, :, 1:] == whole[:, :, :-1]) & inside
    return bool(inside.any()) and float(same.sum()) >= _FLAT * float(inside.sum())


def as_label_map(image: Image) -> Image:
    """Return an image whose values are whole numbers as a label map."""
    return image if image.labels else replace(image, data=image.data.to(torch.int32), labels=True, stored=None)


def _is_ct(image: Image) -> bool:
    return float(image.data.min()) <= _AIR


def _lung(image: Image) -> float:
    """Voxels of the density of lung, as a fraction of those that are denser."""
    data = image.data.to(torch.float32)
    lung = ((data > _LUNG[0]) & (data < _LUNG[1])).sum()
    return float(lung) / max(1.0, float((data >= _LUNG[1]).sum()))
