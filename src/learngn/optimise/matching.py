"""Costs of displacing cells by a window of whole steps, and the best displacements given a smooth field."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from learngn import kernels
from learngn.features import FeatureImage
from learngn.geometry import sampling
from learngn.geometry.grid import FloatArray, Grid
from learngn.kernels.reference import block_index
from learngn.regularise import Diffusion
from learngn.solve import NormalSolver

# Weight of a cell without information: its neighbours determine it, and the system stays definite.
_LEAST = 1e-3


def window(spacing: FloatArray, reach: float, most: int | None = None) -> NDArray[np.int64]:
    """Return displacements by whole voxels, at most `reach` [mm] long, for a lattice of a spacing [mm]; (W, D) [voxel].

    Along every axis there are at most `most` steps in either direction, as an image much thinner than a step would
    otherwise have a very large number of them.
    """
    # The tolerance of 5 % allows for voxel sizes that were rounded to divide the grid.
    half = np.floor(1.05 * reach / spacing)
    half = (half if most is None else np.minimum(half, most)).astype(np.int64)
    offsets = np.array(list(product(*[range(-n, n + 1) for n in half.tolist()])), dtype=np.int64)
    return np.asarray(offsets[np.linalg.norm(offsets * spacing, axis=1) <= 1.05 * reach])


def on_border(offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which displacements of a window, (W, D), lack a neighbour along an axis of the window."""
    members = {tuple(offset) for offset in offsets.tolist()}
    axes = np.flatnonzero(offsets.any(axis=0))
    steps = [sign * np.eye(offsets.shape[1], dtype=np.int64)[axis] for axis in axes for sign in (-1, 1)]
    return np.array([any(tuple((o + s).tolist()) not in members for s in steps) for o in offsets], dtype=np.bool_)


def sampled(
    image: FeatureImage,
    field: Tensor | None,
    matrix: FloatArray,
    lattice: Grid,
    margin: NDArray[np.int64] | None = None,
) -> FeatureImage:
    """Sample features on a lattice enlarged by `margin` voxels at every end; the weight is zero outside the image.

    Parameters
    ----------
    image : FeatureImage
    field : Tensor, shape (N, D, *lattice.shape) [voxel of the lattice], optional
        Displacement; its border values are repeated in the margin.
    matrix : array, shape (D+1, D+1)
        Maps the lattice's index to the image's.
    lattice : Grid
    margin : array, shape (D,), int64 [voxel], optional
    """
    ndim = lattice.ndim
    wide = np.zeros(ndim, dtype=np.int64) if margin is None else margin
    shift = sampling.identity_map(ndim)
    shift[:-1, -1] = -wide
    grid = Grid(tuple(np.asarray(lattice.shape) + 2 * wide), lattice.affine @ shift)
    if field is not None:
        field = F.pad(field, [int(n) for n in wide[::-1] for _ in range(2)], mode="replicate")
    matrix = matrix @ shift
    data = sampling.warp(image.data, field, matrix, grid.shape)
    weight = sampling.inside(image.grid.shape, field, matrix, grid.shape, data).to(data.dtype)
    if image.weight is not None:
        weight = weight * sampling.warp(image.weight, field, matrix, grid.shape)
    return FeatureImage(data, grid, weight)


