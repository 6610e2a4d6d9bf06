"""Agreement of two images under a linear map, over their overlap: a score to compare poses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from learngn.arrays import Array, as_numpy, clamped, namespace
from learngn.geometry.grid import FloatArray

# Fraction of the variance of the whole images: the agreement of two flat regions must not count.
_FLAT = 0.1


@dataclass(frozen=True)
class Overlap:
    """Sums over the overlap of two images, for one or many poses: arrays of any shape, channels first.

    Attributes
    ----------
    weight : array, shape (...)
        Σ w.
    first, second : array, shape (C, ...)
        Σ w F and Σ w M.
    squares : array, shape (...)
        Σ w (|F|² + |M|²), over all channels.
    products : array, shape (...)
        Σ w F·M.
    """

    weight: FloatArray
    first: FloatArray
    second: FloatArray
    squares: FloatArray
    products: FloatArray

    def concordance(self, spread: float) -> FloatArray:
        """Compute the concordance correlation: one for equal images, zero for unrelated ones.

        It is ``1 - Σ w |F - M|² / (variance of F + of M + their squared difference of means)``, with variances over
        the overlap only: two flat regions of background, which have a small residual, score zero.

        Parameters
        ----------
        spread : float
            Variance of both whole images together [feature²].

        References
        ----------
        Lin, "A concordance correlation coefficient to evaluate reproducibility", Biometrics 1989.
        """
        total = np.maximum(self.weight, 1e-6 * np.max(self.weight) + np.finfo(np.float64).tiny)
        # The means over all channels enter only by their products, so that no array with all channels is made.
        both = np.einsum("c...,c...->...", self.first, self.second) / total**2
        each = sum(np.einsum("c...,c...->...", side, side) for side in (self.first, self.second)) / total**2
        covariance, variance = self.products / total - both, self.squares / total - each
        difference = np.maximum(each - 2 * both, 0)
        return np.asarray(2 * covariance / (np.maximum(variance, 0) + difference + _FLAT * spread))


def overlap_of(fixed: Array, warped: Array, weight: Array) -> Overlap:
    """Compute the sums for one pose from features (1, C, *S) and a weight (1, 1, *S)."""
    xp = namespace(fixed)
    f, m, w = (_rows(x) for x in (fixed, warped, weight))
    wf, wm = w * f, w * m
    sums = xp.sum(w), xp.sum(wf, axis=1), xp.sum(wm, axis=1), xp.sum(wf * f) + xp.sum(wm * m), xp.sum(wf * m)
    return Overlap(*(np.asarray(as_numpy(s), dtype=np.float64) for s in sums))


def spread_of(images: tuple[Array, Array], weights: tuple[Array, Array]) -> float:
    """Return the sum of the weighted variances of two images [feature²]."""
    total = 0.0
    for image, weight in zip(images, weights, strict=True):
        xp, x, w = namespace(image), _rows(image), _rows(weight)
        w = w / clamped(xp.sum(w), xp.finfo(w.dtype).tiny)
        mean = xp.sum(w * x, axis=1, keepdims=True)
        total += float(xp.sum(w * (x - mean) ** 2))
    return total


def _rows(image: Array) -> Array:
    """Return the voxels of one image, (1, C, *S), in double precision: (C, V)."""
    xp = namespace(image)
    return xp.astype(xp.reshape(image, (image.shape[1], -1)), xp.float64)
