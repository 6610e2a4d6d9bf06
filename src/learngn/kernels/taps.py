"""Banded matrices for resampling along one axis."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Taps:
    """Banded matrix for resampling along one axis: ``out[i] = sum_t weights[i, t] * in[start[i] + t]``.

    Attributes
    ----------
    start : array, shape (m,), int64
        First input sample of each output sample.
    weights : array, shape (m, width), float64
        Weights; zero where the band extends beyond the axis.
    length : int
        Number of input samples.
    """

    start: NDArray[np.int64]
    weights: NDArray[np.float64]
    length: int

    def matrix(self) -> NDArray[np.float64]:
        """Return the dense matrix, shape (m, length)."""
        dense = np.zeros((len(self.start), self.length))
        for row, (first, weights) in enumerate(zip(self.start, self.weights, strict=True)):
            last = min(self.length, first + len(weights))
            dense[row, first:last] = weights[: last - first]
        return dense

    @classmethod
    def from_matrix(cls, dense: NDArray[np.float64]) -> Taps:
        """Make the narrowest band that contains the non-zero entries of a matrix of shape (m, length)."""
        length = dense.shape[1]
        used = [np.flatnonzero(row) for row in dense]
        width = max((int(u[-1] - u[0]) + 1 for u in used if len(u)), default=1)
        start = np.array([min(int(u[0]) if len(u) else 0, length - width) for u in used], dtype=np.int64)
        weights = np.stack([row[first : first + width] for row, first in zip(dense, start, strict=True)])
        return cls(start, np.ascontiguousarray(weights), length)


@lru_cache(maxsize=256)
def area_taps(n: int, m: int) -> Taps:
    """Return the matrix of the exact area average of `n` samples onto `m` ≤ n cells over the same extent."""
    edges = np.linspace(0, n, m + 1)
    cells = np.arange(n)
    covered = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    return Taps.from_matrix(np.where(covered > 1e-9, covered, 0.0) * (m / n))


@lru_cache(maxsize=256)
def linear_taps(n: int, m: int) -> Taps:
    """Return the matrix of linear interpolation from `n` to `m` cell centres, *extrapolating* past the outermost."""
    if n == 1:
        return Taps(np.zeros(m, dtype=np.int64), np.ones((m, 1)), 1)
    position = (np.arange(m) + 0.5) * (n / m) - 0.5
    start = np.clip(np.floor(position), 0, n - 2).astype(np.int64)
    weight = position - start
    return Taps(start, np.stack([1 - weight, weight], axis=1), n)


@lru_cache(maxsize=256)
def box_taps(n: int, width: int) -> Taps:
    """Return the matrix of the average over `width` (odd) samples around each of `n`; border samples are repeated."""
    around = np.arange(n)[:, None] + np.arange(width) - width // 2
    dense = np.zeros((n, n))
    np.add.at(dense, (np.arange(n)[:, None], around.clip(0, n - 1)), 1 / width)
    return Taps.from_matrix(dense)
