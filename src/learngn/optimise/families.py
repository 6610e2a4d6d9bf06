"""Families of linear maps that a pre-alignment may choose from: rigid, similarity, affine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np

from learngn.geometry.grid import FloatArray, Grid

_STEP = 0.1  # of the longest side: what a translation's parameter of one means


@dataclass(frozen=True)
class Family:
    """A group of linear maps of the world, by what generates it.

    Attributes
    ----------
    name : str
    linear : callable
        Generators of the linear parts in D dimensions, each of shape (D, D), none for translations alone.
    """

    name: str
    linear: Callable[[int], list[FloatArray]]

    def parameters(self, ndim: int) -> int:
        """Degrees of freedom."""
        return ndim + len(self.linear(ndim))

    def generators(self, grid: Grid) -> FloatArray:
        """Translations, a tenth of the longest side each, and linear maps about the centre, (P, D+1, D+1) [RAS mm]."""
        ndim = grid.ndim
        generators = np.zeros((self.parameters(ndim), ndim + 1, ndim + 1))
        generators[range(ndim), range(ndim), -1] = _STEP * float(grid.extent.max())
        for generator, linear in zip(generators[ndim:], self.linear(ndim), strict=True):
            generator[:-1, :-1] = linear
            generator[:-1, -1] = -linear @ grid.centre
        return generators


def _rotations(ndim: int) -> list[FloatArray]:
    turns = []
    for a, b in combinations(range(ndim), 2):
        turn = np.zeros((ndim, ndim))
        turn[a, b], turn[b, a] = -1, 1
        turns.append(turn)
    return turns


def _all(ndim: int) -> list[FloatArray]:
    unit = np.eye(ndim)
    return [np.outer(unit[row], unit[column]) for row, column in product(range(ndim), repeat=2)]


RIGID = Family("rigid", _rotations)
SIMILARITY = Family("similarity", lambda ndim: [*_rotations(ndim), np.eye(ndim)])
AFFINE = Family("affine", _all)
FAMILIES = {family.name: family for family in (RIGID, SIMILARITY, AFFINE)}
