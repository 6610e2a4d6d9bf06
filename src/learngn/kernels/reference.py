"""Reference implementation of all kernels in plain torch: differentiable, any floating dtype and device, 2D and 3D."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from learngn.kernels.interface import Coarsening
from learngn.kernels.taps import Taps


def block_index(ndim: int) -> list[tuple[int, int]]:
    """Return row and column of each stored entry of a symmetric block."""
    return [(a, b) for a in range(ndim) for b in range(a, ndim)]


def full_blocks(blocks: Tensor, ndim: int) -> Tensor:
    """Expand upper triangles (N, K, *S) to full symmetric matrices (N, *S, D, D)."""
    entries: dict[tuple[int, int], Tensor] = {}
    for k, (a, b) in enumerate(block_index(ndim)):
        entries[a, b] = entries[b, a] = blocks[:, k]
    rows = [torch.stack([entries[a, b] for b in range(ndim)], dim=-1) for a in range(ndim)]
    return torch.stack(rows, dim=-2)


def diagonal(blocks: Tensor) -> list[int]:
    """Return the indices of the diagonal entries of blocks (N, K, *S)."""
    return [k for k, (a, b) in enumerate(block_index(blocks.ndim - 2)) if a == b]


def squared_length(field: Tensor) -> Tensor:
    """Compute ``|u|²`` of a field (N, D, *S), as (N, 1, *S): thirty times as fast as PyTorch's norm for short axes."""
    return field.square().sum(dim=1, keepdim=True)


def difference(x: Tensor, axis: int) -> Tensor:
    """Compute central differences along tensor dimension `axis` [value per voxel], one-sided at the two ends."""
    n = x.shape[axis]
    if n == 1:
        return torch.zeros_like(x)
    forward = x.narrow(axis, 1, n - 1) - x.narrow(axis, 0, n - 1)
    first, last = forward.narrow(axis, 0, 1), forward.narrow(axis, n - 2, 1)
    inner = (forward.narrow(axis, 0, n - 2) + forward.narrow(axis, 1, n - 2)) / 2
    return torch.cat([first, inner, last], dim=axis)


def _negative_second_difference(x: Tensor, axis: int, faces: Tensor | None = None) -> Tensor:
    """Compute ``-∂ c ∂ x`` along tensor dimension `axis`; `faces` is c between each voxel and the next, None for 1."""
    n = x.shape[axis]
    flux = x.narrow(axis, 1, n - 1) - x.narrow(axis, 0, n - 1)
    if faces is not None:
        flux = flux * faces.narrow(axis, 0, n - 1)
    zero = torch.zeros_like(x.narrow(axis, 0, 1))
    return torch.cat([zero, flux], dim=axis) - torch.cat([flux, zero], dim=axis)


def stencil_diagonal(stiffness: Tensor, shape: Sequence[int], faces: Tensor | None, order: int) -> Tensor:
    """Compute the diagonal of the `order`-th power (1 or 2) of :meth:`ReferenceKernels.elastic`, (N, D, *S).

    Parameters
    ----------
    stiffness : Tensor, shape (N, D, D)
    shape : sequence of int
        Shape S of the grid.
    faces : Tensor, shape (1 or N, D, *S), optional
    order : int
    """
    ndim = len(shape)
    first = stiffness.new_zeros(1, ndim, *[1] * ndim)
    squares = first
    for b, n in enumerate(shape):
        if n == 1:
            continue
        ones = stiffness.new_ones([1, *[n if axis == b else 1 for axis in range(ndim)]])
        conducts = (ones if faces is None else faces[:, b]).narrow(b + 1, 0, n - 1)
        zero = torch.zeros_like(conducts.narrow(b + 1, 0, 1))
        before, after = torch.cat([zero, conducts], dim=b + 1), torch.cat([conducts, zero], dim=b + 1)
        weight = stiffness[:, :, b].reshape(-1, ndim, *[1] * ndim)
        first = first + weight * (before + after)[:, None]
        squares = squares + (weight**2) * (before**2 + after**2)[:, None]
    # The diagonal of the square is the sum of the squares of a row; entries beside the diagonal are those of the faces.
    diagonal = first if order == 1 else first**2 + squares
    return diagonal.expand(len(stiffness), ndim, *shape)


