"""Evidence for a linear map: its fit against that of the headers' position, and how rare the map is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from learngn.arrays import undifferentiated
from learngn.geometry.grid import FloatArray
from learngn.geometry.image import Image
from learngn.geometry.transform import Affine, Transform
from learngn.quality.coarse import CoarsePair, Compared
from learngn.quality.deformation import LinearPart

# On the training pairs of ProstateMRUS, whose modalities share no patterns, the search finds agreements up to .28 by
# chance, at maps that cost at least .02; scans of one modality agree by .45 and more (docs/quality.md).
_EVIDENCE = {2: 0.15, 3: 0.25}  # least agreement of patterns, less the cost of the map, that is more than chance
_COST = 0.1  # agreement that a map must gain for a rarity of one
_MOST_COST = 0.2
_TURN, _SCALE, _STRETCH = 20.0, 0.2, 0.2  # [degree], and logarithms: standard deviations of maps between scans
_COVERED = 0.2  # agreement that a map must gain for leaving the whole body without a partner
_OVERLAP = 0.3  # least fraction of the smaller body that the headers must cover for their position to be kept
# Losses of fit that coarse grids tell from none: what a displacement gains in detail, they do not show.
_LOSSES = {"patterns": 0.02, "local": 0.02, "information": 0.01}


@dataclass(frozen=True, eq=False)
class Evidence:
    """Fit of a pair in the headers' position and after the linear map.

    Attributes
    ----------
    pair : CoarsePair
    matrix : array, shape (D+1, D+1)
        The map of the linear stage, fixed RAS mm to moving RAS mm.
    before, linear : dict
        Fit of both, see :meth:`learngn.quality.coarse.CoarsePair.fit`.
    aligned : Compared
        The moving scan after the linear map.
    """

    pair: CoarsePair
    matrix: FloatArray
    before: Mapping[str, float]
    linear: Mapping[str, float]
    aligned: Compared = field(repr=False)

    @classmethod
    def of(cls, pair: CoarsePair, matrix: FloatArray) -> Evidence:
        """Compare a pair in the headers' position, and after a linear map."""
        identity = np.eye(pair.grid.ndim + 1)
        there = pair.compared(Affine(identity))
        before = pair.fit(there)
        if np.array_equal(matrix, identity):
            return cls(pair, matrix, before, before, there)
        aligned = pair.compared(Affine(matrix))
        return cls(pair, matrix, before, pair.fit(aligned), aligned)

    @property
    def supported(self) -> bool:
        """Whether the scans agree by more than chance after the linear map."""
        return self.pair.fixed.image.labels or self._net >= _EVIDENCE[self.pair.grid.ndim]

    @property
    def header_better(self) -> bool:
        """Whether the headers' position is to be kept instead of the linear map.

        It is if the map has found nothing but chance, or agrees no better, and the scans overlap without it.
        """
        if self.pair.fixed.image.labels or self.before["overlap"] < _OVERLAP:
            return False
        return not self.supported or _fits_worse(self.linear, self.before)

    def fit(self, transform: Transform) -> dict[str, float]:
        """Return the fit of a result."""
        return self.pair.fit(self.pair.compared(transform))

    def worsened(self, after: Mapping[str, float], start: Mapping[str, float] | None = None) -> bool:
        """Whether a result fits worse than a start, by default the linear map alone, in most measures."""
        start = self.linear if start is None else start
        if self.pair.fixed.image.labels:
            return after["labels"] < start["labels"]
        return _fits_worse(after, start)

    def unmoved(self) -> Evidence:
        """Return what speaks for the headers' position."""
        return Evidence.of(self.pair, np.eye(self.pair.grid.ndim + 1))

    @property
    def _net(self) -> float:
        part = LinearPart.of(self.matrix)
        rarity = ((part.turn / _TURN) ** 2 + (part.scale / _SCALE) ** 2 + (part.stretch / _STRETCH) ** 2) / 2
        lost = max(0.0, self.before["overlap"] - self.linear["overlap"])
        return self.linear["patterns"] - min(_COST * rarity, _MOST_COST) - _COVERED * lost


def _fits_worse(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    """Whether a fit is worse than another one in most measures; not if neither is known."""
    worse = [one[name] < other[name] - loss for name, loss in _LOSSES.items()]
    return 2 * sum(worse) > len(worse)


@undifferentiated
def evidence(
    fixed: Image,
    moving: Image,
    matrix: FloatArray,
    masks: tuple[Image | None, Image | None] = (None, None),
    *,
    comparable: bool = True,
) -> Evidence:
    """Compare two scans in the headers' position, and after a linear map.

    Parameters
    ----------
    fixed, moving : Image
    matrix : array, shape (D+1, D+1)
        Linear map, fixed RAS mm to moving RAS mm.
    masks : (Image or None, Image or None)
        Masks of the fixed and the moving scan; the scans are compared inside.
    comparable : bool
        See :attr:`learngn.quality.coarse.CoarsePair.comparable`.
    """
    return Evidence.of(CoarsePair.of(fixed, moving, masks, comparable=comparable), matrix)
