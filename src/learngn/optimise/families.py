"""Families of linear maps for the pre-alignment: translation, rigid, similarity, affine."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np

from learngn.geometry.grid import FloatArray, Grid

_SMALL, _TERMS = 0.5, 16  # size of a generator whose series is exact to rounding after so many terms
_STEP = 0.1  # translation by a parameter of one, as a fraction of the longest side


@dataclass(frozen=True)
class Family:
    """Group of linear maps of the world, given by its generators.

    Attributes
    ----------
    name : str
    linear : callable
        Returns the generators of the linear parts in D dimensions, each of shape (D, D); none for pure translations.
    """

    name: str
    linear: Callable[[int], list[FloatArray]]

    def parameters(self, ndim: int) -> int:
        """Return the number of degrees of freedom."""
        return ndim + len(self.linear(ndim))

    def generators(self, grid: Grid) -> FloatArray:
        """Return the generators, (P, D+1, D+1) [RAS mm]: translations, and linear maps about the grid's centre.

        A translation has the length of a tenth of the longest side.
        """
        ndim = grid.ndim
        generators = np.zeros((self.parameters(ndim), ndim + 1, ndim + 1))
        generators[range(ndim), range(ndim), -1] = _STEP * float(grid.extent.max())
        for generator, linear in zip(generators[ndim:], self.linear(ndim), strict=True):
            generator[:-1, :-1] = linear
            generator[:-1, -1] = -linear @ grid.centre
        return generators


def exponential(generator: FloatArray) -> FloatArray:
    """Return the exponential of a homogeneous generator, (D+1, D+1), by its series after scaling, and squaring.

    SciPy's function takes as long to import as a small pair to align.
    """
    # The last row is zero, so that the linear part alone decides how fast the series converges.
    size = float(np.abs(generator[:-1, :-1]).sum(axis=1).max())
    squarings = max(0, math.ceil(math.log2(max(size, 1e-300) / _SMALL)))
    scaled = generator / 2**squarings
    result = term = np.eye(len(generator))
    for order in range(1, _TERMS + 1):
        term = term @ scaled / order
        result = result + term
    for _ in range(squarings):
        result = result @ result
    return np.asarray(result)


def _rotations(ndim: int) -> list[FloatArray]:
    rotations = []
    for a, b in combinations(range(ndim), 2):
        rotation = np.zeros((ndim, ndim))
        rotation[a, b], rotation[b, a] = -1, 1
        rotations.append(rotation)
    return rotations


def _all(ndim: int) -> list[FloatArray]:
    unit = np.eye(ndim)
    return [np.outer(unit[row], unit[column]) for row, column in product(range(ndim), repeat=2)]


TRANSLATION = Family("translation", lambda ndim: [])
RIGID = Family("rigid", _rotations)
SIMILARITY = Family("similarity", lambda ndim: [*_rotations(ndim), np.eye(ndim)])
AFFINE = Family("affine", _all)
FAMILIES = {family.name: family for family in (TRANSLATION, RIGID, SIMILARITY, AFFINE)}
