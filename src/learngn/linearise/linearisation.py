"""Linearisation of the residual, and the normal equations that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from learngn.kernels.reference import block_index


@dataclass(frozen=True, eq=False)
class NormalEquations:
    """Normal equations of the data term.

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
    """Linear model ``f(u + δ) ≈ f + J δ`` of the residual, with confidence w.

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
    """Protocol: predicts J, f and w from features of the fixed and the warped image, both (N, C, *S)."""

    @property
    def refinement(self) -> int:
        """Factor by which the grid of the features must be finer than that of the displacement; usually 1."""

    def normal_equations(self, fixed: Tensor, warped: Tensor, weight: Tensor | None = None) -> NormalEquations:
        """Return the normal equations of the linearisation; `weight` (N, 1, *S) multiplies the confidence."""
