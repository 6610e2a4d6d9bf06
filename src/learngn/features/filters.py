"""Gaussian filters, derivatives and eigenvalues, in mm: what the hand-made features are computed with."""

from __future__ import annotations

import math

import numpy as np
import scipy  # its parts are imported when they are used
import torch
from torch import Tensor

from learngn import kernels
from learngn.geometry.grid import Grid
from learngn.kernels import Taps
from learngn.kernels.reference import block_index, difference


def gaussian(data: Tensor, grid: Grid, sigma: float) -> Tensor:
    """Smooth by a Gaussian, the border repeated.

    Parameters
    ----------
    data : Tensor, shape (N, C, *S)
    grid : Grid
        On which the data lie.
    sigma : float
        Standard deviation [mm]; an axis whose voxels are much larger is hardly smoothed.
    """
    kernel = kernels.best(data)
    for axis, voxel in enumerate(grid.spacing):
        n = data.shape[axis + 2]
        if n > 1:
            taps = [_identity(m) for m in data.shape[2:]]
            taps[axis] = _gaussian_taps(n, sigma / float(voxel))
            data = kernel.resample(data, taps)  # one axis after the other: the widths add, they do not multiply
    return data


def _gaussian_taps(n: int, sigma: float) -> Taps:
    response = scipy.ndimage.gaussian_filter1d(np.eye(n), sigma, axis=0, mode="nearest", truncate=3.5)
    return Taps.from_matrix(np.asarray(response, dtype=np.float64))


def _identity(n: int) -> Taps:
    return Taps(np.arange(n, dtype=np.int64), np.ones((n, 1)), n)


def gradient(data: Tensor, grid: Grid) -> Tensor:
    """Central differences of one channel along the array's axes, (N, 1, *S) to (N, D, *S) [value per mm]."""
    parts = [difference(data, axis + 2) / float(voxel) for axis, voxel in enumerate(grid.spacing)]
    return torch.cat(parts, dim=1)


def hessian(data: Tensor, grid: Grid) -> Tensor:
    """Second differences of one channel, (N, 1, *S) to (N, K, *S), upper triangle [value per mm²].

    Differences of a smoothed image, not samples of a Gaussian's derivatives: exact for quadratic images on voxels of
    any size, where a kernel that is narrower than a thick slice sees nothing (Lindeberg, "Discrete derivative
    approximations with scale-space properties", 1993).
    """
    parts = []
    for a, b in block_index(grid.ndim):
        scale = float(grid.spacing[a] * grid.spacing[b])
        second = _second(data, a + 2) if a == b else difference(difference(data, a + 2), b + 2)
        parts.append(second / scale)
    return torch.cat(parts, dim=1)


def _second(data: Tensor, axis: int) -> Tensor:
    """``x(i - 1) - 2 x(i) + x(i + 1)``, the border repeated."""
    flux = data.diff(dim=axis)
    zero = torch.zeros_like(data.narrow(axis, 0, 1))
    return torch.cat([flux, zero], dim=axis) - torch.cat([zero, flux], dim=axis)


def outer(vectors: Tensor) -> Tensor:
    """``v vᵀ`` voxel by voxel, (N, D, *S) to (N, K, *S), upper triangle."""
    return torch.stack([vectors[:, a] * vectors[:, b] for a, b in block_index(vectors.shape[1])], dim=1)


def eigenvalues(blocks: Tensor) -> Tensor:
    """Eigenvalues of symmetric matrices, (N, K, *S) to (N, D, *S), rising.

    In closed form, which is faster than LAPACK by far for millions of small matrices (Smith, "Eigenvalues of a
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
    unit = size.clamp_min(torch.finfo(size.dtype).tiny ** 0.25)  # its cube must not vanish
    a, b, c, d, e, f = (x / unit for x in (a, b, c, d, e, f))
    determinant = a * (d * f - e * e) - b * (b * f - c * e) + c * (b * e - c * d)
    angle = (determinant / 2).clamp(-1, 1).acos() / 3
    high = mean + 2 * size * angle.cos()
    low = mean + 2 * size * (angle + 2 * math.pi / 3).cos()
    return torch.stack([low, 3 * mean - low - high, high], dim=1)


def spread(data: Tensor) -> Tensor:
    """Values brought to 0..1 by their extremes; zero throughout if they differ by no more than rounding.

    Filters then work on numbers of one size, whatever a scanner's unit, and find no structure in a constant image.
    """
    low, high = (float(v) for v in data.aminmax())
    if high - low <= 16 * torch.finfo(data.dtype).eps * max(abs(low), abs(high)):
        return torch.zeros_like(data)
    return (data - low) / (high - low)


def unit_range(data: Tensor, quantile: float = 0.995) -> Tensor:
    """Values ≥ 0 divided by a quantile of those above zero, and cut at 1; zero throughout stays zero."""
    values = data[data > 0]
    if values.numel() == 0:
        return torch.zeros_like(data)
    return (data / quantile_of(values, quantile)).clamp(0, 1)


def quantile_of(values: Tensor, q: float) -> Tensor:
    """A quantile, from at most a million of the values (torch.quantile takes no more than 2^24)."""
    values = values.flatten()
    return torch.quantile(values[:: max(1, values.numel() // 1_000_000)], q)
