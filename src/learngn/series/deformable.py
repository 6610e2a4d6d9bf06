"""Deformable motion of the frames of a series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from learngn.arrays import as_numpy
from learngn.geometry.grid import FloatArray
from learngn.geometry.image import Image
from learngn.geometry.transform import DisplacementField, Transform, invert
from learngn.quality import Verdict
from learngn.registration import RegistrationPair, Request, Resolved, Side, prepare, resolve
from learngn.registration.placing import placed
from learngn.series.smoothing import smoothed_fields

_Field = NDArray[np.float32]
_TOLERANCE = 1e-2  # mean error of an inverse [voxel]


class DeformableMotion:
    """Displacements of all frames; see :class:`learngn.series.register.Motion`.

    Every transform is one displacement on the grid of the frames, a linear alignment included.

    Parameters
    ----------
    frames : sequence of Image
    request : Request
        Features and settings.
    """

    def __init__(self, frames: Sequence[Image], request: Request) -> None:
        self._frames, self._request, self._grid = frames, request, frames[0].grid
        zero = as_numpy(DisplacementField.zero(self._grid).data)
        self._fields: list[_Field] = [zero] * len(frames)
        self._back: list[_Field] = [zero] * len(frames)
        self.verdicts: list[Verdict | None] = [None] * len(frames)
        self.resolved: Resolved | None = None

    def align(self, number: int, reference: Image, neighbour: int) -> None:
        """Register a frame, from the motion of a frame (itself, in later rounds).

        Raises
        ------
        LearnGNError
            If the frame cannot be registered.
        """
        frame = self._frames[number]
        pair = RegistrationPair(Side.of(reference, "reference"), Side.of(frame, "frame"))
        there, _ = placed(pair, self._request, None)
        resolved = resolve(self._request, there)
        # With a linear alignment of its own, the pair does not start from the displacement of another one.
        initial = None if resolved.settings.aligns or not self._fields[neighbour].any() else self._fields[neighbour]
        found = prepare(there, resolved, same_contrast=True).register(initial=initial).of_pair(pair)
        self._fields[number] = as_numpy(found.transform.on(self._grid).displacement()).astype(np.float32)
        if found.inverse is None:
            self._back[number] = self._inverse(self._fields[number])
        else:
            self._back[number] = as_numpy(found.inverse.on(self._grid).displacement()).astype(np.float32)
        self.verdicts[number], self.resolved = found.verdict, replace(resolved, learned=None)

    def recentre(self) -> None:
        """Move the reference to the mean shape: the mean of the transforms becomes the identity."""
        mean = DisplacementField(np.mean(self._fields, axis=0), self._grid)
        out_of_mean = invert(mean, tolerance=_TOLERANCE).field
        self._fields = [self._composed(as_numpy(out_of_mean.data), field) for field in self._fields]
        self._back = [self._composed(back, as_numpy(mean.data)) for back in self._back]

    def smooth(self, weights: FloatArray) -> None:
        """Smooth the motion in time, see :func:`learngn.series.smoothing.smoother`."""
        self._fields = smoothed_fields(self._fields, weights)
        self._back = [self._inverse(field) for field in self._fields]

    def transforms(self) -> tuple[Transform, ...]:
        """Transforms from the reference to every frame."""
        return tuple(DisplacementField(field, self._grid) for field in self._fields)

    def inverses(self) -> tuple[Transform, ...]:
        """Transforms from every frame to the reference."""
        return tuple(DisplacementField(field, self._grid) for field in self._back)

    def _inverse(self, field: _Field) -> _Field:
        return as_numpy(invert(DisplacementField(field, self._grid), tolerance=_TOLERANCE).field.data)

    def _composed(self, first: _Field, second: _Field) -> _Field:
        """Return the displacement of one field followed by another."""
        chain = DisplacementField(first, self._grid).then(DisplacementField(second, self._grid))
        return as_numpy(chain.on(self._grid).displacement()).astype(np.float32)
