"""Match the contrast of one scan to that of another: invert a negative, and fit the brightness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from learngn.arrays import as_numpy, namespace, undifferentiated
from learngn.features import Feature, Intensity
from learngn.geometry import sampling
from learngn.geometry.grid import FloatArray
from learngn.geometry.image import Image
from learngn.optimise import AffineGaussNewton, AffineResult, translation_starts

_COARSE = 1 / 12  # voxel size for aligning the scans, as a fraction of the fixed scan's longest side
# For scans of one modality the residual is at most 0.3 of that of the negative (docs/results.md); where neither
# explains the other scan, inverting one gains nothing.
_CLEARLY = 0.5  # ratio of the residuals below which the negative is used
_BLACK = 0.001  # fraction of the intensity range that counts as padding
_FEWEST, _MOST = 100, 200_000  # number of voxels for fitting the exponent
_EXPONENTS = 0.25, 4.0  # smallest and largest exponent
_EXACTLY, _MOST_STEPS = 1e-5, 100  # change of the logarithm of an exponent that ends its search
_THE_SAME = 0.05  # logarithm of an exponent below which intensities are kept


@undifferentiated
def comparable(fixed: Image, moving: Image, feature: Feature, spacing: float) -> Image:
    """Return the moving scan with the contrast of the fixed scan, for features that are intensities.

    The moving scan and its negative are each aligned with the fixed scan on a coarse grid; the negative is used if its
    residual is clearly smaller. Then the intensities I, scaled to 0..1 between robust extremes, are replaced by
    ``I^γ``, with the γ for which the means of both scans over the common field of view are equal. Matching whole
    histograms would mistake anatomy that only one scan shows for a change of contrast; a single exponent hardly does.

    Features other than intensities do not need this, nor does CT, whose unit is fixed.

    Parameters
    ----------
    fixed, moving : Image
    feature : Feature
        Feature that is compared.
    spacing : float
        Voxel size at which intensities are compared [mm].

    Returns
    -------
    Image
        `moving`, or an image on the same grid, from which the features are computed.
    """
    if moving.data.shape[1] > 1:  # channels of a colour picture, each with its own contrast
        return moving
    if not feature.traits.reads_intensities or fixed.labels or moving.labels or _both_ct(fixed, moving):
        return moving
    xp = namespace(moving.data)
    data = xp.astype(moving.data, xp.float32, copy=False)
    negative = replace(moving, data=xp.max(data) + xp.min(data) - data)
    alignment, inverted = (_aligned(fixed, image) for image in (moving, negative))
    is_negative = inverted.energy < _CLEARLY * alignment.energy
    chosen, result = (negative, inverted) if is_negative else (moving, alignment)
    # Translation only: with scaling, a scan that is too bright would be stretched until its mean is right.
    shift, centre = np.eye(fixed.grid.ndim + 1), fixed.grid.centre
    shift[:-1, -1] = result.matrix[:-1] @ [*centre, 1] - centre
    return _brightened(chosen, _exponent(fixed, chosen, shift, spacing))


def _both_ct(fixed: Image, moving: Image) -> bool:
    spacing = _COARSE * float(fixed.grid.extent.max())
    return all("ct" in Intensity().of(image, image.grid.coarsened(spacing)).names for image in (fixed, moving))


def _aligned(fixed: Image, moving: Image) -> AffineResult:
    pair = Intensity()(fixed, moving, _COARSE * float(fixed.grid.extent.max()))
    starts = translation_starts(fixed.grid, moving.grid, (fixed.grid.centre, moving.grid.centre))
    return AffineGaussNewton(spacings=(_COARSE,))(*pair, starts)


def _exponent(fixed: Image, moving: Image, matrix: FloatArray, spacing: float) -> float:
    """Return the γ for which the means of both scans agree where they overlap and neither is padded."""
    fixed_features, moving_features = Intensity()(fixed, moving, spacing)
    to_moving, shape = fixed_features.grid.index_map(moving_features.grid, matrix), fixed_features.grid.shape
    warped = sampling.warp(moving_features.data, None, to_moving, shape)
    covered = sampling.inside(moving_features.data.shape[2:], None, to_moving, shape, warped)
    counts = covered & (fixed_features.data > _BLACK) & (warped > _BLACK)
    x, y = (as_numpy(side[counts]).astype(np.float64) for side in (fixed_features.data, warped))
    if len(x) < _FEWEST:
        return 1.0
    every = max(1, len(x) // _MOST)
    y, mean = np.minimum(y[::every], 1), float(x[::every].mean())

    def excess(log_exponent: float) -> float:
        return float((y ** np.exp(log_exponent)).mean()) - mean

    low, high = np.log(_EXPONENTS)
    if excess(low) <= 0 or excess(high) >= 0:
        return float(np.exp(low if excess(low) <= 0 else high))
    return float(np.exp(_root(excess, float(low), float(high))))


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Return the root of a decreasing or increasing function between two points where its signs differ.

    By the secant through these points, of which one is replaced at a time; the value of one that stays twice is halved
    (the Illinois method: Dowell and Jarratt, 1971). SciPy's functions take long to import.
    """
    at_low, at_high = function(low), function(high)
    middle = high
    for _ in range(_MOST_STEPS):
        before, middle = middle, (low * at_high - high * at_low) / (at_high - at_low)
        value = function(middle)
        if value == 0 or abs(middle - before) < _EXACTLY:
            break
        if value * at_high < 0:
            low, at_low = high, at_high
        else:
            at_low /= 2
        high, at_high = middle, value
    return middle


def _brightened(moving: Image, exponent: float) -> Image:
    if abs(np.log(exponent)) < _THE_SAME:
        return moving
    scaled = Intensity().of(moving, moving.grid).channels(["quantiles"])
    return replace(moving, data=scaled.data**exponent)
