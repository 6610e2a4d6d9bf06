"""Dose-volume numbers and curves of structures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from learngn.arrays import as_numpy
from learngn.geometry import sampling
from learngn.geometry.grid import FloatArray
from learngn.geometry.image import Image
from learngn.radiotherapy.solid import Solid

PERCENT = (98.0, 95.0, 50.0, 2.0)
"""Percentages x of the volume for which D_x is computed; D_98 and D_2 are the near minimum and maximum of ICRU 83."""

_SAMPLES = 100_000  # points in a structure, about
_FINEST, _COARSEST = 0.25, 4.0  # distance of the points [mm]
_NEAR = 5.0  # distance to the boundary up to which layers between contours are interpolated [mm]
_SHIFT = np.array([0.7548777, 0.5698403])  # multiples of it are spread evenly over a square
_CURVE = 60  # points of a curve


@dataclass(frozen=True, eq=False)
class DoseVolume:
    """Dose in a structure.

    Attributes
    ----------
    volume : float
        [cm³]
    mean, minimum, maximum : float
        [Gy]
    at_percent : dict
        D_x, the least dose that the hottest x % of the volume receive [Gy], by x.
    above : dict
        V_d, the part of the volume that receives at least the dose d [%], by d in Gy.
    curve : array, shape (2, n)
        Doses [Gy], and the part of the volume that receives at least as much [%].
    outside : float
        Part of the volume outside the grid of the dose, where it counts as 0 [%].
    """

    volume: float
    mean: float
    minimum: float
    maximum: float
    at_percent: dict[float, float]
    above: dict[float, float]
    curve: FloatArray
    outside: float

    def to_json(self) -> dict[str, Any]:
        """Return the numbers for ``metrics.json``."""
        return {
            "volume_cm3": round(self.volume, 4),
            "mean": round(self.mean, 4),
            "min": round(self.minimum, 4),
            "max": round(self.maximum, 4),
            **{f"d{percent:g}": round(dose, 4) for percent, dose in self.at_percent.items()},
            **{f"v{level:g}": round(part, 3) for level, part in self.above.items()},
            "outside_percent": round(self.outside, 3),
            "curve": [[round(float(x), 3) for x in row] for row in self.curve],
        }


def dose_volume(solid: Solid, dose: Image, levels: Sequence[float] = (20.0,)) -> DoseVolume:
    """Compute the dose in a structure from about 100,000 points in it, with linear interpolation of the dose.

    Parameters
    ----------
    solid : Solid
    dose : Image
        Dose in the world of the structure [Gy].
    levels : sequence of float
        Doses d of V_d [Gy].
    """
    values, weights, outside = (np.concatenate(parts) for parts in zip(*_samples(solid, dose), strict=True))
    order = np.argsort(-values)
    values, weights = values[order], weights[order]
    part = np.cumsum(weights)
    part /= part[-1]
    last = len(values) - 1
    at_percent = {x: float(values[min(int(np.searchsorted(part, x / 100)), last)]) for x in PERCENT}

    def above(level: float) -> float:
        count = int(np.searchsorted(-values, -level, side="right"))
        return 100 * float(part[count - 1]) if count else 0.0

    doses = np.linspace(0, max(float(values[0]), 1e-6), _CURVE)
    return DoseVolume(
        solid.volume / 1000,
        float(np.average(values, weights=weights)),
        float(values[-1]),
        float(values[0]),
        at_percent,
        {float(level): above(level) for level in levels},
        np.array([doses, [above(level) for level in doses]]),
        100 * float(np.average(outside[order], weights=weights)),
    )


def _samples(solid: Solid, dose: Image) -> Iterator[tuple[FloatArray, FloatArray, FloatArray]]:
    """Yield dose, weight, and whether they lie outside its grid, of the points of each layer of a structure."""
    step = float(np.clip((solid.volume / _SAMPLES) ** (1 / 3), _FINEST, _COARSEST))
    data = as_numpy(dose.data)[:, 0:1]
    low, high = solid.bounds[0, :2] - step, solid.bounds[1, :2] + step
    axes = [np.arange(start, stop, step) for start, stop in zip(low, high, strict=True)]
    flat = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    sizes = np.asarray(dose.grid.shape)
    for number, (place, thickness) in enumerate(solid.layers(step)):
        # Each layer's points are shifted, so that straight walls do not meet all of them at the same time.
        shifted = flat + step * (number * _SHIFT % 1)
        local = np.column_stack([shifted, np.full(len(flat), place)])
        local = local[solid.inside(local, within=max(2 * step, _NEAR)) > 0]
        index = dose.grid.world_to_index(local @ solid.axes.T)
        outside = ((index < -0.5) | (index > sizes - 0.5)).any(-1)
        values = np.asarray(sampling.sample_points(data, index, outside=0.0)[:, 0], dtype=np.float64)
        yield values, np.full(len(values), thickness), np.asarray(outside, dtype=np.float64)
