"""Regularisers: what a displacement may cost, as quadratic forms ½ λ <u, R u>."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from learngn import kernels
from learngn.grid import Grid


class Regulariser(Protocol):
    """A symmetric positive semi-definite operator R on displacements, Neumann at the border."""

    def stiffness(self, grid: Grid, like: Tensor) -> Tensor:
        """Weights of the second differences, shape (D, D): row component, column axis."""


class Diffusion:
    """Diffusion: ½ Σ_x Σ_ab (∂u_a/∂x_b)², displacement in mm per mm.

    Notes
    -----
    With u in voxels and spacing s the squared difference along axis b of component a weighs ``s_a² / s_b²``: the
    energy does not depend on the level (beside its number of voxels) nor on anisotropy, so λ means the same
    everywhere.

    References
    ----------
    Fischer and Modersitzki, "Fast diffusion registration", 2002.
    """

    def stiffness(self, grid: Grid, like: Tensor) -> Tensor:
        """See :meth:`Regulariser.stiffness`; dtype and device of `like`."""
        spacing = torch.as_tensor(grid.spacing, dtype=like.dtype, device=like.device)
        return (spacing[:, None] / spacing[None, :]) ** 2


def apply_regulariser(regulariser: Regulariser, u: Tensor, grid: Grid) -> Tensor:
    """``R u`` for a displacement (N, D, *S) [voxel of grid]."""
    n, ndim = u.shape[:2]
    stiffness = regulariser.stiffness(grid, u).expand(n, ndim, ndim)
    blocks = u.new_zeros(n, ndim * (ndim + 1) // 2, *u.shape[2:])
    return kernels.best(u).apply_operator(blocks, stiffness, u.new_zeros(n), u)
