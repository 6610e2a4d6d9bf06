"""Intensities and gradients, normalised by what surrounds them: features that survive a change of contrast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from learngn.features.base import FeatureImage, OneByOne, Traits, channels_last, working_image
from learngn.features.filters import gaussian, gradient, outer, spread
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.kernels.reference import block_index


@dataclass(frozen=True)
class LocalIntensity(OneByOne):
    """Intensity less its local mean, over its local standard deviation, one channel [about -2..2].

    ``(I - m) / sqrt(v + ε²)`` with ``m = G_σ * I``, ``v = G_σ * I² - m²`` and ε a fraction of the typical deviation, so
    that noise is not blown up where nothing is. Unchanged by ``a I + b`` with a > 0, also where a and b vary slowly:
    the inhomogeneities of MR coils. Its squared difference stands to local correlation as that of intensities does to
    correlation.

    Attributes
    ----------
    sigma : float
        Of the window [mm]; of three voxels at least.
    floor : float
        ε over the root mean square of the local deviations.

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


def normalised(data: Tensor, grid: Grid, sigma: float, floor: float) -> Tensor:
    """Values less their local mean over their local deviation, (N, 1, *S); see :class:`LocalIntensity`."""
    data = data - data.mean()  # the variance is the difference of squares: these should be small
    mean = gaussian(data, grid, sigma)
    variance = (gaussian(data.square(), grid, sigma) - mean.square()).clamp_min(0)
    noise = floor**2 * variance.mean() + torch.finfo(data.dtype).tiny
    return (data - mean) / (variance + noise).sqrt()


@dataclass(frozen=True)
class NormalisedGradient(OneByOne):
    """Direction of the gradient without its sign, six channels in 3D, three in 2D [-1..1].

    ``n nᵀ`` with ``n = ∇I / sqrt(|∇I|² + ε²)`` in world coordinates, the entries off the diagonal times √2, so that::

        |n nᵀ - m mᵀ|² = |n|⁴ + |m|⁴ - 2 (n · m)²

    which is the normalised gradient field's distance with the lengths that it takes for granted. Where both images have
    edges these must be parallel, whether they lead from dark to bright or back: it serves inverted contrasts and other
    modalities.

    Attributes
    ----------
    sigma : float
        Smoothing beforehand [mm]; of half a voxel at least.
    floor : float
        ε over the mean length of the gradient.

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
        ndim = grid.ndim
        smooth = gaussian(spread(image.data), grid, max(self.sigma, float(grid.spacing.min()) / 2))
        # From differences along the axes to the gradient in the world, whichever way the axes point, sheared or not.
        to_world = torch.as_tensor(np.linalg.inv(grid.direction).T, dtype=smooth.dtype, device=smooth.device)
        slope = torch.einsum("wa,na...->nw...", to_world, gradient(smooth, grid))
        squared = slope.square().sum(1, keepdim=True)
        noise = (self.floor * squared.sqrt().mean()).square() + torch.finfo(smooth.dtype).tiny
        product = outer(slope / (squared + noise).sqrt())
        factor = torch.tensor([1.0 if a == b else 2**0.5 for a, b in block_index(ndim)], device=product.device)
        return FeatureImage(channels_last(product * factor.reshape(1, -1, *[1] * ndim)), grid)


@dataclass(frozen=True)
class EdgeStrength(OneByOne):
    """Length of the gradient, saturating, one channel [0..1].

    ``|∇I| / sqrt(|∇I|² + ε²)``: how much of an edge there is, blind to its direction and to the sign of the contrast.

    Attributes
    ----------
    sigma : float
        Smoothing beforehand [mm]; of half a voxel at least.
    floor : float
        ε over the mean length of the gradient.
    """

    sigma: float = 1.0
    floor: float = 1.0
    name: str = "edges"

    def of(self, image: Image, grid: Grid) -> FeatureImage:
        """See :meth:`learngn.features.OneByOne.of`."""
        image = working_image(image, grid)
        smooth = gaussian(spread(image.data), grid, max(self.sigma, float(grid.spacing.min()) / 2))
        squared = gradient(smooth, grid).square().sum(1, keepdim=True)
        noise = (self.floor * squared.sqrt().mean()).square() + torch.finfo(smooth.dtype).tiny
        return FeatureImage(channels_last((squared / (squared + noise)).sqrt()), grid)
