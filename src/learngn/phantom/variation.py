"""Differences of a subject from the mean anatomy: pose, size, a smooth deformation, organs, fat, brightness."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from learngn.phantom.anatomy import BODY, Organ
from learngn.phantom.shapes import Array, Coordinates, Shape

_WAVES = 14


class Subject:
    """Random differences of one subject from the mean anatomy.

    Parameters
    ----------
    draw : numpy.random.Generator
        Random number generator.
    variation : float
        Factor of all differences; 0 is the mean anatomy.
    """

    def __init__(self, draw: np.random.Generator, variation: float) -> None:
        def normal(deviation: float | Sequence[float], size: int) -> Array:
            return np.asarray(draw.normal(0, deviation, size) * variation, dtype=np.float32)

        self.offset = normal(4, 3)  # shift of the field of view [mm]
        self._shift, self._turn = normal((4, 4, 6), 3), np.deg2rad(normal(2.5, 1))
        self._scale = np.exp(normal(0.04, 3))
        self._amplitude = normal(3.4, 3 * _WAVES).reshape(3, _WAVES)
        self._frequency = draw.uniform(-1, 1, (3, _WAVES, 3)) * (2 * np.pi / 220)
        self._phase = draw.uniform(0, 2 * np.pi, (3, _WAVES, 3))
        self.fat = 17.0 * float(np.exp(normal(0.25, 1)[0]))  # thickness of the fat under the skin [mm]
        self.brightness = {organ.label: float(normal(6, 1)[0]) for organ in BODY}  # difference of the intensity [HU]
        groups = sorted({organ.group for organ in BODY})
        self._moves = {group: (normal(3, 3), float(np.exp(normal(0.09, 1)[0]))) for group in groups}

    def vary(self, organ: Organ, shape: Shape) -> Shape:
        """Return an organ's shape in this subject."""
        shift, scale = self._moves[organ.group]
        return shape.varied(shift, scale)

    def coordinates(self, axes: Sequence[Array]) -> Coordinates:
        """Map the voxels at world coordinates `axes` (along R, A, S) to their positions in the mean anatomy [mm].

        The map is an affine map plus a sum of smooth waves; a wave is a product of three cosines, so that the sum over
        all voxels is one matrix product.
        """
        size = tuple(len(axis) for axis in axes)
        x, y, z = (axis - shift for axis, shift in zip(axes, self._shift, strict=True))
        x, y, z = x[:, None, None], y[None, :, None], z[None, None, :]
        cos, sin = np.cos(self._turn), np.sin(self._turn)
        bent = []
        for k, straight in enumerate((cos * x - sin * y, sin * x + cos * y, z)):
            a, b, c = (
                np.cos(np.outer(self._frequency[k, :, d], axes[d]) + self._phase[k, :, d, None]) for d in range(3)
            )
            planes = (b[:, :, None] * c[:, None, :]).reshape(_WAVES, -1).astype(np.float32)
            wave = (a * self._amplitude[k, :, None]).T.astype(np.float32) @ planes
            bent.append(np.asarray(straight / self._scale[k] + wave.reshape(size), dtype=np.float32))
        return bent[0], bent[1], bent[2]
