"""Gaussian filters, derivatives and eigenvalues, in mm, from which the hand-crafted features are computed."""

from __future__ import annotations

import math

import numpy as np

from learngn import kernels
from learngn.arrays import Array, by_parts, clamped, namespace, narrow, quantile, zeros
from learngn.geometry.grid import Grid
from learngn.kernels import Taps
from learngn.kernels.stencils import block_index

_TRUNCATED = 3.5  # standard deviations at which a Gaussian ends


def gaussian(data: Array, grid: Grid, sigma: float) -> Array:
    """Smooth by a Gaussian; border values are repeated.

    Parameters
    ----------
    data : Array, shape (N, C, *S)
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
    radius = int(_TRUNCATED * sigma + 0.5)
    offset = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offset / max(sigma, 1e-9)) ** 2)
    response, rows = np.zeros((n, n)), np.arange(n)
    for at, weight in zip(offset, kernel / kernel.sum(), strict=True):
        response[rows, np.clip(rows + at, 0, n - 1)] += weight
    return Taps.from_matrix(response)


def _identity(n: int) -> Taps:
    return Taps(np.arange(n, dtype=np.int64), np.ones((n, 1)), n)


def gradient(data: Array, grid: Grid) -> Array:
    """Compute central differences of one channel along the array axes, (N, 1, *S) to (N, D, *S) [value per mm]."""
    out = zeros((len(data), grid.ndim, *data.shape[2:]), data)
    for axis, voxel in enumerate(grid.spacing):
        _difference(data[:, 0], axis + 1, float(voxel), out[:, axis])
    return out


def _difference(x: Array, axis: int, voxel: float, out: Array) -> None:
    """Compute central differences, one-sided at the ends, into an array of zeros."""
    n = x.shape[axis]
    for into, last, first, count, width in ((1, 2, 0, n - 2, 2), (0, 1, 0, 1, 1), (n - 1, n - 1, n - 2, 1, 1)):
        if n > 1 and count > 0:
            part = narrow(out, axis, into, count)
            part += narrow(x, axis, last, count)
            part -= narrow(x, axis, first, count)
            part /= width * voxel


def hessian(data: Array, grid: Grid) -> Array:
    """Compute second differences of one channel, (N, 1, *S) to (N, K, *S), upper triangle [value per mm²].

    Differences of a smoothed image, not sampled derivatives of a Gaussian: exact for quadratic images on voxels of any
    size, whereas a kernel narrower than a thick slice gives no response (Lindeberg, "Discrete derivative
    approximations with scale-space properties", 1993).
    """
    out = zeros((len(data), len(block_index(grid.ndim)), *data.shape[2:]), data)
    slopes = gradient(data, grid)
    for k, (a, b) in enumerate(block_index(grid.ndim)):
        if a == b:
            _second_difference(data[:, 0], a + 1, float(grid.spacing[a]), out[:, k])
        else:
            _difference(slopes[:, a], b + 1, float(grid.spacing[b]), out[:, k])
    return out


def _second_difference(x: Array, axis: int, voxel: float, out: Array) -> None:
    """Compute ``x(i - 1) - 2 x(i) + x(i + 1)`` per mm² into an array of zeros; border values are repeated."""
    n = x.shape[axis]
    if n > 1:
        flux = narrow(x, axis, 1, n - 1) - narrow(x, axis, 0, n - 1)
        flux /= voxel**2
        before, after = narrow(out, axis, 0, n - 1), narrow(out, axis, 1, n - 1)
        before += flux
        after -= flux


def outer(vectors: Array) -> Array:
    """Compute ``v vᵀ`` at each voxel, (N, D, *S) to (N, K, *S), upper triangle."""
    products = [vectors[:, a] * vectors[:, b] for a, b in block_index(vectors.shape[1])]
    return namespace(vectors).stack(products, axis=1)


def eigenvalues(blocks: Array) -> Array:
    """Compute eigenvalues of symmetric matrices, (N, K, *S) to (N, D, *S), in ascending order.

    The closed form is much faster than LAPACK for millions of small matrices (Smith, "Eigenvalues of a
    symmetric 3 × 3 matrix", 1961).
    """
    xp = namespace(blocks)
    if blocks.shape[1] == 3:
        a, b, c = (blocks[:, k] for k in range(3))
        middle, half = (a + c) / 2, xp.hypot((a - c) / 2, b)
        return xp.stack([middle - half, middle + half], axis=1)
    a, b, c, d, e, f = (blocks[:, k] for k in range(6))
    mean = (a + d + f) / 3
    a, d, f = a - mean, d - mean, f - mean
    size = xp.sqrt((a * a + d * d + f * f + 2 * (b * b + c * c + e * e)) / 6)
    unit = clamped(size, tiny(blocks) ** 0.25)  # its cube must not underflow
    a, b, c, d, e, f = (x / unit for x in (a, b, c, d, e, f))
    determinant = a * (d * f - e * e) - b * (b * f - c * e) + c * (b * e - c * d)
    angle = xp.acos(clamped(determinant / 2, -1, 1)) / 3
    high = mean + 2 * size * xp.cos(angle)
    low = mean + 2 * size * xp.cos(angle + 2 * math.pi / 3)
    return xp.stack([low, 3 * mean - low - high, high], axis=1)


def spread(data: Array) -> Array:
    """Scale values to 0..1 by minimum and maximum; return zeros if these differ only by rounding.

    Filters then work on the same range for every scanner, and find no structure in a constant image.
    """
    xp = namespace(data)
    low, high = float(xp.min(data)), float(xp.max(data))
    if high - low <= 16 * float(xp.finfo(data.dtype).eps) * max(abs(low), abs(high)):
        return xp.zeros_like(data)
    return by_parts(lambda values: (values - low) / (high - low), data)


def unit_range(data: Array, q: float = 0.995) -> Array:
    """Divide values ≥ 0 by a quantile of the positive ones, and clip at 1; data of zeros are returned as zeros."""
    values = data[data > 0]
    if math.prod(values.shape) == 0:
        return namespace(data).zeros_like(data)
    return clamped(data / quantile(values, q), 0, 1)


def tiny(data: Array) -> float:
    """Return the smallest normal number of an array's type."""
    return float(namespace(data).finfo(data.dtype).smallest_normal)
