"""Operator R of a regulariser on one grid, as the solver uses it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from learngn import arrays, kernels
from learngn.arrays import Array, namespace
from learngn.geometry.grid import Grid
from learngn.kernels.stencils import stencil_diagonal
from learngn.regularise.faces import pool_faces


@dataclass(frozen=True, eq=False)
class Stiffness:
    """Operator ``R = Lᵖ``, ``(L u)_a = Σ_b weights_ab (-∂_b c_b ∂_b) u_a``, with Neumann borders.

    It is symmetric and positive semi-definite.

    Attributes
    ----------
    weights : Array, shape (D, D) or (N, D, D)
        Weights of the second differences: row component, column axis.
    faces : Array, shape (1 or N, D, *S), optional
        Conductivity c ≥ 0 between each voxel and the next along every axis (the last entry along an axis is not used);
        None for one everywhere.
    order : int
        Power p, 1 or 2.
    """

    weights: Array
    faces: Array | None = None
    order: int = 1

    def __call__(self, u: Array) -> Array:
        """Compute ``R u`` for a displacement (N, D, *S) [voxel]."""
        n, ndim = u.shape[:2]
        weights = namespace(self.weights).broadcast_to(self.weights, (n, ndim, ndim))
        for _ in range(self.order):
            u = kernels.elastic(weights, u, self.faces)
        return u

    @property
    def constant(self) -> bool:
        """Whether R is a constant stencil of second differences, for which there are the fastest kernels."""
        return self.faces is None and self.order == 1

    def scaled(self, lam: Array) -> Stiffness:
        """Return ``λ R`` for every λ of a batch, shape (N,)."""
        factor = namespace(lam).reshape(lam, (-1, 1, 1)) ** (1 / self.order)
        return replace(self, weights=factor * self.weights)

    def diagonal(self, shape: Sequence[int]) -> Array:
        """Return the diagonal of R on a grid of shape S, (N, D, *S)."""
        weights = self.weights if self.weights.ndim == 3 else self.weights[None]
        return stencil_diagonal(weights, shape, self.faces, self.order)

    def coarsened(self, shape: Sequence[int], coarse: Sequence[int]) -> Stiffness:
        """Return R on a coarser grid over the same extent, from `shape` to `coarse`; displacements keep their unit."""
        # The weight is divided by the square of the distance between neighbours, which grows.
        scale = arrays.like([(m / n) ** 2 for n, m in zip(shape, coarse, strict=True)], self.weights)
        faces = None if self.faces is None else pool_faces(self.faces, coarse)
        return replace(self, weights=self.weights * scale, faces=faces)


class Regulariser(Protocol):
    """Protocol: makes the operator R for displacements on a grid; symmetric positive semi-definite, Neumann borders."""

    def stiffness(self, grid: Grid, like: Array) -> Stiffness:
        """Return R for displacements in voxels of the grid, with dtype and device of `like`."""


def apply_regulariser(regulariser: Regulariser, u: Array, grid: Grid) -> Array:
    """Compute ``R u`` for a displacement (N, D, *S) [voxel of grid]."""
    return regulariser.stiffness(grid, u)(u)
