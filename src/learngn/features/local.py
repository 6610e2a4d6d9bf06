"""Locally normalised intensities and gradients: features that are robust to changes of contrast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from learngn.arrays import Array, by_parts, channels_last, clamped, empty_channels_last, like, namespace, narrow
from learngn.features.base import FeatureImage, OneByOne, Traits, working_image
from learngn.features.filters import gaussian, gradient, outer, spread, tiny
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.kernels.stencils import block_index, squared_length


@dataclass(frozen=True)
class LocalIntensity(OneByOne):
    """Intensity minus its local mean, divided by the local standard deviation, one channel [about -2..2].

    ``(I - m) / sqrt(v + ε²)`` with ``m = G_σ * I``, ``v = G_σ * I² - m²`` and ε a fraction of the typical deviation, so
    that noise is not amplified in homogeneous regions. Invariant to ``a I + b`` with a > 0, also if a and b vary slowly
    (the inhomogeneity of MR coils). Its squared difference is related to local correlation as that of intensities is
    to correlation.

    Attributes
    ----------
    sigma : float
        Standard deviation of the window [mm]; at least three voxels are used.
    floor : float
        ε divided by the root mean square of the local deviations.

    References
    ----------
    Cachier and Pennec, "3D non-rigid registration by gradient descent on a Gaussian-windowed similarity measure", 2000.
    """

    sigma: float = 8.0
    floor: float = 0.2
    name: str = "local-intensity"
    traits: ClassVar[Traits] = Traits(reads_intensities=True)

    def of(self, image: Image, grid: Grid) -> FeatureImage:
        """See :meth:`learngn.features.OneByOne.of`."""
        image = working_image(image, grid)
        sigma = max(self.sigma, 3 * float(image.grid.spacing.min()))
        return FeatureImage(channels_last(normalised(spread(image.data), image.grid, sigma, self.floor)), image.grid)


def normalised(data: Array, grid: Grid, sigma: float, floor: float) -> Array:
    """Return values minus their local mean, over the local deviation, (N, 1, *S); see :class:`LocalIntensity`."""
    xp = namespace(data)
    data = data - xp.mean(data)  # reduces rounding errors of the variance, a difference of squares
    mean = gaussian(data, grid, sigma)
    variance = by_parts(lambda square, mean: clamped(square - mean**2, 0), gaussian(data**2, grid, sigma), mean)
    noise = floor**2 * float(xp.mean(variance)) + tiny(data)
    return by_parts(lambda x, mean, v: (x - mean) / xp.sqrt(v + noise), data, mean, variance)


@dataclass(frozen=True)
class NormalisedGradient(OneByOne):
    """Normalised gradient field: direction of the gradient without sign, six channels in 3D, three in 2D [-1..1].

    ``n nᵀ`` with ``n = ∇I / sqrt(|∇I|² + ε²)`` in world coordinates, the entries off the diagonal times √2, so that::

        |n nᵀ - m mᵀ|² = |n|⁴ + |m|⁴ - 2 (n · m)²

    which is the distance of normalised gradient fields without the assumption of constant lengths. It is small where
    the edges of both images are parallel, whether from dark to bright or from bright to dark: it suits inverted
    contrasts and other modalities.

    Attributes
    ----------
    sigma : float
        Standard deviation of the smoothing of the image [mm]; at least half a voxel is used.
    floor : float
        ε divided by the mean length of the gradient.

    References
    ----------
    Haber and Modersitzki, "Intensity gradient based registration and fusion of multi-modal images", MICCAI 2006.
    """

    sigma: float = 1.0
    floor: float = 1.0
    name: str = "ngf"
    traits: ClassVar[Traits] = Traits(directional=True)

    def of(self, image: Image, grid: Grid) -> FeatureImage:
        """See :meth:`learngn.features.OneByOne.of`."""
        image = working_image(image, grid)
        smooth = gaussian(spread(image.data), grid, max(self.sigma, float(grid.spacing.min()) / 2))
        # From differences along the axes to the gradient in world coordinates, for axes of any direction, also sheared.
        xp, slope = namespace(smooth), gradient(smooth, grid)
        to_world = np.linalg.inv(grid.direction).T
        if not np.array_equal(to_world, np.eye(grid.ndim)):
            slope = xp.moveaxis(xp.tensordot(like(to_world, slope), slope, axes=((1,), (1,))), 0, 1)
        squared = squared_length(slope)
        noise = _noise(squared, self.floor)
        factors = [1.0 if a == b else 2**0.5 for a, b in block_index(grid.ndim)]

        def product(slope: Array, squared: Array) -> Array:
            return outer(slope / xp.sqrt(squared + noise)) * like(np.reshape(factors, (1, -1, *[1] * grid.ndim)), slope)

        return FeatureImage(channels_last(by_parts(product, slope, squared)), grid)


@dataclass(frozen=True)
class NormalisedGradientScales(OneByOne):
    """Normalised gradient field at several scales, six channels each in 3D, three in 2D [-1..1].

    The scales are in voxels, so that pictures whose header has no length, or another one, have the same features. The
    channels are divided by the root of the number of scales, so that λ has the same meaning as for one scale.

    Attributes
    ----------
    sigmas : tuple of float
        Standard deviations of the smoothing of the image [voxel of the working grid].
    """

    sigmas: tuple[float, ...] = (1.0, 2.0, 4.0)
    name: str = "ngf-multi"
    traits: ClassVar[Traits] = Traits(directional=True)

    def of(self, image: Image, grid: Grid) -> FeatureImage:
        """See :meth:`learngn.features.OneByOne.of`."""
        image, voxel, start = working_image(image, grid), float(grid.spacing.min()), 0
        data = image.data
        for sigma in self.sigmas:
            part = NormalisedGradient(sigma * voxel).of(image, grid).data
            count = part.shape[1]
            if start == 0:
                data = empty_channels_last((len(part), count * len(self.sigmas), *grid.shape), part)
            narrow(data, 1, start, count)[...] = part
            start += count
        data /= len(self.sigmas) ** 0.5
        return FeatureImage(data, grid)


@dataclass(frozen=True)
class EdgeStrength(OneByOne):
    """Saturating gradient magnitude, one channel [0..1].

    ``|∇I| / sqrt(|∇I|² + ε²)``: the strength of an edge, independent of its direction and of the sign of the contrast.

    Attributes
    ----------
    sigma : float
        Standard deviation of the smoothing of the image [mm]; at least half a voxel is used.
    floor : float
        ε divided by the mean length of the gradient.
    """

    sigma: float = 1.0
    floor: float = 1.0
    name: str = "edges"

    def of(self, image: Image, grid: Grid) -> FeatureImage:
        """See :meth:`learngn.features.OneByOne.of`."""
        image = working_image(image, grid)
        smooth = gaussian(spread(image.data), grid, max(self.sigma, float(grid.spacing.min()) / 2))
        squared = squared_length(gradient(smooth, grid))
        noise, xp = _noise(squared, self.floor), namespace(squared)
        return FeatureImage(channels_last(by_parts(lambda s: xp.sqrt(s / (s + noise)), squared)), grid)


def _noise(squared: Array, floor: float) -> float:
    """Return ε² for squared lengths of gradients, with ε a multiple of the mean length."""
    xp = namespace(squared)
    return (floor * float(xp.mean(by_parts(xp.sqrt, squared)))) ** 2 + tiny(squared)
