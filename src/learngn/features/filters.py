"""Gaussian filters, derivatives and eigenvalues, in mm, from which the hand-crafted features are computed."""

from __future__ import annotations

import math

import numpy as np
import scipy  # its submodules are imported when they are used
import torch
from torch import Tensor

from learngn import kernels
from learngn.geometry.grid import Grid
from learngn.kernels import Taps
from learngn.kernels.reference import block_index, difference


def gaussian(data: Tensor, grid: Grid, sigma: float) -> Tensor:
    """Smooth by a Gaussian; border values are repeated.

    Parameters
    ----------
    data : Tensor, shape (N, C, *S)
    grid : Grid
        Grid of the data.
    sigma : float
        Standard deviation [mm]; axes with much larger voxels are hardly smoothed.
    """
    for axis, voxel in enumerate(grid.spacing):
        n = data.shape[axis + 2]
        if n > 1:
            taps = [_identity(m) for m in data.shape[2:]]
            taps[axis] = _gaussian_taps(n, sigma / float(voxel))
            data = kernels.resample(data, taps)  # one axis at a time: the kernel widths add, not multiply
    return data


def _gaussian_taps(n: int, sigma: float) -> Taps:
    response = scipy.ndimage.gaussian_filter1d(np.eye(n), sigma, axis=0, mode="nearest", truncate=3.5)
    return Taps.from_matrix(np.asarray(response, dtype=np.float64))


def _identity(n: int) -> Taps:
    return Taps(np.arange(n, dtype=np.int64), np.ones((n, 1)), n)


def gradient(data: Tensor, grid: Grid) -> Tensor:
    """Compute central differences of one channel along the array axes, (N, 1, *S) to (N, D, *S) [value per mm]."""
    parts = [difference(data, axis + 2) / float(voxel) for axis, voxel in enumerate(grid.spacing)]
    return torch.cat(parts, dim=1)


def hessian(data: Tensor, grid: Grid) -> Tensor:
    """Compute second differences of one channel, (N, 1, *S) to (N, K, *S), upper triangle [value per mm²].

    Differences of a smoothed image, not sampled derivatives of a Gaussian: exact for quadratic images on voxels of any
    size, whereas a kernel narrower than a thick slice gives no response (Lindeberg, "Discrete derivative
    approximations with scale-space properties", 1993).
    """
    parts = []
    for a, b in block_index(grid.ndim):
        scale = float(grid.spacing[a] * grid.spacing[b])
        second = _second(data, a + 2) if a == b else difference(difference(data, a + 2), b + 2)
        parts.append(second / scale)
    return torch.cat(parts, dim=1)


def _second(data: Tensor, axis: int) -> Tensor:
    """Compute ``x(i - 1) - 2 x(i) + x(i + 1)``; border values are repeated."""
    flux = data.diff(dim=axis)
    zero = torch.zeros_like(data.narrow(axis, 0, 1))
    return torch.cat([flux, zero], dim=axis) - torch.cat([zero, flux], dim=axis)


def outer(vectors: Tensor) -> Tensor:
    """Compute ``v vᵀ`` at each voxel, (N, D, *S) to (N, K, *S), upper triangle."""
    return torch.stack([vectors[:, a] * vectors[:, b] for a, b in block_index(vectors.shape[1])], dim=1)


def eigenvalues(blocks: Tensor) -> Tensor:
    """Compute eigenvalues of symmetric matrices, (N, K, *S) to (N, D, *S), in ascending order.

    The closed form is much faster than LAPACK for millions of small matrices (Smith, "Eigenvalues of a
    symmetric 3 × 3 matrix", 1961).
    """
    if blocks.shape[1] == 3:
        a, b, c = blocks.unbind(1)
        middle, half = (a + c) / 2, torch.hypot((a - c) / 2, b)
        return torch.stack([middle - half, middle + half], dim=1)
    a, b, c, d, e, f = blocks.unbind(1)
    mean = (a + d + f) / 3
    a, d, f = a - mean, d - mean, f - mean
    size = ((a * a + d * d + f * f + 2 * (b * b + c * c + e * e)) / 6).sqrt()
    unit = size.clamp_min(torch.finfo(size.dtype).tiny ** 0.25)  # its cube must not underflow
    a, b, c, d, e, f = (x / unit for x in (a, b, c, d, e, f))
    determinant = a * (d * f - e * e) - b * (b * f - c * e) + c * (b * e - c * d)
    angle = (determinant / 2).clamp(-1, 1).acos() / 3
    high = mean + 2 * size * angle.cos()
    low = mean + 2 * size * (angle + 2 * math.pi / 3).cos()
    return torch.stack([low, 3 * mean - low - high, high], dim=1)


def spread(data: Tensor) -> Tensor:
    """Scale values to 0..1 by minimum and maximum; return zeros if these differ only by rounding.

    Filters then work on the same range for every scanner, and find no structure in a constant image.
    """
    low, high = (float(v) for v in data.aminmax())
    if high - low <= 16 * torch.finfo(data.dtype).eps * max(abs(low), abs(high)):
        return torch.zeros_like(data)
    return (data - low) / (high - low)


def unit_range(data: Tensor, quantile: float = 0.995) -> Tensor:
    """Divide values ≥ 0 by a quantile of the positive ones, and clip at 1; data of zeros are returned as zeros."""
    values = data[data > 0]
    if values.numel() == 0:
        return torch.zeros_like(data)
    return (data / quantile_of(values, quantile)).clamp(0, 1)


def quantile_of(values: Tensor, q: float) -> Tensor:
    """Return a quantile, computed from at most a million of the values (torch.quantile accepts at most 2^24)."""
    values = values.flatten()
    return torch.quantile(values[:: max(1, values.numel() // 1_000_000)], q)
