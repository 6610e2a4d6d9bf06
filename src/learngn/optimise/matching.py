"""Costs of displacing cells by a window of whole steps, and the best displacements given a smooth field."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from learngn import kernels
from learngn.arrays import Array, clamped, full_like_shape, like, namespace, per_sample, zeros
from learngn.features import FeatureImage
from learngn.geometry import sampling
from learngn.geometry.grid import FloatArray, Grid
from learngn.kernels.stencils import block_index
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
    field: Array | None,
    matrix: FloatArray,
    lattice: Grid,
    margin: NDArray[np.int64] | None = None,
) -> FeatureImage:
    """Sample features on a lattice enlarged by `margin` voxels at every end; the weight is zero outside the image.

    Parameters
    ----------
    image : FeatureImage
    field : Array, shape (N, D, *lattice.shape) [voxel of the lattice], optional
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
        field = _extended(field, wide)
    matrix = matrix @ shift
    data = sampling.warp(image.data, field, matrix, grid.shape)
    inside = sampling.inside(image.grid.shape, field, matrix, grid.shape, data)
    weight = namespace(data).astype(inside, data.dtype)
    if image.weight is not None:
        weight = weight * sampling.warp(image.weight, field, matrix, grid.shape)
    return FeatureImage(data, grid, weight)


def _extended(field: Array, margin: NDArray[np.int64]) -> Array:
    """Repeat the values at the border of a field, (N, D, *S), by `margin` voxels at every end."""
    xp = namespace(field)
    for axis, (n, wide) in enumerate(zip(field.shape[2:], margin.tolist(), strict=True), start=2):
        nearest = np.clip(np.arange(-wide, n + wide), 0, n - 1)
        field = xp.take(field, like(nearest, field, xp.int64), axis=axis)
    return field


@dataclass(frozen=True, eq=False)
class CellCosts:
    """Costs of a window of displacements around a given displacement field.

    Attributes
    ----------
    cost : Array, shape (N, W, P)
        Mean squared difference of the features over each of P cells, in units of a typical `stake`.
    stake : Array, shape (N, 1, *S)
        Importance of a cell: the mean minus the lowest cost of the window, in the same unit, at most one.
    offsets : Array, shape (W, D) [voxel of cells]
        Displacements of the window.
    border : Array, shape (W,), bool
        Which displacements are on the window's border.
    start : Array, shape (N, D, *S) [voxel of cells]
        Displacement around which the window is searched.
    cells : Grid
        Grid of the cells, of shape S.
    step : float
        Unit of length of the coupling [mm].
    """

    cost: Array
    stake: Array
    offsets: Array
    border: Array
    start: Array
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
        start: Array,
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
        start : Array, shape (N, D, *S) [voxel of cells]
        """
        lattice, data = fixed.grid, fixed.data
        xp, least = namespace(data), float(np.finfo(np.float32).tiny)
        margin = np.abs(offsets).max(axis=0)
        parts = [n // m for n, m in zip(lattice.shape, cells.shape, strict=True)]
        field = sampling.resize_field(start, lattice.shape)
        warped = sampled(moving, field, matrix, lattice, margin)
        weight = xp.ones_like(data[:, :1]) if fixed.weight is None else fixed.weight
        moving_weight = xp.ones_like(warped.data[:, :1]) if warped.weight is None else warped.weight
        cost, covered = kernels.match_cost(data, weight, warped.data, moving_weight, offsets + margin, parts)
        # Displacements to outside the moving image get the cell's mean cost, and are neither preferred nor avoided.
        counts = sampling.pool(weight, cells.shape)
        mean = xp.sum(cost, axis=1, keepdims=True) / clamped(xp.sum(covered, axis=1, keepdims=True), _LEAST)
        lacking = counts - covered
        lacking *= mean
        cost += lacking
        stake = clamped(counts * mean - xp.min(cost, axis=1, keepdims=True), 0)
        # A cell that the start moves out of the moving image gets a low weight: its neighbours should determine it.
        zero = int(np.flatnonzero(~offsets.any(axis=1))[0])
        stake *= covered[:, zero : zero + 1] / clamped(counts, _LEAST)
        rows = xp.reshape(stake, (len(stake), -1))
        typical = xp.sum(rows**2, axis=1) / clamped(xp.sum(rows, axis=1), least)
        unit = per_sample(clamped(typical, least), cost)
        cost /= unit
        return cls(
            xp.reshape(cost, (*cost.shape[:2], -1)),
            clamped(stake / unit, _LEAST, 1),
            like(offsets / np.asarray(parts), data),
            like(on_border(offsets), data, xp.bool),
            start,
            cells,
            step,
        )

    def best(self, u: Array, theta: float) -> tuple[Array, Array]:
        """Return the displacement of each cell with the least ``cost + θ |d - u|²``, and the weight of each cell.

        Parameters
        ----------
        u : Array, shape (N, D, *S) [voxel of cells]
        theta : float
            θ, for displacements in steps.

        Returns
        -------
        d : Array, shape (N, D, *S) [voxel of cells]
            Displacement, including the start.
        weight : Array, shape (N, 1, *S)
        """
        xp, scale = namespace(u), like(self.cells.spacing / self.step, u)
        steps = self.offsets * scale
        # The start is evaluated at the cell itself, which is exact to first order.
        target = xp.reshape(u - self.start, (*u.shape[:2], -1)) * scale[:, None]
        index = kernels.best_match(self.cost, steps, target, theta)
        chosen = xp.reshape(xp.moveaxis(self.offsets[index], -1, 1), u.shape)
        outermost = xp.reshape(self.border[index], self.stake.shape)
        least = full_like_shape(self.stake.shape, _LEAST, self.stake)
        return sampling.compose(self.start, chosen), xp.where(outermost, least, self.stake)

    def smoothed(self, d: Array, weight: Array, theta: float, lam: float) -> Array:
        """Solve ``(θ W I + λ R) u = θ W d``, W and lengths in steps and R in mm per mm.

        Parameters
        ----------
        d : Array, shape (N, D, *S) [voxel of cells]
        weight : Array, shape (N, 1, *S)
        theta, lam : float

        Returns
        -------
        Array, shape (N, D, *S) [voxel of cells]
        """
        n, ndim = d.shape[:2]
        scale = (theta * (self.cells.spacing / self.step) ** 2).tolist()
        xp, zero = namespace(d), zeros(weight[:, 0].shape, weight)
        blocks = xp.stack([scale[a] * weight[:, 0] if a == b else zero for a, b in block_index(ndim)], axis=1)
        rhs = xp.stack([scale[a] * weight[:, 0] * d[:, a] for a in range(ndim)], axis=1)
        stiffness = Diffusion().stiffness(self.cells, d)
        solver = NormalSolver(tolerance=1e-2)
        u, _ = solver.solve(blocks, stiffness, rhs, full_like_shape((n,), lam, d), zeros((n,), d))
        return u
