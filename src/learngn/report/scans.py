"""Scans of the page: the values shown black and white, and greys of several ranges for CT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learngn.geometry.image import Image
from learngn.quality.body import CT_AIR
from learngn.report import volumes
from learngn.report.volumes import Part

Window = tuple[float, float]

# Ranges of Hounsfield units: lung, soft tissue, bone, dense bone and metal, each compressed on its own, in 256 greys.
# They overlap: the page takes soft tissue where none of the others is well inside its own range, so that no sharp edge
# spills over.
CT_RANGES: tuple[Window, ...] = ((-1024.0, -100.0), (-250.0, 350.0), (200.0, 1000.0), (800.0, 3071.0))
_THIN = 4  # one of so many slices is packed to estimate the size
_SOFT_TISSUE: Window = (-160.0, 240.0)
_LUNG: Window = (-950.0, -500.0)
_MUCH_LUNG = 0.15  # ratio of lung to denser tissue above which a scan shows the chest


@dataclass(frozen=True)
class Display:
    """What of a scan's values is shown.

    Attributes
    ----------
    group : str
        Scans of one group share a window: ``"ct"``, or ``"fixed"`` and ``"moving"``.
    window : (float, float)
        Values that are black and white at first.
    full : (float, float)
        Values that are black and white in the full range.
    ranges : tuple of (float, float)
        Ranges of values that are compressed one by one.
    """

    group: str
    window: Window
    full: Window
    ranges: tuple[Window, ...]


@dataclass(frozen=True, eq=False)
class Shown:
    """A scan on the display grid, reoriented for the page.

    Attributes
    ----------
    greys : tuple of array of uint8, shape (nz, ny, nx)
        Greys of every range of the display; (nz, ny, nx, 3) for colours.
    display : Display
    """

    greys: tuple[NDArray[np.uint8], ...]
    display: Display

    @classmethod
    def of(cls, values: NDArray[Any], display: Display) -> Shown:
        """Convert values to greys."""
        return cls(tuple(volumes.grey(values, limits) for limits in display.ranges), display)

    def estimate(self, quality: int) -> float:
        """Estimate the size when packed [bytes] from every fourth slice."""
        thin = Shown(tuple(grey[::_THIN] for grey in self.greys), self.display)
        return len(thin.packed(quality).data) * len(self.greys[0]) / len(thin.greys[0])

    def packed(self, quality: int) -> Part:
        """Pack the greys as one JPEG after another."""
        parts = [volumes.pack_scan(grey, quality) for grey in self.greys]
        spec = parts[0].spec | {
            "ranges": [
                [*limits, len(part.data)] for limits, part in zip(self.display.ranges, parts, strict=True)
            ],
            "group": self.display.group,
            "window": self.display.window,
            "full": self.display.full,
            **({"colour": True} if self.greys[0].ndim == 4 else {}),
        }  # fmt: skip
        return Part(spec, b"".join(part.data for part in parts))


def displays_of(scans: Mapping[str, Image], given: Mapping[str, Window]) -> dict[str, Display]:
    """Choose what is shown of the scans of a pair: one window for all CT, and one each for others.

    Parameters
    ----------
    scans : dict
        Scans by role: ``fixed``, ``moving`` or ``warped``.
    given : dict
        Full ranges that are known, by role ``fixed`` or ``moving``.

    Returns
    -------
    dict
        Displays by role. The moving scan has the same before and after registration.
    """
    full: dict[str, Window] = {}
    for role, image in scans.items():
        side = _side(role)
        full[role] = given.get(side) or full.get(side) or volumes.window_of(image.data[0, 0])
    ct = [role for role, image in scans.items() if float(image.data.min()) <= CT_AIR]
    found = {role: Display(_side(role), full[role], full[role], (full[role],)) for role in scans if role not in ct}
    if ct:
        whole = min(full[role][0] for role in ct), max(full[role][1] for role in ct)
        first = whole if _is_chest(scans[ct[0]]) else _SOFT_TISSUE
        found |= dict.fromkeys(ct, Display("ct", first, whole, CT_RANGES))
    return found


def display_of_colours(role: str, colour: Image) -> Display:
    """Return what is shown of a picture in colour: all values that its file can hold."""
    top = np.iinfo(colour.stored).max if colour.stored is not None else float(colour.data.max())
    full = 0.0, float(top)
    return Display(_side(role), full, full, (full,))


def _side(role: str) -> str:
    return "fixed" if role == "fixed" else "moving"


def _is_chest(image: Image) -> bool:
    values = volumes.probe(image.data[0, 0])
    lung = int(np.count_nonzero((values > _LUNG[0]) & (values < _LUNG[1])))
    return lung > _MUCH_LUNG * max(1, int(np.count_nonzero(values >= _LUNG[1])))
