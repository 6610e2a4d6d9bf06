"""Similarity of two scans on one grid, in measures that no registration of this package minimises."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from learngn.geometry.grid import FloatArray

Mask = NDArray[np.bool_]

_BINS = 24  # of the joint histogram, per axis; for few voxels less
_PER_BIN = 8.0  # least mean number of voxels per bin of the joint histogram
_RADIUS = 2  # of the cubes of local correlation [voxel]
_FLAT = 0.01  # of the variance of a scan: cubes with less are flat, and correlate with nothing
_RANGE = (0.01, 0.99)  # quantiles of the intensities that span the histogram


def local_correlation(first: FloatArray, second: FloatArray, inside: Mask) -> float:
    """Return the mean squared correlation of the intensities in small cubes, 0 to 1.

    Parameters
    ----------
    first, second : array, shape S
    inside : array of bool, shape S
        Voxels that count.

    Returns
    -------
    float
        NaN without voxels.
    """
    if not inside.any():
        return float("nan")
    a, b = (np.asarray(x, dtype=np.float64) - float(x[inside].mean()) for x in (first, second))
    weight = inside.astype(np.float64)
    count = np.maximum(cubes(weight, _RADIUS), 1e-9)
    mean_a, mean_b = cubes(weight * a, _RADIUS) / count, cubes(weight * b, _RADIUS) / count
    cross = cubes(weight * a * b, _RADIUS) / count - mean_a * mean_b
    flat = [_FLAT * float(x[inside].var()) + np.finfo(np.float32).tiny for x in (a, b)]
    spread_a = cubes(weight * a * a, _RADIUS) / count - mean_a**2 + flat[0]
    spread_b = cubes(weight * b * b, _RADIUS) / count - mean_b**2 + flat[1]
    return float((cross**2 / (spread_a * spread_b))[inside].mean())


def mutual_information(first: FloatArray, second: FloatArray, inside: Mask) -> float:
    """Return the normalised mutual information of the intensities, 0 to 1: ``2 - 2 H(a, b) / (H(a) + H(b))``.

    The bias of a histogram of few voxels is subtracted (Miller and Madow), so that unrelated scans have about zero.

    Parameters
    ----------
    first, second : array, shape S
    inside : array of bool, shape S
    """
    count = int(np.count_nonzero(inside))
    if count < _PER_BIN:
        return float("nan")
    bins = int(np.clip(np.sqrt(count / _PER_BIN), 2, _BINS))
    a, b = (_binned(x[inside], bins) for x in (first, second))
    joint = np.bincount(a * bins + b, minlength=bins * bins).reshape(bins, bins)
    of_a, of_b, of_both = (_entropy(h, count) for h in (joint.sum(1), joint.sum(0), joint.reshape(-1)))
    return float((2 * (of_a + of_b - of_both)) / max(of_a + of_b, 1e-9))


def correlation(first: FloatArray, second: FloatArray, inside: Mask) -> float:
    """Return the correlation of the intensities, -1 to 1; NaN without voxels, zero for a constant scan."""
    if not inside.any():
        return float("nan")
    a, b = (x[inside].astype(np.float64) for x in (first, second))
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).mean() / max(np.sqrt((a * a).mean() * (b * b).mean()), 1e-12))


def pattern_agreement(first: FloatArray, second: FloatArray, inside: Mask) -> float:
    """Return the agreement of two scans' self-similarities, (C, *S): one less the distance over that by chance.

    One for equal patterns, about zero for unrelated ones.
    """
    a, b = first[:, inside].astype(np.float64), second[:, inside].astype(np.float64)
    if not a.shape[1]:
        return float("nan")
    by_chance = a.var(1).sum() + b.var(1).sum() + ((a.mean(1) - b.mean(1)) ** 2).sum()
    return float(1 - ((a - b) ** 2).mean(1).sum() / max(by_chance, 1e-12))


def dice(first: Mask, second: Mask) -> float:
    """Return the Dice overlap of two masks; NaN if both are empty."""
    total = int(np.count_nonzero(first)) + int(np.count_nonzero(second))
    return 2 * int(np.count_nonzero(first & second)) / total if total else float("nan")


def cubes(values: FloatArray, radius: int) -> FloatArray:
    """Return the sums over cubes of ``2 radius + 1`` voxels per axis, cut at the borders."""
    for axis in range(values.ndim):
        values = _windows(values, radius, axis)
    return values


def _windows(values: FloatArray, radius: int, axis: int) -> FloatArray:
    n = values.shape[axis]
    total = np.cumsum(values, axis=axis)
    ends = np.minimum(np.arange(n) + radius, n - 1)
    starts = np.arange(n) - radius - 1
    sums = np.take(total, ends, axis=axis)
    below = np.take(total, np.maximum(starts, 0), axis=axis)
    shape = [n if a == axis else 1 for a in range(values.ndim)]
    return np.asarray(sums - below * (starts >= 0).reshape(shape))


def _binned(values: FloatArray, bins: int) -> NDArray[np.int64]:
    low, high = np.quantile(values, _RANGE)
    scaled = (values - low) / max(float(high - low), 1e-12) * bins
    return np.asarray(np.clip(scaled, 0, bins - 1), dtype=np.int64)


def _entropy(histogram: NDArray[np.integer], count: int) -> float:
    """Return the entropy of counts, with the correction of Miller and Madow [nat]."""
    some = histogram[histogram > 0]
    p = some / count
    return float(-(p * np.log(p)).sum() + (len(some) - 1) / (2 * count))


def mean_dice(first: NDArray[np.generic], second: NDArray[np.generic], inside: Mask, labels: Sequence[int]) -> float:
    """Return the mean Dice of labels over the voxels inside."""
    values = [dice((first == label) & inside, (second == label) & inside) for label in labels]
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")
