"""Every kernel in plain torch: differentiable, any floating dtype and device, 2D and 3D in one code path."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from learngn.kernels.interface import Taps


def block_index(ndim: int) -> list[tuple[int, int]]:
    """Row and column of each stored entry of a symmetric block."""
    return [(a, b) for a in range(ndim) for b in range(a, ndim)]


def full_blocks(blocks: Tensor, ndim: int) -> Tensor:
    """Upper triangles (N, K, *S) as full symmetric matrices (N, *S, D, D)."""
    entries: dict[tuple[int, int], Tensor] = {}
    for k, (a, b) in enumerate(block_index(ndim)):
        entries[a, b] = entries[b, a] = blocks[:, k]
    rows = [torch.stack([entries[a, b] for b in range(ndim)], dim=-1) for a in range(ndim)]
    return torch.stack(rows, dim=-2)


def difference(x: Tensor, axis: int) -> Tensor:
    """Central difference along tensor dimension `axis` [value per voxel], one-sided at the two ends."""
    n = x.shape[axis]
    if n == 1:
        return torch.zeros_like(x)
    forward = x.narrow(axis, 1, n - 1) - x.narrow(axis, 0, n - 1)
    first, last = forward.narrow(axis, 0, 1), forward.narrow(axis, n - 2, 1)
    inner = (forward.narrow(axis, 0, n - 2) + forward.narrow(axis, 1, n - 2)) / 2
    return torch.cat([first, inner, last], dim=axis)


def _negative_second_difference(x: Tensor, axis: int) -> Tensor:
    n = x.shape[axis]
    flux = x.narrow(axis, 1, n - 1) - x.narrow(axis, 0, n - 1)
    zero = torch.zeros_like(x.narrow(axis, 0, 1))
    return torch.cat([zero, flux], dim=axis) - torch.cat([flux, zero], dim=axis)


def _per_sample(values: Tensor, x: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (x.ndim - 1))


class ReferenceKernels:
    """Plain torch implementation of :class:`learngn.kernels.interface.Kernels`."""

    name = "reference"

    def _coordinates(
        self, field: Tensor | None, matrix: NDArray[np.float64], shape: Sequence[int], like: Tensor
    ) -> Tensor:
        """Image indices at which to sample, shape (N, *S, D)."""
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
        # grid_sample counts x first and from -1 to 1 over the whole extent; this is the only place that knows.
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
        ndim = x.shape[1]
        rows = [_per_sample(shift, x[:, a]) * x[:, a] for a in range(ndim)]
        for k, (a, b) in enumerate(block_index(ndim)):
            rows[a] = rows[a] + blocks[:, k] * x[:, b]
            if a != b:
                rows[b] = rows[b] + blocks[:, k] * x[:, a]
        for a in range(ndim):
            for b in range(ndim):
                if x.shape[b + 2] > 1:
                    rows[a] = rows[a] + _per_sample(stiffness[:, a, b], x[:, a]) * _negative_second_difference(
                        x[:, a], b + 1
                    )
        return torch.stack(rows, dim=1)

    def smooth(
        self, blocks: Tensor, stiffness: Tensor, shift: Tensor, rhs: Tensor, x: Tensor | None, omega: float
    ) -> Tensor:
        ndim = rhs.shape[1]
        residual = rhs if x is None else rhs - self.apply_operator(blocks, stiffness, shift, x)
        diagonal = full_blocks(blocks, ndim) + _per_sample(shift, rhs[:, 0])[..., None, None] * torch.eye(
            ndim, dtype=rhs.dtype, device=rhs.device
        )
        for b in range(ndim):
            n = rhs.shape[b + 2]
            neighbours = torch.full((n,), 2.0, dtype=rhs.dtype, device=rhs.device)
            neighbours[0] -= 1
            neighbours[-1] -= 1
            count = neighbours.reshape([-1 if axis == b else 1 for axis in range(ndim)])
            weight = torch.diag_embed(stiffness[:, :, b]).reshape(-1, *[1] * ndim, ndim, ndim)
            diagonal = diagonal + weight * count[None, ..., None, None]
        step = torch.linalg.solve(diagonal, residual.movedim(1, -1)).movedim(-1, 1)
        damped: Tensor = omega * step
        return damped if x is None else x + damped

    def determinant(self, field: Tensor) -> Tensor:
        ndim = field.shape[1]
        rows = [torch.stack([difference(field[:, a], b + 1) for b in range(ndim)], dim=-1) for a in range(ndim)]
        gradient = torch.stack(rows, dim=-2)
        determinant: Tensor = torch.linalg.det(gradient + torch.eye(ndim, dtype=field.dtype, device=field.device))
        return determinant
