"""Frangi's vesselness."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from learngn.features.base import FeatureImage, OneByOne, channels_last, working_image
from learngn.features.filters import eigenvalues, gaussian, hessian, quantile_of, spread
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image


@dataclass(frozen=True)
class Vesselness(OneByOne):
    """Frangi's vesselness: similarity of a neighbourhood to a tube (in 2D to a line), one channel [0..1].

    With the eigenvalues ``|λ₁| ≤ |λ₂| ≤ |λ₃|`` of the Hessian, scaled by σ², of the image smoothed by G_σ, the largest
    over all σ of::

        V = (1 - exp(-R_A² / 2α²)) exp(-R_B² / 2β²) (1 - exp(-H² / 2γ²))
        R_A = |λ₂| / |λ₃|      R_B = |λ₁| / sqrt(|λ₂ λ₃|)      H² = λ₁² + λ₂² + λ₃²

    and zero where λ₂ or λ₃ has the sign of the opposite contrast; in 2D ``R_B = |λ₁| / |λ₂|``, without R_A. γ is half
    the 99.5 % quantile of H over the image and all σ.

    Attributes
    ----------
    scales : tuple of float
        Values of σ, roughly the radii of the tubes [mm]; at least half a voxel is used.
    bright : bool
        Detect bright tubes on a dark background (vessels with contrast agent, lung vessels), or dark ones (airways).
    alpha, beta : float
        α and β.

    References
    ----------
    Frangi, Niessen, Vincken and Viergever, "Multiscale vessel enhancement filtering", MICCAI 1998.
    """

    scales: tuple[float, ...] = (1.5, 3.0)
    bright: bool = True
    alpha: float = 0.5
    beta: float = 0.5
    name: str = "vesselness"

    def of(self, image: Image, grid: Grid) -> FeatureImage:
        """See :meth:`learngn.features.OneByOne.of`."""
        image = working_image(image, grid)
        data = spread(image.data if self.bright else -image.data)
        return FeatureImage(channels_last(self.response(data, image.grid)), image.grid)

    def response(self, image: Tensor, grid: Grid, gamma: float | None = None) -> Tensor:
        """Compute the vesselness of bright tubes in an image, (N, 1, *S) to the same shape.

        Parameters
        ----------
        image : Tensor, shape (N, 1, *S)
        grid : Grid
        gamma : float, optional
            γ [value]; by default computed from the image as described for the class.
        """
        smallest = float(grid.spacing.min()) / 2
        spectra = [self._spectrum(image, grid, sigma) for sigma in sorted({max(s, smallest) for s in self.scales})]
        if gamma is None:
            norms = torch.cat([values.square().sum(1).sqrt().flatten() for values in spectra])
            gamma = float(quantile_of(norms, 0.995)) / 2
        if gamma <= torch.finfo(image.dtype).tiny ** 0.5:
            return torch.zeros_like(image)
        return torch.stack([self._tubes(values / gamma) for values in spectra]).amax(0)

    def _spectrum(self, image: Tensor, grid: Grid, sigma: float) -> Tensor:
        """Compute the eigenvalues of the Hessian times σ², in ascending order of magnitude; (N, D, *S)."""
        values = eigenvalues(hessian(gaussian(image, grid, sigma), grid)) * sigma**2
        return values.gather(1, values.abs().argsort(dim=1))

    def _tubes(self, values: Tensor) -> Tensor:
        """Compute V from eigenvalues in units of γ, (N, D, *S) to (N, 1, *S)."""
        tiny = torch.finfo(values.dtype).tiny ** 0.25
        first, *others = values.unsqueeze(2).unbind(1)
        second, last = others[0], others[-1]
        blob = first.square() / (second * last).abs().clamp_min(tiny)
        tube = torch.exp(-blob / (2 * self.beta**2)) * (1 - torch.exp(-values.square().sum(1, keepdim=True) / 2))
        if len(others) == 2:
            plate = (second / last.abs().clamp_min(tiny)).square()
            tube = tube * (1 - torch.exp(-plate / (2 * self.alpha**2)))
        return torch.where((second < 0) & (last < 0), tube, torch.zeros_like(tube))
