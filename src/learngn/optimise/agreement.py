"""Agreement of two images under a linear map, over their overlap: a score to compare poses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

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
        mean_f, mean_m = self.first / total, self.second / total
        covariance = self.products / total - (mean_f * mean_m).sum(0)
        variance = self.squares / total - (mean_f**2).sum(0) - (mean_m**2).sum(0)
        difference = ((mean_f - mean_m) ** 2).sum(0)
        return np.asarray(2 * covariance / (np.maximum(variance, 0) + difference + _FLAT * spread))


def overlap_of(fixed: Tensor, warped: Tensor, weight: Tensor) -> Overlap:
    """Compute the sums for one pose from features (1, C, *S) and a weight (1, 1, *S)."""
    f, m, w = (t[0].flatten(1).double() for t in (fixed, warped, weight))
    wf, wm = w * f, w * m
    sums = w.sum(), wf.sum(1), wm.sum(1), (wf * f).sum() + (wm * m).sum(), (wf * m).sum()
    return Overlap(*(np.asarray(s.cpu().numpy(), dtype=np.float64) for s in sums))


def spread_of(images: tuple[Tensor, Tensor], weights: tuple[Tensor, Tensor]) -> float:
    """Return the sum of the weighted variances of two images [feature²]."""
    total = 0.0
    for image, weight in zip(images, weights, strict=True):
        x, w = image[0].flatten(1).double(), weight[0].flatten(1).double()
        w = w / w.sum().clamp_min(torch.finfo(w.dtype).tiny)
        mean = (w * x).sum(1, keepdim=True)
        total += float((w * (x - mean).square()).sum())
    return total
