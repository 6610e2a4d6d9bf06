"""The Gauss-Newton normal operator, matrix-free."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from learngn import kernels


@dataclass(frozen=True, eq=False)
class NormalOperator:
    """``A = B + λ R + μ I``, symmetric positive definite.

    Attributes
    ----------
    blocks : Tensor, shape (N, K, *S)
        JᵀWJ of every voxel, upper triangle row by row.
    stiffness : Tensor, shape (N, D, D)
        λ times the regulariser's weights: row component, column axis.
    shift : Tensor, shape (N,)
        μ, the Levenberg-Marquardt damping.
    """

    blocks: Tensor
    stiffness: Tensor
    shift: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """``A x`` for x of shape (N, D, *S)."""
        return kernels.best(self.blocks, x).apply_operator(self.blocks, self.stiffness, self.shift, x)

    def smooth(self, rhs: Tensor, x: Tensor | None, omega: float) -> Tensor:
        """One damped block-Jacobi sweep for ``A x = rhs`` from `x` (None: zero)."""
        return kernels.best(self.blocks, rhs).smooth(self.blocks, self.stiffness, self.shift, rhs, x, omega)
