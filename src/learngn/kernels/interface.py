"""Interface of the kernels, which has several implementations.

Shapes: `N` samples, `C` channels, `D` = 2 or 3 dimensions, `*S` the grid in array order. Symmetric D x D blocks are
stored as their upper triangle row by row (`K` = 3 in 2D: 00, 01, 11; 6 in 3D: 00, 01, 02, 11, 12, 22).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from learngn.arrays import Array
from learngn.kernels.taps import Taps

Sums: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Coarsening:
    """Transfer between two levels of a multigrid hierarchy.

    Attributes
    ----------
    fine, coarse : tuple of int
        Shapes of the two levels.
    restrict, prolong, average : tuple of Taps
        Matrices along every axis for restricting residuals, prolonging corrections and averaging blocks.
    """

    fine: tuple[int, ...]
    coarse: tuple[int, ...]
    restrict: tuple[Taps, ...]
    prolong: tuple[Taps, ...]
    average: tuple[Taps, ...]


class Guard(Protocol):
    """Protocol: the join of a step to displacements, in which the step can be shortened where the result folds.

    Attributes
    ----------
    u : Array, shape (M, D, *S)
        The displacements joined last.
    step : Array, shape (N, D, *S)
        The step, as it was joined last.
    """

    u: Array
    step: Array

    def join(self) -> float:
        """Join the step to the displacements; return the smallest det(I + ∇u)."""

    def shorten(self) -> None:
        """Halve the step near voxels with a determinant below the bound, with a smooth transition."""


class BoundOperator(Protocol):
    """Protocol: the operator ``A = B + R + shift`` of one grid, prepared for the many operations of a solver.

    Its operations take arrays in the layout of the back end, which :meth:`owned` or :meth:`room` return, and write to
    such arrays.

    Attributes
    ----------
    kernels : Kernels
        Back end; its operations `dots`, `turn` and `advance` take the same arrays, as do the transfers of
        :meth:`Kernels.between`.
    """

    kernels: Kernels

    def owned(self, field: Array) -> Array:
        """Return a field (N, D, *S) in the layout of the back end; it shares the memory if possible."""

    def given_back(self, field: Array, like: Array) -> Array:
        """Return a field in the layout of the back end as (N, D, *S), in the library of another array."""

    def room(self) -> Array:
        """Return an array for a field of this grid, with any values."""

    def apply(self, x: Array, out: Array) -> Sums:
        """Compute ``out = A x``; return <x, A x> of every sample."""

    def residual(self, rhs: Array, x: Array, out: Array) -> None:
        """Compute ``out = rhs - A x``."""

    def relax(self, rhs: Array, x: Array | None, omega: float, out: Array, dotted: bool = False) -> Sums | None:
        """Write one damped block-Jacobi sweep from x (None: zero) to `out`; return <rhs, out> if `dotted`."""

    def relax_from_zero_and_residual(self, rhs: Array, omega: float, x: Array, out: Array) -> None:
        """Write one damped block-Jacobi sweep from zero to `x`, and its residual ``rhs - A x`` to `out`."""


class BoundTransfer(Protocol):
    """Protocol: transfer between two levels, prepared by a back end, for arrays of :class:`BoundOperator`."""

    def restrict(self, source: Array, out: Array) -> None:
        """Restrict a residual of the fine level."""

    def prolong(self, source: Array, out: Array) -> None:
        """Add the interpolated correction of the coarse level to a field of the fine level."""


class Kernels(Protocol):
    """Protocol: operations that every back end implements. Displacements are in voxels of their own grid."""

    name: str

    def warp(
        self,
        image: Array,
        field: Array | None,
        matrix: NDArray[np.float64],
        shape: Sequence[int],
        outside: float | None = None,
    ) -> Array:
        """Sample an image linearly: ``out(x) = image(matrix @ (x + field(x)))``, clamped to the image's border.

        Parameters
        ----------
        image : Array, shape (N, C, *T)
        field : Array, shape (N, D, *S) [voxel of the output grid], or None for zero
        matrix : array, shape (D+1, D+1)
            Maps the output grid's index to the image's.
        shape : sequence of int
            Shape S of the output grid.
        outside : float, optional
            Value beyond the image's extent, where :meth:`warp_nearest` has its own; None repeats the border.

        Returns
        -------
        Array, shape (N, C, *S)
        """

    def warp_nearest(
        self, image: Array, field: Array | None, matrix: NDArray[np.float64], shape: Sequence[int], outside: float
    ) -> Array:
        """Sample an image at the nearest voxel (halves round up), with the value `outside` beyond its extent."""

    def warp_labels(self, labels: Array, displacement: Array, first: int) -> Array:
        """Sample labels as Learn2Reg does: at the nearest voxel, in double precision.

        Halves round up; beyond the outermost centres of the voxels the result is zero.

        Parameters
        ----------
        labels : Array, shape T
            Label map.
        displacement : Array, shape (D, *S) [voxel]
            Index in the label map minus index in the output grid.
        first : int
            Index of the first plane of the displacement in the output grid, of which it may be a part.

        Returns
        -------
        Array, shape S
        """

    def resample(self, image: Array, taps: Sequence[Taps]) -> Array:
        """Apply one banded matrix along each spatial axis; (N, C, *S) to (N, C, *T), in the same memory format."""

    def normal_equations(
        self, fixed: Array, warped: Array, weight: Array | None, symmetric: bool
    ) -> tuple[Array, Array, Array]:
        """Compute the normal equations of f = warped - fixed, with J by central differences, summed over channels.

        `weight` w ≥ 0 has shape (N, 1, *S); None for one. With `symmetric`, J is the mean of the differences of both
        images (efficient second-order minimisation).

        Returns
        -------
        blocks : Array, shape (N, K, *S), w JᵀJ
        gradient : Array, shape (N, D, *S), w Jᵀf
        energy : Array, shape (N,), float64, ½ Σ w f²
        """

    def apply_operator(self, blocks: Array, stiffness: Array, shift: Array, x: Array) -> Array:
        """Compute ``(B + Σ_b stiffness_ab (-∂_b²) + shift) x`` with Neumann borders.

        Parameters
        ----------
        blocks : Array, shape (N, K, *S)
        stiffness : Array, shape (N, D, D)
            Row: component; column: axis of differentiation.
        shift : Array, shape (N,)
        x : Array, shape (N, D, *S)
        """

    def smooth(self, blocks: Array, stiffness: Array, shift: Array, rhs: Array, x: Array | None, omega: float) -> Array:
        """Apply one damped block-Jacobi sweep for the operator of :meth:`apply_operator`; `x` None for zero."""

    def elastic(self, stiffness: Array, x: Array, faces: Array | None) -> Array:
        """Compute ``Σ_b stiffness_ab (-∂_b c_b ∂_b) x`` with Neumann borders: the regulariser, with conductivities c.

        Parameters
        ----------
        stiffness : Array, shape (N, D, D)
            Row: component; column: axis of differentiation.
        x : Array, shape (N, D, *S)
        faces : Array, shape (1 or N, D, *S), optional
            Conductivity c ≥ 0 between each voxel and the next along every axis; the last entry along an axis is not
            used. None for one.
        """

    def apply_blocks(self, blocks: Array, shift: Array, x: Array, elastic: Array) -> Array:
        """Compute ``(B + shift) x + elastic``: :meth:`apply_operator`, given the regulariser's product with x."""

    def relax(
        self,
        blocks: Array,
        diagonal: Array,
        shift: Array,
        rhs: Array,
        x: Array | None,
        elastic: Array | None,
        omega: float,
    ) -> Array:
        """Apply one damped block-Jacobi sweep for any regulariser, given its diagonal and its product with `x`.

        Compute ``x + omega (B + diagonal + shift)⁻¹ (rhs - (B + shift) x - elastic)``; `x` and `elastic` are None for
        zero, `diagonal` has shape (N, D, *S).
        """

    def bind(self, blocks: Array, stiffness: Array, shift: Array, faces: Array | None, order: int) -> BoundOperator:
        """Prepare ``B + Lᵖ + shift``, with L the regulariser of :meth:`elastic` and p its `order`, 1 or 2."""

    def dots(self, a: Array, b: Array) -> Sums:
        """Return ``<a, b>`` of every sample of two fields (N, D, *S), as an array of NumPy (N,), float64."""

    def turn(self, z: Array, beta: Sums, p: Array) -> None:
        """Compute ``p = z + β p`` in place, for fields (N, D, *S) and a factor of every sample."""

    def advance(self, alpha: Sums, p: Array, q: Array, x: Array, r: Array) -> Sums:
        """Compute ``x += α p`` and ``r -= α q`` in place; return <r, r> of every sample."""

    def between(self, step: Coarsening) -> BoundTransfer:
        """Prepare the transfer between two levels."""

    def dot(self, a: Array, b: Array) -> float:
        """Return ``<a, b>`` of two fields (N, D, *S), over all samples, in double precision."""

    def combined(self, x: Array, a: Array, y: Array, b: Array) -> Array:
        """Return ``a x + b y`` for two fields (N, D, *S) and scalars a and b."""

    def mean_diagonal(self, blocks: Array) -> Array:
        """Return the mean of the diagonal of blocks (N, K, *S) over voxels and components, (N,), float64."""

    def lengths(self, field: Array) -> tuple[float, float]:
        """Return the mean and the largest |u| of a field (N, D, *S), over all samples."""

    def capped(self, field: Array, longest: float) -> Array:
        """Return a field (N, D, *S) with every vector shortened to `longest` at most."""

    def pull_back(self, u: Array, gradient: Array) -> Array:
        """Compute ``(I + ∇u)ᵀ gradient`` by central differences (one-sided at borders), both (N, D, *S)."""

    def determinant(self, field: Array) -> Array:
        """Compute ``det(I + ∇u)`` by central differences (one-sided at borders); (N, D, *S) to (N, *S)."""

    def guard(self, u: Array, step: Array, shares: Sequence[float], bound: float, reach: int) -> Guard:
        """Prepare the composition ``share δ + u ∘ (id + share δ)``, with the step δ shortened where it folds.

        Parameters
        ----------
        u : Array, shape (M, D, *S)
        step : Array, shape (N, D, *S)
        shares : sequence of float, M / N of them
            Factor of the step for each group of N displacements.
        bound : float
            Lower bound of det(I + ∇u).
        reach : int
            Side of the cells in which, and in whose neighbours, the step is shortened [voxel].
        """

    def match_cost(
        self,
        fixed: Array,
        weight: Array,
        moving: Array,
        seen: Array,
        offsets: NDArray[np.int64],
        cell: Sequence[int],
    ) -> tuple[Array, Array]:
        """Compute the means of ``v |moving(x + o) - fixed(x)|²`` over cells, with ``v = weight(x) seen(x + o)``.

        Parameters
        ----------
        fixed : Array, shape (N, C, *S)
        weight : Array, shape (N, 1, *S)
        moving : Array, shape (N, C, *T)
            Features on a grid large enough for every offset.
        seen : Array, shape (N, 1, *T)
            Weight of the moving features.
        offsets : array, shape (W, D), int64 [voxel]
            Non-negative offsets o.
        cell : sequence of int
            Number of voxels of a cell along every axis; S is a multiple of it.

        Returns
        -------
        cost : Array, shape (N, W, *S / cell)
        covered : Array, shape (N, W, *S / cell)
            Mean of v.
        """

    def best_match(self, cost: Array, steps: Array, target: Array, theta: float) -> Array:
        """Find the displacement s of a window with the least ``cost + θ |s - target|²`` at each of P places.

        Parameters
        ----------
        cost : Array, shape (N, W, P)
        steps : Array, shape (W, D)
            Displacements of the window.
        target : Array, shape (N, D, P)
        theta : float

        Returns
        -------
        Array, shape (N, P), int64
            Number of the displacement in the window; the first of several.
        """

    def self_similarity(self, image: Array, first: NDArray[np.int64], second: NDArray[np.int64], radius: int) -> Array:
        """Compute the similarity ``exp(-(D_p - min D) / V)`` of patches around pairs of neighbours of each voxel.

        ``D_p`` is the mean of ``(image(x + first_p) - image(x + second_p))²`` over the patch, V the mean of
        ``D_p - min D`` over the pairs, limited to the range from a thousandth of its mean over the image to a thousand
        times that: noise in homogeneous regions must not look like structure, nor a strong edge hide everything else.
        Border values are repeated, those of the image and those of the squared differences.

        Parameters
        ----------
        image : Array, shape (N, 1, *S)
        first, second : array, shape (P, D), int64 [voxel]
            Steps from the voxel to both neighbours of each pair.
        radius : int
            Patches have 2 radius + 1 voxels along each axis.

        Returns
        -------
        Array, shape (N, P, *S)
            With channels last in memory.
        """