def _per_sample(values: Tensor, x: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (x.ndim - 1))


class ReferenceKernels:
    """Plain torch implementation of :class:`learngn.kernels.interface.Kernels`."""

    name = "torch"

    def _coordinates(
        self, field: Tensor | None, matrix: NDArray[np.float64], shape: Sequence[int], like: Tensor
    ) -> Tensor:
        """Return the image indices at which to sample, shape (N, *S, D)."""
        axes = [torch.arange(n, dtype=like.dtype, device=like.device) for n in shape]
        x = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)[None]
        if field is not None:
            x = x + field.movedim(1, -1)
        linear = torch.as_tensor(matrix[:-1, :-1], dtype=like.dtype, device=like.device)
        shift = torch.as_tensor(matrix[:-1, -1], dtype=like.dtype, device=like.device)
        return (x @ linear.T + shift).expand(like.shape[0], *x.shape[1:])

    def warp(self, image: Tensor, field: Tensor | None, matrix: NDArray[np.float64], shape: Sequence[int]) -> Tensor:
        index = self._coordinates(field, matrix, shape, image)
        size = torch.tensor(image.shape[2:], dtype=image.dtype, device=image.device)
        # grid_sample takes x first, and coordinates from -1 to 1 over the whole extent; this convention stays here.
        normalised = ((2 * index + 1) / size - 1).flip(-1)
        return F.grid_sample(image, normalised, mode="bilinear", padding_mode="border", align_corners=False)

    def warp_nearest(
        self, image: Tensor, field: Tensor | None, matrix: NDArray[np.float64], shape: Sequence[int], outside: float
    ) -> Tensor:
        like = image if image.is_floating_point() else image.to(torch.float32)
        index = torch.floor(self._coordinates(field, matrix, shape, like if field is None else field) + 0.5).to(
            torch.int64
        )
        size = torch.tensor(image.shape[2:], device=image.device)
        inside = ((index >= 0) & (index < size)).all(dim=-1)
        clamped = torch.minimum(index.clamp_min(0), size - 1)
        flat = torch.zeros_like(clamped[..., 0])
        for axis, n in enumerate(image.shape[2:]):
            flat = flat * n + clamped[..., axis]
        values = image.flatten(2).gather(2, flat.flatten(1)[:, None].expand(-1, image.shape[1], -1))
        values = values.reshape(*image.shape[:2], *shape)
        return torch.where(inside[:, None], values, torch.full_like(values, outside))

    def resample(self, image: Tensor, taps: Sequence[Taps]) -> Tensor:
        for axis, tap in enumerate(taps):
            matrix = torch.as_tensor(tap.matrix(), dtype=image.dtype, device=image.device)
            image = torch.tensordot(matrix, image, dims=([1], [axis + 2])).movedim(0, axis + 2)
        return image

    def normal_equations(
        self, fixed: Tensor, warped: Tensor, weight: Tensor | None, symmetric: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        ndim = fixed.ndim - 2
        residual = warped - fixed
        source = (warped + fixed) / 2 if symmetric else warped
        jacobian = [difference(source, axis + 2) for axis in range(ndim)]
        blocks = torch.stack([(jacobian[a] * jacobian[b]).sum(1) for a, b in block_index(ndim)], dim=1)
        gradient = torch.stack([(j * residual).sum(1) for j in jacobian], dim=1)
        energy = residual.double().square().sum(1, keepdim=True)
        if weight is not None:
            blocks, gradient, energy = blocks * weight, gradient * weight, energy * weight
        energy = energy.flatten(1).sum(1) / 2
        return blocks, gradient, energy

    def apply_operator(self, blocks: Tensor, stiffness: Tensor, shift: Tensor, x: Tensor) -> Tensor:
        return self.apply_blocks(blocks, shift, x, self.elastic(stiffness, x, None))

    def smooth(
        self, blocks: Tensor, stiffness: Tensor, shift: Tensor, rhs: Tensor, x: Tensor | None, omega: float
    ) -> Tensor:
        diagonal = stencil_diagonal(stiffness, rhs.shape[2:], None, 1)
        elastic = None if x is None else self.elastic(stiffness, x, None)
        return self.relax(blocks, diagonal, shift, rhs, x, elastic, omega)

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
    ) -> None:
        return None

    def elastic(self, stiffness: Tensor, x: Tensor, faces: Tensor | None) -> Tensor:
        ndim = x.shape[1]
        rows = []
        for a in range(ndim):
            row = torch.zeros_like(x[:, a])
            for b in range(ndim):
                if x.shape[b + 2] > 1:
                    conducts = None if faces is None else faces[:, b]
                    weight = _per_sample(stiffness[:, a, b], row)
                    row = row + weight * _negative_second_difference(x[:, a], b + 1, conducts)
            rows.append(row)
        return torch.stack(rows, dim=1)

    def apply_blocks(self, blocks: Tensor, shift: Tensor, x: Tensor, elastic: Tensor) -> Tensor:
        ndim = x.shape[1]
        rows = list((elastic + _per_sample(shift, x) * x).unbind(1))
        for k, (a, b) in enumerate(block_index(ndim)):
            rows[a] = rows[a] + blocks[:, k] * x[:, b]
            if a != b:
                rows[b] = rows[b] + blocks[:, k] * x[:, a]
        return torch.stack(rows, dim=1)

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
        residual = rhs if x is None or elastic is None else rhs - self.apply_blocks(blocks, shift, x, elastic)
        own = (diagonal + _per_sample(shift, rhs)).movedim(1, -1)
        matrix = full_blocks(blocks, rhs.shape[1]) + torch.diag_embed(own)
        step = torch.linalg.solve(matrix, residual.movedim(1, -1)).movedim(-1, 1)
        damped: Tensor = omega * step
        return damped if x is None else x + damped

    def dot(self, a: Tensor, b: Tensor) -> float:
        return float((a * b).sum(dtype=torch.float64))

    def combined(self, x: Tensor, a: Tensor, y: Tensor, b: Tensor) -> Tensor:
        return a.to(x) * x + b.to(y) * y

    def mean_diagonal(self, blocks: Tensor) -> Tensor:
        # Rows first, the rest in double precision: the mean then does not depend on the number of threads.
        return blocks[:, diagonal(blocks)].mean(-1).flatten(1).mean(1, dtype=torch.float64)

    def lengths(self, field: Tensor) -> tuple[float, float]:
        length = squared_length(field).sqrt()
        return float(length.mean(dtype=torch.float64)), float(length.max())

    def capped(self, field: Tensor, longest: float) -> Tensor:
        # Short vectors are masked before the root: it has no derivative at zero.
        return field * (longest / squared_length(field).clamp_min(longest**2).sqrt())

    def pull_back(self, u: Tensor, gradient: Tensor) -> Tensor:
        ndim = u.shape[1]
        return gradient + torch.stack([(difference(u, axis + 2) * gradient).sum(1) for axis in range(ndim)], dim=1)

    def determinant(self, field: Tensor) -> Tensor:
        ndim = field.shape[1]
        rows = [torch.stack([difference(field[:, a], b + 1) for b in range(ndim)], dim=-1) for a in range(ndim)]
        gradient = torch.stack(rows, dim=-2)
        determinant: Tensor = torch.linalg.det(gradient + torch.eye(ndim, dtype=field.dtype, device=field.device))
        return determinant

    def guarded(
        self, u: Tensor, step: Tensor, shares: Sequence[float], bound: float, reach: int, attempts: int
    ) -> None:
        return None  # :class:`learngn.optimise.StepControl` does it by other operations

    def match_cost(
        self,
        fixed: Tensor,
        weight: Tensor,
        moving: Tensor,
        seen: Tensor,
        offsets: NDArray[np.int64],
        cell: Sequence[int],
    ) -> tuple[Tensor, Tensor]:
        average = F.avg_pool2d if fixed.ndim == 4 else F.avg_pool3d
        cost, covered = [], []
        for offset in offsets.tolist():
            across = [slice(o, o + n) for o, n in zip(offset, fixed.shape[2:], strict=True)]
            there = (slice(None), slice(None), *across)
            counted = weight * seen[there]
            distance = (moving[there] - fixed).square().sum(1, keepdim=True) * counted
            cost.append(average(distance, tuple(cell)))
            covered.append(average(counted, tuple(cell)))
        return torch.cat(cost, dim=1), torch.cat(covered, dim=1)
