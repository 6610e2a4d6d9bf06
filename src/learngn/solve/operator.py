"""Normal operator of Gauss-Newton, matrix-free."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from learngn import kernels
from learngn.regularise import Stiffness


@dataclass(frozen=True, eq=False)
class NormalOperator:
    """Normal operator ``A = B + λ R + μ I``, symmetric positive definite.

    Attributes
    ----------
    blocks : Tensor, shape (N, K, *S)
        JᵀWJ of every voxel, upper triangle row by row.
    stiffness : Stiffness
        λ R, its weights of shape (N, D, D).
    shift : Tensor, shape (N,)
        μ, the Levenberg-Marquardt damping.
    """

    blocks: Tensor
    stiffness: Stiffness
    shift: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Compute ``A x`` for x of shape (N, D, *S)."""
        if self.stiffness.constant:
            return kernels.apply_operator(self.blocks, self.stiffness.weights, self.shift, x)
        return kernels.apply_blocks(self.blocks, self.shift, x, self.stiffness(x))

    def smooth(self, rhs: Tensor, x: Tensor | None, omega: float) -> Tensor:
        """Apply one damped block-Jacobi sweep for ``A x = rhs``, starting from `x` (None: zero)."""
        if self.stiffness.constant:
            return kernels.smooth(self.blocks, self.stiffness.weights, self.shift, rhs, x, omega)
        product = None if x is None else self.stiffness(x)
        return kernels.relax(self.blocks, self._diagonal, self.shift, rhs, x, product, omega)

    @cached_property
    def _diagonal(self) -> Tensor:
        return self.stiffness.diagonal(self.blocks.shape[2:])