@dataclass(frozen=True, eq=False)
class CellCosts:
    """Costs of a window of displacements around a given displacement field.

    Attributes
    ----------
    cost : Tensor, shape (N, W, P)
        Mean squared difference of the features over each of P cells, in units of a typical `stake`.
    stake : Tensor, shape (N, 1, *S)
        Importance of a cell: the mean minus the lowest cost of the window, in the same unit, at most one.
    offsets : Tensor, shape (W, D) [voxel of cells]
        Displacements of the window.
    border : Tensor, shape (W,), bool
        Which displacements are on the window's border.
    start : Tensor, shape (N, D, *S) [voxel of cells]
        Displacement around which the window is searched.
    cells : Grid
        Grid of the cells, of shape S.
    step : float
        Unit of length of the coupling [mm].
    """

    cost: Tensor
    stake: Tensor
    offsets: Tensor
    border: Tensor
    start: Tensor
    cells: Grid
    step: float

    @classmethod
    def of(
        cls,
        fixed: FeatureImage,
        moving: FeatureImage,
        matrix: FloatArray,
        cells: Grid,
        step: float,
        offsets: NDArray[np.int64],
        start: Tensor,
    ) -> CellCosts:
        """Compute the costs by comparing features.

        Parameters
        ----------
        fixed : FeatureImage
            Fixed features on a lattice that subdivides the cells.
        moving : FeatureImage
            Moving features on their own grid.
        matrix : array, shape (D+1, D+1)
            Maps the index of `fixed` to that of `moving`, without displacement.
        cells : Grid
        step : float
            Unit of length of the coupling [mm].
        offsets : array, shape (W, D), int64 [voxel of the lattice]
        start : Tensor, shape (N, D, *S) [voxel of cells]
        """
        lattice, like = fixed.grid, fixed.data
        margin = np.abs(offsets).max(axis=0)
        parts = [n // m for n, m in zip(lattice.shape, cells.shape, strict=True)]
        field = sampling.resize_field(start, lattice.shape)
        warped = sampled(moving, field, matrix, lattice, margin)
        weight = torch.ones_like(like[:, :1]) if fixed.weight is None else fixed.weight
        moving_weight = torch.ones_like(warped.data[:, :1]) if warped.weight is None else warped.weight
        cost, covered = kernels.match_cost(like, weight, warped.data, moving_weight, offsets + margin, parts)
        # Displacements to outside the moving image get the cell's mean cost, and are neither preferred nor avoided.
        counts = sampling.pool(weight, cells.shape)
        mean = cost.sum(1, keepdim=True) / covered.sum(1, keepdim=True).clamp_min(_LEAST)
        cost += (counts - covered) * mean
        stake = (counts * mean - cost.amin(1, keepdim=True)).clamp_min(0)
        # A cell that the start moves out of the moving image gets a low weight: its neighbours should determine it.
        zero = int(np.flatnonzero(~offsets.any(axis=1))[0])
        stake *= covered[:, zero : zero + 1] / counts.clamp_min(_LEAST)
        typical = stake.square().flatten(1).sum(1) / stake.flatten(1).sum(1).clamp_min(torch.finfo(like.dtype).tiny)
        unit = typical.clamp_min(torch.finfo(like.dtype).tiny).reshape(-1, *[1] * (lattice.ndim + 1))
        return cls(
            cost.div_(unit).flatten(2),
            (stake / unit).clamp(_LEAST, 1),
            torch.as_tensor(offsets / np.asarray(parts), dtype=like.dtype, device=like.device),
            torch.as_tensor(on_border(offsets), device=like.device),
            start,
            cells,
            step,
        )

    def best(self, u: Tensor, theta: float) -> tuple[Tensor, Tensor]:
        """Return the displacement of each cell with the least ``cost + θ |d - u|²``, and the weight of each cell.

        Parameters
        ----------
        u : Tensor, shape (N, D, *S) [voxel of cells]
        theta : float
            θ, for displacements in steps.

        Returns
        -------
        d : Tensor, shape (N, D, *S) [voxel of cells]
            Displacement, including the start.
        weight : Tensor, shape (N, 1, *S)
        """
        n = len(u)
        scale = torch.as_tensor(self.cells.spacing / self.step, dtype=u.dtype, device=u.device)
        steps = self.offsets * scale
        # The start is evaluated at the cell itself, which is exact to first order.
        target = (u - self.start).flatten(2) * scale[:, None]
        # |d - u|² without |u|², which is the same for all displacements.
        energy = torch.baddbmm(
            self.cost + theta * steps.square().sum(1)[:, None], steps.expand(n, -1, -1), target, alpha=-2 * theta
        )
        index = energy.argmin(1)
        chosen = self.offsets[index].movedim(-1, 1).reshape(u.shape)
        outermost = self.border[index].reshape(self.stake.shape)
        return sampling.compose(self.start, chosen), torch.where(outermost, self.stake.new_tensor(_LEAST), self.stake)

    def smoothed(self, d: Tensor, weight: Tensor, theta: float, lam: float) -> Tensor:
        """Solve ``(θ W I + λ R) u = θ W d``, W and lengths in steps and R in mm per mm.

        Parameters
        ----------
        d : Tensor, shape (N, D, *S) [voxel of cells]
        weight : Tensor, shape (N, 1, *S)
        theta, lam : float

        Returns
        -------
        Tensor, shape (N, D, *S) [voxel of cells]
        """
        n, ndim = d.shape[:2]
        scale = (theta * (self.cells.spacing / self.step) ** 2).tolist()
        zero = torch.zeros_like(weight[:, 0])
        blocks = torch.stack([scale[a] * weight[:, 0] if a == b else zero for a, b in block_index(ndim)], dim=1)
        rhs = torch.stack([scale[a] * weight[:, 0] * d[:, a] for a in range(ndim)], dim=1)
        stiffness = Diffusion().stiffness(self.cells, d)
        solver = NormalSolver(tolerance=1e-2)
        u, _ = solver.solve(blocks, stiffness, rhs, d.new_full((n,), lam), d.new_zeros(n))
        return u
