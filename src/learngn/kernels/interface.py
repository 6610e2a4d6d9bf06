"""The hot operations, as one interface with several implementations.

Shapes: `N` samples, `C` channels, `D` = 2 or 3 dimensions, `*S` the grid in array order. Symmetric D x D blocks are
stored as their upper triangle row by row (`K` = 3 in 2D: 00, 01, 11; 6 in 3D: 00, 01, 02, 11, 12, 22).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from learngn.kernels.taps import Taps


class SolveStatus(Enum):
    """Why the solver stopped; the value says what it means and what to do."""

    CONVERGED = "the residual fell below the tolerance"
    ZERO = "the right side is zero, and so is the solution"
    MAX_ITERATIONS = "the residual is still above the tolerance; allow more iterations or loosen the tolerance"
    BREAKDOWN = "the operator is not positive definite or not finite; check the Jacobian for NaN, raise λ or μ"


@dataclass(frozen=True, eq=False)
class Solved:
    """Outcome of :meth:`Kernels.solve`.

    Attributes
    ----------
    x : Tensor, shape (N, D, *S)
    status : SolveStatus
    iterations : int
    residual : float
        Worst of the batch, relative.
    """

    x: Tensor
    status: SolveStatus
    iterations: int
    residual: float


@dataclass(frozen=True, eq=False)
class Coarsening:
    """From one level of a multigrid hierarchy to the next, and back.

    Attributes
    ----------
    fine, coarse : tuple of int
        Shapes.
    restrict, prolong, average : tuple of Taps
        Of every axis: of residuals, of corrections, of blocks.
    """

    fine: tuple[int, ...]
    coarse: tuple[int, ...]
    restrict: tuple[Taps, ...]
    prolong: tuple[Taps, ...]
    average: tuple[Taps, ...]


@dataclass(frozen=True, eq=False)
class Guarded:
    """Outcome of :meth:`Kernels.guarded`.

    Attributes
    ----------
    u : Tensor, shape (M, D, *S)
    step : Tensor, shape (N, D, *S)
        What was taken of it.
    smallest : float
        Least det(I + ∇u).
    """

    u: Tensor
    step: Tensor
    smallest: float


class Kernels(Protocol):
    """What every back end offers. Units: displacements in voxels of their own grid."""

    name: str

    def warp(self, image: Tensor, field: Tensor | None, matrix: NDArray[np.float64], shape: Sequence[int]) -> Tensor:
        """Sample linearly: ``out(x) = image(matrix @ (x + field(x)))``, clamped to the image's border.

        Parameters
        ----------
        image : Tensor, shape (N, C, *T)
        field : Tensor, shape (N, D, *S) [voxel of the output grid], or None for zero
        matrix : array, shape (D+1, D+1)
            From the output grid's index to the image's.
        shape : the output grid's shape `S`

        Returns
        -------
        Tensor, shape (N, C, *S)
        """

    def warp_nearest(
        self, image: Tensor, field: Tensor | None, matrix: NDArray[np.float64], shape: Sequence[int], outside: float
    ) -> Tensor:
        """As :meth:`warp` with the nearest voxel's value (halves round up) and `outside` beyond the image's extent."""

    def resample(self, image: Tensor, taps: Sequence[Taps]) -> Tensor:
        """Apply one banded matrix along each spatial axis; (N, C, *S) to (N, C, *T), memory format kept."""

    def normal_equations(
        self, fixed: Tensor, warped: Tensor, weight: Tensor | None, symmetric: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Fused linearisation: residual f = warped - fixed, J by central differences, accumulated over channels.

        `weight` w ≥ 0 has shape (N, 1, *S), None for one. `symmetric` takes the mean of both images' differences
        (efficient second-order minimisation).

        Returns
        -------
        blocks : Tensor, shape (N, K, *S), w JᵀJ
        gradient : Tensor, shape (N, D, *S), w Jᵀf
        energy : Tensor, shape (N,), float64, ½ Σ w f²
        """

    def apply_operator(self, blocks: Tensor, stiffness: Tensor, shift: Tensor, x: Tensor) -> Tensor:
        """``(B + Σ_b stiffness_ab (-∂_b²) + shift) x`` with Neumann borders.

        Parameters
        ----------
        blocks : Tensor, shape (N, K, *S)
        stiffness : Tensor, shape (N, D, D)
            Row: component; column: axis of differentiation.
        shift : Tensor, shape (N,)
        x : Tensor, shape (N, D, *S)
        """

    def smooth(
        self, blocks: Tensor, stiffness: Tensor, shift: Tensor, rhs: Tensor, x: Tensor | None, omega: float
    ) -> Tensor:
        """One damped block-Jacobi sweep for :meth:`apply_operator`; `x` None stands for zero."""

    def solve(
        self,
        blocks: Tensor,
        stiffness: Sequence[Tensor],
        shift: Tensor,
        steps: tuple[Coarsening, ...],
        omega: float,
        rhs: Tensor,
        tolerance: float,
        iterations: int,
    ) -> Solved | None:
        """Solve with :meth:`apply_operator`'s matrix by conjugate gradients and a V-cycle, all in one call.

        Parameters
        ----------
        blocks, shift : Tensor
            As of :meth:`apply_operator`.
        stiffness : sequence of Tensor, shape (N, D, D)
            Of every level, the finest first.
        steps : tuple of Coarsening
        omega : float
            Of the one sweep before and the one after each coarse correction.
        rhs : Tensor, shape (N, D, *S)
        tolerance : float
        iterations : int

        Returns
        -------
        Solved, or None where an implementation has no such call
        """

    def elastic(self, stiffness: Tensor, x: Tensor, faces: Tensor | None) -> Tensor:
        """``Σ_b stiffness_ab (-∂_b c_b ∂_b) x`` with Neumann borders: the regulariser alone, conductivities varying.

        Parameters
        ----------
        stiffness : Tensor, shape (N, D, D)
            Row: component; column: axis of differentiation.
        x : Tensor, shape (N, D, *S)
        faces : Tensor, shape (1 or N, D, *S), optional
            Conductivity c ≥ 0 between each voxel and the next along every axis; the last of an axis is not used. None
            for one.
        """

    def apply_blocks(self, blocks: Tensor, shift: Tensor, x: Tensor, elastic: Tensor) -> Tensor:
        """``(B + shift) x + elastic``: :meth:`apply_operator` where the regulariser's product is known already."""

    def relax(
        self,
        blocks: Tensor,
        diagonal: Tensor,
        shift: Tensor,
        rhs: Tensor,
        x: Tensor | None,
        elastic: Tensor | None,
        omega: float,
    ) -> Tensor:
        """:meth:`smooth` for a regulariser of any kind, by its diagonal and its product with `x`.

        ``x + omega (B + diagonal + shift)⁻¹ (rhs - (B + shift) x - elastic)``, `x` and `elastic` None for zero;
        `diagonal` has shape (N, D, *S).
        """

    def dot(self, a: Tensor, b: Tensor) -> float:
        """``<a, b>`` of two fields (N, D, *S), over all samples, to double precision."""

    def combined(self, x: Tensor, a: Tensor, y: Tensor, b: Tensor) -> Tensor:
        """``a x + b y`` of two fields (N, D, *S), a and b single values."""

    def mean_diagonal(self, blocks: Tensor) -> Tensor:
        """Mean of the blocks' (N, K, *S) diagonal over voxels and components, (N,), float64."""

    def lengths(self, field: Tensor) -> tuple[float, float]:
        """Mean and largest |u| of a field (N, D, *S), over all samples."""

    def capped(self, field: Tensor, longest: float) -> Tensor:
        """A field (N, D, *S) with every vector shortened to `longest` at most."""

    def pull_back(self, u: Tensor, gradient: Tensor) -> Tensor:
        """``(I + ∇u)ᵀ gradient`` by central differences (one-sided at borders), both (N, D, *S)."""

    def determinant(self, field: Tensor) -> Tensor:
        """``det(I + ∇u)`` by central differences (one-sided at borders); (N, D, *S) to (N, *S)."""

    def guarded(
        self, u: Tensor, step: Tensor, shares: Sequence[float], bound: float, reach: int, attempts: int
    ) -> Guarded | None:
        """Compose displacements with a step that is shortened about the voxels that it would fold.

        Where ``det(I + ∇u)`` of ``share δ + u ∘ (id + share δ)`` falls below `bound`, the step is halved in the cells
        of `reach` voxels about and their neighbours, falling off smoothly, and all is tried again.

        Parameters
        ----------
        u : Tensor, shape (M, D, *S)
        step : Tensor, shape (N, D, *S)
        shares : sequence of float, M / N of them
            What each group of N displacements gets of the step.
        bound : float
        reach : int
        attempts : int

        Returns
        -------
        Guarded, or None where an implementation has no such call
        """

    def match_cost(
        self,
        fixed: Tensor,
        weight: Tensor,
        moving: Tensor,
        seen: Tensor,
        offsets: NDArray[np.int64],
        cell: Sequence[int],
    ) -> tuple[Tensor, Tensor]:
        """Mean over every cell of ``v |moving(x + o) - fixed(x)|²``, ``v = weight(x) seen(x + o)``, for every offset o.

        Parameters
        ----------
        fixed : Tensor, shape (N, C, *S)
        weight : Tensor, shape (N, 1, *S)
        moving : Tensor, shape (N, C, *T)
            Large enough for every offset.
        seen : Tensor, shape (N, 1, *T)
        offsets : array, shape (W, D), int64 [voxel]
            Not negative.
        cell : sequence of int
            Voxels of a cell along every axis; they divide `S`.

        Returns
        -------
        cost : Tensor, shape (N, W, *S / cell)
        covered : Tensor, shape (N, W, *S / cell)
            Mean of v.
        """
