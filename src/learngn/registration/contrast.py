"""Contrast of one scan as it is in another: bright for dark turned back, brightness fitted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy  # its parts are imported when they are used
import torch

from learngn.features import Feature, Intensity
from learngn.geometry import sampling
from learngn.geometry.grid import FloatArray
from learngn.geometry.image import Image
from learngn.optimise import AffineGaussNewton, AffineResult, translation_starts

_COARSE = 1 / 12  # of the fixed scan's longest side: the voxels on which the scans are aligned
# The residual of scans of one modality comes to 0.3 of that of the negative at most (docs/results.md); where neither
# way explains the other scan, nothing is gained by turning one.
_CLEARLY = 0.5
_BLACK = 0.001  # of the range of intensities: padding
_FEWEST, _MOST = 100, 200_000  # voxels that an exponent is fitted to
_EXPONENTS = 0.25, 4.0
_THE_SAME = 0.05  # an exponent so near to one is one


@torch.no_grad()
def comparable(fixed: Image, moving: Image, feature: Feature, spacing: float) -> Image:
    """The moving scan with the contrast of the fixed one, for features that read intensities.

    Both scans are aligned on a coarse grid, the moving one and its negative; the negative is taken if its residual is
    clearly the smaller. Then the intensities I between their robust extremes, 0 to 1, become ``I^γ``, with the γ that
    makes the mean over the common field of view that of the fixed scan. A match of whole histograms would take what
    one scan shows more of for a change of contrast; a single number hardly can.

    Features that do not read intensities as such, and CT, whose unit leaves nothing to decide, need none of this.

    Parameters
    ----------
    fixed, moving : Image
    feature : Feature
        What the registration compares.
    spacing : float
        At which intensities are compared [mm].

    Returns
    -------
    Image
        `moving`, or another on its grid: to compute features from.
    """
    if not feature.traits.reads_intensities or fixed.labels or moving.labels or _both_ct(fixed, moving):
        return moving
    data = moving.data.to(torch.float32)
    negative = replace(moving, data=data.amax() + data.amin() - data)
    straight, turned = (_aligned(fixed, image) for image in (moving, negative))
    is_negative = turned.energy < _CLEARLY * straight.energy
    seen, found = (negative, turned) if is_negative else (moving, straight)
    # Shifted alone: a scan that is too bright would be stretched until its mean is right.
    shift, centre = np.eye(fixed.grid.ndim + 1), fixed.grid.centre
    shift[:-1, -1] = found.matrix[:-1] @ [*centre, 1] - centre
    return _brightened(seen, _exponent(fixed, seen, shift, spacing))


def _both_ct(fixed: Image, moving: Image) -> bool:
    spacing = _COARSE * float(fixed.grid.extent.max())
    return all("ct" in Intensity().of(image, image.grid.coarsened(spacing)).names for image in (fixed, moving))


def _aligned(fixed: Image, moving: Image) -> AffineResult:
    pair = Intensity()(fixed, moving, _COARSE * float(fixed.grid.extent.max()))
    starts = translation_starts(fixed.grid, moving.grid, (fixed.grid.centre, moving.grid.centre))
    return AffineGaussNewton(spacings=(_COARSE,))(*pair, starts)


def _exponent(fixed: Image, moving: Image, matrix: FloatArray, spacing: float) -> float:
    """γ that brings the moving scan's mean to the fixed one's, where both are seen and neither is padded."""
    ours, theirs = Intensity()(fixed, moving, spacing)
    to_moving, shape = ours.grid.index_map(theirs.grid, matrix), ours.grid.shape
    warped = sampling.warp(theirs.data, None, to_moving, shape)
    within = sampling.inside(theirs.data.shape[2:], None, to_moving, shape, warped)
    counts = within & (ours.data > _BLACK) & (warped > _BLACK)
    x, y = (side[counts].double().cpu().numpy() for side in (ours.data, warped))
    if len(x) < _FEWEST:
        return 1.0
    every = max(1, len(x) // _MOST)
    y, mean = np.minimum(y[::every], 1), float(x[::every].mean())

    def excess(log_exponent: float) -> float:
        return float((y ** np.exp(log_exponent)).mean()) - mean

    low, high = np.log(_EXPONENTS)
    if excess(low) <= 0 or excess(high) >= 0:
        return float(np.exp(low if excess(low) <= 0 else high))
    return float(np.exp(scipy.optimize.brentq(excess, low, high, xtol=1e-3)))


def _brightened(moving: Image, exponent: float) -> Image:
    if abs(np.log(exponent)) < _THE_SAME:
        return moving
    scaled = Intensity().of(moving, moving.grid).channels(["quantiles"])
    return replace(moving, data=scaled.data**exponent)
