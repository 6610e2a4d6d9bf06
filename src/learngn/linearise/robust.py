"""Robust data terms: large residuals count less."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from learngn.linearise.linearisation import Lineariser, NormalEquations


class RobustLoss(Protocol):
    """Protocol: robust loss ρ(s) of a squared residual s ≥ 0, with ρ(s) ≈ s for small s."""

    def value(self, squared: Tensor) -> Tensor:
        """Compute ρ(s)."""

    def weight(self, squared: Tensor) -> Tensor:
        """Compute ρ'(s), at most one: the weight of a voxel in the next step."""


@dataclass(frozen=True)
class Huber:
    """Huber's loss: quadratic in the residual up to `scale`, linear beyond.

    Attributes
    ----------
    scale : float
        Residual at which the loss becomes linear.

    References
    ----------
    Huber, "Robust estimation of a location parameter", 1964.
    """

    scale: float

    def value(self, squared: Tensor) -> Tensor:
        """See :meth:`RobustLoss.value`."""
        limit = self.scale**2
        return torch.where(squared <= limit, squared, 2 * self.scale * squared.clamp_min(limit).sqrt() - limit)

    def weight(self, squared: Tensor) -> Tensor:
        """See :meth:`RobustLoss.weight`."""
        return self.scale / squared.clamp_min(self.scale**2).sqrt()


@dataclass(frozen=True)
class GemanMcClure:
    """Geman and McClure's loss ``s / (1 + s / scale²)``: residuals far beyond `scale` have almost no influence.

    Attributes
    ----------
    scale : float
        Residual at which the loss is half of the squared residual.

    References
    ----------
    Geman and McClure, "Statistical methods for tomographic image reconstruction", 1987.
    """

    scale: float

    def value(self, squared: Tensor) -> Tensor:
        """See :meth:`RobustLoss.value`."""
        return squared / (1 + squared / self.scale**2)

    def weight(self, squared: Tensor) -> Tensor:
        """See :meth:`RobustLoss.weight`."""
        return (1 + squared / self.scale**2).square().reciprocal()


@dataclass(frozen=True)
class Robust:
    """Lineariser with a robust loss of the residual, by iteratively re-weighted least squares.

    The energy is ``½ Σ w σ² ρ(|f|² / σ²)``, with σ² the weighted variance of the fixed features, summed over the
    channels: the scale of a loss is a multiple of the standard deviation of the features.

    Attributes
    ----------
    lineariser : Lineariser
    loss : RobustLoss

    References
    ----------
    Holland and Welsch, "Robust regression using iteratively reweighted least-squares", 1977.
    """

    lineariser: Lineariser
    loss: RobustLoss

    @property
    def refinement(self) -> int:
        """See :class:`learngn.linearise.Lineariser`."""
        return self.lineariser.refinement

    def normal_equations(self, fixed: Tensor, warped: Tensor, weight: Tensor | None = None) -> NormalEquations:
        """See :class:`learngn.linearise.Lineariser`."""
        variance = _variance(fixed.detach(), None if weight is None else weight.detach())
        squared = (warped - fixed).square().sum(1, keepdim=True) / variance
        robust = self.loss.weight(squared)
        normal = self.lineariser.normal_equations(fixed, warped, robust if weight is None else robust * weight)
        loss = variance * self.loss.value(squared)
        energy = (loss if weight is None else loss * weight).flatten(1).sum(1, dtype=torch.float64) / 2
        return NormalEquations(normal.blocks, normal.gradient, energy)


def _variance(features: Tensor, weight: Tensor | None) -> Tensor:
    """Return the weighted variance over the voxels, summed over the channels; (N, 1, 1, ...)."""
    axes = tuple(range(2, features.ndim))
    if weight is None:
        variance = features.var(dim=axes, keepdim=True, correction=0)
    else:
        total = weight.sum(dim=axes, keepdim=True).clamp_min(1e-12)
        mean = (weight * features).sum(dim=axes, keepdim=True) / total
        variance = (weight * (features - mean).square()).sum(dim=axes, keepdim=True) / total
    return variance.sum(1, keepdim=True).clamp_min(1e-12)
