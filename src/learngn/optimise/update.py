"""How a step joins the displacement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from learngn import sampling


class Update(Protocol):
    """Joins a displacement u and a step δ, both (N, D, *S) [voxel]."""

    def __call__(self, u: Tensor, step: Tensor) -> Tensor:
        """The new displacement."""


@dataclass(frozen=True)
class Additive:
    """``u + δ``."""

    def __call__(self, u: Tensor, step: Tensor) -> Tensor:
        """See :class:`Update`."""
        return u + step


@dataclass(frozen=True)
class Compositional:
    """``δ + u ∘ (id + δ)``: the composition of two invertible maps is invertible, so folds are rare."""

    def __call__(self, u: Tensor, step: Tensor) -> Tensor:
        """See :class:`Update`."""
        return sampling.compose(u, step)
