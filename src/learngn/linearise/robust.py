"""Robust data terms: large residuals count less."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Protocol

from learngn.arrays import Array, by_parts, clamped, detached, namespace
from learngn.linearise.linearisation import Lineariser, NormalEquations


class RobustLoss(Protocol):
    """Protocol: robust loss ρ(s) of a squared residual s ≥ 0, with ρ(s) ≈ s for small s."""

    def value(self, squared: Array) -> Array:
        """Compute ρ(s)."""

    def weight(self, squared: Array) -> Array:
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

    def value(self, squared: Array) -> Array:
        """See :meth:`RobustLoss.value`."""
        xp, limit = namespace(squared), self.scale**2
        return xp.where(squared <= limit, squared, 2 * self.scale * xp.sqrt(clamped(squared, limit)) - limit)

    def weight(self, squared: Array) -> Array:
        """See :meth:`RobustLoss.weight`."""
        return self.scale / namespace(squared).sqrt(clamped(squared, self.scale**2))


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

    def value(self, squared: Array) -> Array:
        """See :meth:`RobustLoss.value`."""
        return squared / (1 + squared / self.scale**2)

    def weight(self, squared: Array) -> Array:
        """See :meth:`RobustLoss.weight`."""
        return 1 / (1 + squared / self.scale**2) ** 2


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
    _known: list[Array] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def refinement(self) -> int:
        """See :class:`learngn.linearise.Lineariser`."""
        return self.lineariser.refinement

    def normal_equations(self, fixed: Array, warped: Array, weight: Array | None = None) -> NormalEquations:
        """See :class:`learngn.linearise.Lineariser`."""
        xp, variance = namespace(fixed, warped), self._variance(fixed, weight)
        squared = by_parts(_squared_distance, fixed, warped) / variance
        robust = self.loss.weight(squared)
        normal = self.lineariser.normal_equations(fixed, warped, robust if weight is None else robust * weight)
        loss = variance * self.loss.value(squared)
        loss = loss if weight is None else loss * weight
        energy = xp.sum(loss, axis=tuple(range(1, loss.ndim)), dtype=xp.float64) / 2
        return NormalEquations(normal.blocks, normal.gradient, energy)

    def _variance(self, fixed: Array, weight: Array | None) -> Array:
        """Return the variance of the fixed features; without a weight it is computed once for a level."""
        if weight is not None:
            return _variance(detached(fixed), detached(weight))
        if not self._known or self._known[0] is not fixed:
            self._known[:] = fixed, _variance(detached(fixed), None)
        return self._known[1]


def _squared_distance(a: Array, b: Array) -> Array:
    return namespace(a, b).sum((a - b) ** 2, axis=1, keepdims=True)


def _variance(features: Array, weight: Array | None) -> Array:
    """Return the weighted variance over the voxels, summed over the channels; (N, 1, 1, ...)."""
    xp, axes, count = namespace(features), tuple(range(2, features.ndim)), prod(features.shape[2:])

    def total(values: Array) -> Array:
        return xp.sum(values, axis=axes, keepdims=True, dtype=xp.float64)

    if weight is None:
        mean = xp.astype(total(features) / count, features.dtype)
        variance = total((features - mean) ** 2) / count
    else:
        counted = clamped(total(weight), 1e-12)
        mean = xp.astype(total(weight * features) / counted, features.dtype)
        variance = total(weight * (features - mean) ** 2) / counted
    return xp.astype(clamped(xp.sum(variance, axis=1, keepdims=True), 1e-12), features.dtype)
