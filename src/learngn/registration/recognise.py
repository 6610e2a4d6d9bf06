"""Choice of a preset for two scans, by their headers and intensities."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from learngn.arrays import as_numpy, namespace
from learngn.features import is_light
from learngn.geometry.image import Image
from learngn.interop import ImageLike, as_image
from learngn.settings import PRESETS, Preset

_AIR = -300.0  # [HU] values this low, of air, occur in CT only
_LUNG = (-950.0, -500.0)  # [HU] range of lung
_MUCH_LUNG = 0.15  # ratio of lung to denser tissue above which a scan shows the chest
_HEAD = 280.0  # [mm] longest side of a scan of the head
# A label map has few values, all integers, without large gaps between them, and large regions of one value.
_MOST_VALUES = 128
_A_BYTE, _GAPS = 255, 64  # largest label: a byte (such as a mask's 255), or this multiple of the number of labels
_FLAT = 0.6  # least fraction of the labelled voxels with a neighbour of the same value


@dataclass(frozen=True)
class Recognised:
    """A preset and the reason for its choice.

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


def recognise(fixed: ImageLike, moving: ImageLike) -> Recognised:
    """Choose a preset by the headers and intensities of two scans.

    Label maps are recognised by few integer values in large regions, CT by the values of air far below zero, the chest
    by the amount of lung relative to denser tissue, and the head by the size of the scan. The choice is displayed, and
    can be overridden.

    Parameters
    ----------
    fixed, moving : ImageLike
        Two scans; see :func:`learngn.interop.as_image`. Colour pictures are images of three channels, as
        :func:`learngn.io.read_picture` reads them.

    Raises
    ------
    LearnGNError
        If one cannot be read or converted.
    """
    fixed, moving = as_image(fixed), as_image(moving)
    if fixed.labels or (looks_like_label_map(fixed) and looks_like_label_map(moving)):
        counts = " and ".join(str(len(image.label_values)) for image in (fixed, moving))
        return Recognised(PRESETS["label-maps"], f"{counts} labels, whole numbers in regions of one value")
    if all(image.grid.ndim == 2 and image.data.shape[1] == 3 for image in (fixed, moving)):
        stained = all(is_light(image) for image in (fixed, moving))
        what = "colour pictures on a light background" if stained else "colour pictures"
        return Recognised(PRESETS["histology"], what)
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
    """Whether an image is a label map or has values of one: few integers, none below zero, in large regions.

    Parameters
    ----------
    image : Image
        A label map or a scan; a label map may have been read as a scan.
    """
    if image.labels:
        return True
    data = as_numpy(image.data)
    low, high = float(data.min()), float(data.max())
    if not (low >= 0 and 0 < high < 2**16):  # NaN fails
        return False
    whole = data.astype(np.int32, copy=False)
    if not np.array_equal(whole, data):
        return False
    values = int(np.count_nonzero(np.bincount(whole.reshape(-1))))
    if values > _MOST_VALUES or high > max(_A_BYTE, _GAPS * values):
        return False
    inside = whole[:, :, 1:] != 0
    same = (whole[:, :, 1:] == whole[:, :, :-1]) & inside
    return bool(inside.any()) and int(same.sum()) >= _FLAT * int(inside.sum())


def as_label_map(image: Image) -> Image:
    """Return an image of integer values as a label map."""
    if image.labels:
        return image
    xp = namespace(image.data)
    return replace(image, data=xp.astype(image.data, xp.int32), labels=True, stored=None)


def _is_ct(image: Image) -> bool:
    return float(image.data.min()) <= _AIR


def _lung(image: Image) -> float:
    """Return the number of voxels of the density of lung, divided by that of denser voxels."""
    lung = dense = 0
    for plane in as_numpy(image.data)[0, 0]:  # without masks of the whole scan
        lung += int(np.count_nonzero((plane > _LUNG[0]) & (plane < _LUNG[1])))
        dense += int(np.count_nonzero(plane >= _LUNG[1]))
    return lung / max(1, dense)
