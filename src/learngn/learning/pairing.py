"""Which scans make a pair in training: those that a data set lists, or any two subjects."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

T = TypeVar("T")
U = TypeVar("U")


class Pairing(ABC, Generic[T]):
    """Source of random pairs."""

    @property
    @abstractmethod
    def members(self) -> Sequence[T]:
        """Everything that can be drawn, each once."""

    @abstractmethod
    def draw(self, random: np.random.Generator) -> tuple[T, T]:
        """Return a random fixed and moving member."""

    @abstractmethod
    def parted(self, share: float) -> tuple[Pairing[T], Pairing[T]]:
        """Return two pairings without members in common: of the first members, and of the last, this share of them.

        Two members, or one pair, are left in each at least.
        """

    @abstractmethod
    def mapped(self, function: Callable[[T], U]) -> Pairing[U]:
        """Return the same pairing of a function's values of the members."""


@dataclass(frozen=True)
class AnyTwo(Pairing[T]):
    """Any two different subjects.

    Attributes
    ----------
    subjects : sequence
    """

    subjects: Sequence[T]

    @property
    def members(self) -> Sequence[T]:
        """See :class:`Pairing`."""
        return self.subjects

    def draw(self, random: np.random.Generator) -> tuple[T, T]:
        """See :class:`Pairing`."""
        fixed, moving = random.choice(len(self.subjects), 2, replace=False)
        return self.subjects[fixed], self.subjects[moving]

    def parted(self, share: float) -> tuple[Pairing[T], Pairing[T]]:
        """See :class:`Pairing`."""
        first, last = _parts(self.subjects, share, 2)
        return AnyTwo(first), AnyTwo(last)

    def mapped(self, function: Callable[[T], U]) -> Pairing[U]:
        """See :class:`Pairing`."""
        return AnyTwo([function(member) for member in self.subjects])


@dataclass(frozen=True)
class AnyOfEach(Pairing[T]):
    """Any fixed member with any moving one, of two modalities.

    Attributes
    ----------
    fixed, moving : sequence
    """

    fixed: Sequence[T]
    moving: Sequence[T]

    @property
    def members(self) -> Sequence[T]:
        """See :class:`Pairing`."""
        return (*self.fixed, *self.moving)

    def draw(self, random: np.random.Generator) -> tuple[T, T]:
        """See :class:`Pairing`."""
        return self.fixed[int(random.integers(len(self.fixed)))], self.moving[int(random.integers(len(self.moving)))]

    def parted(self, share: float) -> tuple[Pairing[T], Pairing[T]]:
        """See :class:`Pairing`."""
        (fixed, last_fixed), (moving, last_moving) = (_parts(side, share, 1) for side in (self.fixed, self.moving))
        return AnyOfEach(fixed, moving), AnyOfEach(last_fixed, last_moving)

    def mapped(self, function: Callable[[T], U]) -> Pairing[U]:
        """See :class:`Pairing`."""
        return AnyOfEach(*([function(member) for member in side] for side in (self.fixed, self.moving)))


@dataclass(frozen=True)
class Listed(Pairing[T]):
    """Pairs of a list, as they stand there.

    Attributes
    ----------
    pairs : sequence of (fixed, moving)
    """

    pairs: Sequence[tuple[T, T]]

    @property
    def members(self) -> Sequence[T]:
        """See :class:`Pairing`."""
        return list({id(member): member for pair in self.pairs for member in pair}.values())

    def draw(self, random: np.random.Generator) -> tuple[T, T]:
        """See :class:`Pairing`."""
        return self.pairs[int(random.integers(len(self.pairs)))]

    def parted(self, share: float) -> tuple[Pairing[T], Pairing[T]]:
        """See :class:`Pairing`."""
        first, last = _parts(self.pairs, share, 1)
        return Listed(first), Listed(last)

    def mapped(self, function: Callable[[T], U]) -> Pairing[U]:
        """See :class:`Pairing`."""
        return Listed([(function(fixed), function(moving)) for fixed, moving in self.pairs])


def _parts(members: Sequence[T], share: float, least: int) -> tuple[Sequence[T], Sequence[T]]:
    """Return the first and the last members, `least` of each if there are enough."""
    last = min(max(least, round(share * len(members))), max(0, len(members) - least))
    return members[: len(members) - last], members[len(members) - last :]
