"""Normal operator of Gauss-Newton, matrix-free."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from learngn import kernels
from learngn.arrays import Array
from learngn.kernels import BoundOperator
from learngn.regularise import Stiffness


@dataclass(frozen=True, eq=False)
class NormalOperator:
    """Normal operator ``A = B + λ R + μ I``, symmetric positive definite.

    Attributes
    ----------
    blocks : Array, shape (N, K, *S)
        JᵀWJ of every voxel, upper triangle row by row.
    stiffness : Stiffness
        λ R, its weights of shape (N, D, D).
    shift : Array, shape (N,)
        μ, the Levenberg-Marquardt damping.
    """

    blocks: Array
    stiffness: Stiffness
    shift: Array

    def __call__(self, x: Array) -> Array:
        """Compute ``A x`` for x of shape (N, D, *S)."""
        if self.stiffness.constant:
            return kernels.apply_operator(self.blocks, self.stiffness.weights, self.shift, x)
        return kernels.apply_blocks(self.blocks, self.shift, x, self.stiffness(x))

    def smooth(self, rhs: Array, x: Array | None, omega: float) -> Array:
        """Apply one damped block-Jacobi sweep for ``A x = rhs``, starting from `x` (None: zero)."""
        if self.stiffness.constant:
            return kernels.smooth(self.blocks, self.stiffness.weights, self.shift, rhs, x, omega)
        product = None if x is None else self.stiffness(x)
        return kernels.relax(self.blocks, self._diagonal, self.shift, rhs, x, product, omega)

    @cached_property
    def bound(self) -> BoundOperator:
        """The operator with the operations of the back end for its arrays, which the solver calls many times."""
        weights, faces, order = self.stiffness.weights, self.stiffness.faces, self.stiffness.order
        bound: BoundOperator = kernels.bind(self.blocks, weights, self.shift, faces, order)
        return bound

    @cached_property
    def _diagonal(self) -> Array:
        return self.stiffness.diagonal(self.blocks.shape[2:])
