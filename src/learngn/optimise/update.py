"""How a step joins the displacement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from learngn import sampling
from learngn.kernels.reference import difference


class Update(Protocol):
    """Joins a displacement u and a step δ, both (N, D, *S) [voxel]."""

    def __call__(self, u: Tensor, step: Tensor) -> Tensor:
        """The new displacement."""

    def pull_back(self, u: Tensor, gradient: Tensor) -> Tensor:
        """Gradient by the step of an energy of the displacement, given its gradient by the displacement."""


@dataclass(frozen=True)
class Additive:
    """``u + δ``."""

    def __call__(self, u: Tensor, step: Tensor) -> Tensor:
        """See :class:`Update`."""
        return u + step

    def pull_back(self, u: Tensor, gradient: Tensor) -> Tensor:
        """See :class:`Update`."""
        return gradient


@dataclass(frozen=True)
class Compositional:
    """``δ + u ∘ (id + δ)``: the composition of two invertible maps is invertible, so folds are rare."""

    def __call__(self, u: Tensor, step: Tensor) -> Tensor:
        """See :class:`Update`."""
        return sampling.compose(u, step)

    def pull_back(self, u: Tensor, gradient: Tensor) -> Tensor:
        """``(I + ∇u)ᵀ`` times the gradient: to first order the composition adds ``(I + ∇u) δ`` to u."""
        ndim = u.shape[1]
        return gradient + torch.stack([(difference(u, axis + 2) * gradient).sum(1) for axis in range(ndim)], dim=1)
