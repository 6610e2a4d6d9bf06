"""Linearisation of the residual, and the normal equations that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from learngn.arrays import Array, namespace
from learngn.kernels.stencils import block_index


@dataclass(frozen=True, eq=False)
class NormalEquations:
    """Normal equations of the data term.

    Attributes
    ----------
    blocks : Array, shape (N, K, *S)
        JᵀWJ, upper triangle row by row.
    gradient : Array, shape (N, D, *S)
        JᵀWf.
    energy : Array, shape (N,), float64
        ½ Σ w f².
    """

    blocks: Array
    gradient: Array
    energy: Array


@dataclass(frozen=True, eq=False)
class Linearisation:
    """Linear model ``f(u + δ) ≈ f + J δ`` of the residual, with confidence w.

    Attributes
    ----------
    residual : Array, shape (N, C, *S)
        f [feature].
    jacobian : Array, shape (N, C, D, *S)
        J [feature per voxel].
    weight : Array, shape (N, 1, *S), or None for one
        w ≥ 0.
    """

    residual: Array
    jacobian: Array
    weight: Array | None = None

    def normal_equations(self) -> NormalEquations:
        """Accumulate JᵀWJ, JᵀWf and ½ Σ w f² over the channels."""
        j, f, ndim = self.jacobian, self.residual, self.jacobian.shape[2]
        xp = namespace(j, f)
        blocks = xp.stack([xp.sum(j[:, :, a] * j[:, :, b], axis=1) for a, b in block_index(ndim)], axis=1)
        gradient = xp.sum(j * f[:, :, None], axis=1)
        energy = xp.sum(xp.astype(f, xp.float64) ** 2, axis=1, keepdims=True)
        if self.weight is not None:
            blocks, gradient, energy = blocks * self.weight, gradient * self.weight, energy * self.weight
        return NormalEquations(blocks, gradient, xp.sum(energy, axis=tuple(range(1, energy.ndim))) / 2)


class Lineariser(Protocol):
    """Protocol: predicts J, f and w from features of the fixed and the warped image, both (N, C, *S)."""

    @property
    def refinement(self) -> int:
        """Factor by which the grid of the features must be finer than that of the displacement; usually 1."""

    def normal_equations(self, fixed: Array, warped: Array, weight: Array | None = None) -> NormalEquations:
        """Return the normal equations of the linearisation; `weight` (N, 1, *S) multiplies the confidence."""
