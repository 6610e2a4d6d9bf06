"""Sums over the overlap of two images for all translations at once, by Fourier transforms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from learngn.arrays import Array, as_numpy, namespace
from learngn.features import FeatureImage
from learngn.geometry.grid import FloatArray
from learngn.optimise.agreement import Overlap

Spectra = NDArray[np.complexfloating]


class Correlation:
    """Correlation of one image with others, whose transforms are computed once for every size.

    Parameters
    ----------
    fixed : FeatureImage
    """

    def __init__(self, fixed: FeatureImage) -> None:
        self._stack = _stack(fixed)
        self._spectra: dict[tuple[int, ...], Spectra] = {}

    def __call__(self, moving: FeatureImage) -> Overlap:
        """Return the sums for every translation: shape S + T - 1, entry k for the one by k - (S - 1)."""
        stack = _stack(moving)
        shape = [a + b - 1 for a, b in zip(self._stack.shape[1:], stack.shape[1:], strict=True)]
        size, axes = tuple(_fast_length(n) for n in shape), tuple(range(1, stack.ndim))
        if size not in self._spectra:
            self._spectra[size] = _transformed(np.flip(self._stack, axes), size)
        fixed, other = self._spectra[size], _transformed(stack, size)
        count = len(stack) - 2
        spectra = np.empty((2 * count + 3, *other.shape[1:]), dtype=other.dtype)
        np.multiply(fixed[:-1], other[:1], out=spectra[: count + 1])  # Σ w and Σ w F
        np.multiply(fixed[:1], other[1:-1], out=spectra[count + 1 : -2])  # Σ w M
        np.add(fixed[-1] * other[0], fixed[0] * other[-1], out=spectra[-2])  # Σ w (|F|² + |M|²)
        np.sum(fixed[1:-1] * other[1:-1], axis=0, out=spectra[-1])  # Σ w F·M
        sums = np.fft.irfftn(spectra, size, axes=axes)
        sums = sums[(slice(None), *[slice(n) for n in shape])].astype(np.float64)
        return Overlap(sums[0], sums[1 : count + 1], sums[count + 1 : -2], sums[-2], sums[-1])


def _stack(image: FeatureImage) -> FloatArray:
    """Return the weight, the weighted features and their weighted squared length, (C + 2, *S)."""
    f = as_numpy(image.data[0])
    w = as_numpy(weight_of(image))[0]
    return np.concatenate([w, w * f, w * (f**2).sum(0, keepdims=True)])


def _transformed(stack: FloatArray, size: Sequence[int]) -> Spectra:
    return np.asarray(np.fft.rfftn(stack, size, axes=tuple(range(1, stack.ndim))))


def _fast_length(least: int) -> int:
    """Return the smallest length from `least` on without prime factors above 5: its Fourier transform is fast."""
    length = least
    while True:
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += 1


def weight_of(image: FeatureImage) -> Array:
    """Return the weight of every voxel, (1, 1, *S); one where an image has none."""
    return namespace(image.data).ones_like(image.data[:, :1]) if image.weight is None else image.weight
