"""How well two images agree under a linear map, where they overlap: to compare poses, not to descend along."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from learngn.geometry.grid import FloatArray

# Of the variance of the whole images: where both are flat they agree, which says nothing.
_FLAT = 0.1


@dataclass(frozen=True)
class Overlap:
    """Sums over where two images overlap, one or many poses at a time: arrays of any shape, channels first.

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
        """Concordance correlation: one where the images are equal, zero where they have nothing to do with each other.

        ``1 - Σ w |F - M|² / (variance of F + of M + their squared difference of means)``, variances over the overlap
        alone: two flat pieces of background, which a residual takes for a match, score nothing.

        Parameters
        ----------
        spread : float
            Variance of both whole images together [feature²].

        References
        ----------
        Lin, "A concordance correlation coefficient to evaluate reproducibility", Biometrics 1989.
        """
        total = np.maximum(self.weight, 1e-6 * np.max(self.weight) + np.finfo(np.float64).tiny)
        ours, theirs = self.first / total, self.second / total
        covariance = self.products / total - (ours * theirs).sum(0)
        variance = self.squares / total - (ours**2).sum(0) - (theirs**2).sum(0)
        return np.asarray(2 * covariance / (np.maximum(variance, 0) + ((ours - theirs) ** 2).sum(0) + _FLAT * spread))


def overlap_of(fixed: Tensor, warped: Tensor, weight: Tensor) -> Overlap:
    """Sums of one pose: features (1, C, *S), weight (1, 1, *S)."""
    f, m, w = (t[0].flatten(1).double() for t in (fixed, warped, weight))
    wf, wm = w * f, w * m
    sums = w.sum(), wf.sum(1), wm.sum(1), (wf * f).sum() + (wm * m).sum(), (wf * m).sum()
    return Overlap(*(np.asarray(s.cpu().numpy(), dtype=np.float64) for s in sums))


def spread_of(images: tuple[Tensor, Tensor], weights: tuple[Tensor, Tensor]) -> float:
    """Variance of two images, each over all that counts, added [feature²]."""
    total = 0.0
    for image, weight in zip(images, weights, strict=True):
        x, w = image[0].flatten(1).double(), weight[0].flatten(1).double()
        w = w / w.sum().clamp_min(torch.finfo(w.dtype).tiny)
        mean = (w * x).sum(1, keepdim=True)
        total += float((w * (x - mean).square()).sum())
    return total
