"""What a linearisation is, and the normal equations that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from learngn.kernels.reference import block_index


@dataclass(frozen=True, eq=False)
class NormalEquations:
    """The data term's part of a Gauss-Newton step.

    Attributes
    ----------
    blocks : Tensor, shape (N, K, *S)
        JᵀWJ, upper triangle row by row.
    gradient : Tensor, shape (N, D, *S)
        JᵀWf.
    energy : Tensor, shape (N,), float64
        ½ Σ w f².
    """

    blocks: Tensor
    gradient: Tensor
    energy: Tensor


@dataclass(frozen=True, eq=False)
class Linearisation:
    """``f(u + δ) ≈ f + J δ`` with confidence w.

    Attributes
    ----------
    residual : Tensor, shape (N, C, *S)
        f [feature].
    jacobian : Tensor, shape (N, C, D, *S)
        J [feature per voxel].
    weight : Tensor, shape (N, 1, *S), or None for one
        w ≥ 0.
    """

    residual: Tensor
    jacobian: Tensor
    weight: Tensor | None = None

    def normal_equations(self) -> NormalEquations:
        """Accumulate JᵀWJ, JᵀWf and ½ Σ w f² over the channels."""
        j, f, ndim = self.jacobian, self.residual, self.jacobian.shape[2]
        w = torch.ones_like(f[:, :1]) if self.weight is None else self.weight
        blocks = torch.stack([(j[:, :, a] * j[:, :, b]).sum(1) for a, b in block_index(ndim)], dim=1) * w
        gradient = (j * f.unsqueeze(2)).sum(1) * w
        energy = (f.double().square().sum(1, keepdim=True) * w).flatten(1).sum(1) / 2
        return NormalEquations(blocks, gradient, energy)


class Lineariser(Protocol):
    """Predicts J, f and w from features of the fixed and the warped image, both (N, C, *S).

    `refinement` says how many times finer than the displacement's grid it wants the features, usually 1.
    """

    @property
    def refinement(self) -> int:
        """Voxels of the features along an axis for one of the displacement."""

    def normal_equations(self, fixed: Tensor, warped: Tensor, weight: Tensor | None = None) -> NormalEquations:
        """Normal equations of the linearisation; `weight` (N, 1, *S) multiplies its confidence."""
