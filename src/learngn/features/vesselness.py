"""Frangi's vesselness."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

from learngn.arrays import Array, by_parts, channels_last, clamped, namespace, narrow, quantile
from learngn.features.base import FeatureImage, OneByOne, working_image
from learngn.features.filters import eigenvalues, gaussian, hessian, spread, tiny
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.kernels.stencils import squared_length


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

    def response(self, image: Array, grid: Grid, gamma: float | None = None) -> Array:
        """Compute the vesselness of bright tubes in an image, (N, 1, *S) to the same shape.

        Parameters
        ----------
        image : Array, shape (N, 1, *S)
        grid : Grid
        gamma : float, optional
            γ [value]; by default computed from the image as described for the class.
        """
        xp, smallest = namespace(image), float(grid.spacing.min()) / 2
        spectra = [self._spectrum(image, grid, sigma) for sigma in sorted({max(s, smallest) for s in self.scales})]
        if gamma is None:
            gamma = quantile(xp.stack([by_parts(_norm, values) for values in spectra]), 0.995) / 2
        if gamma <= tiny(image) ** 0.5:
            return xp.zeros_like(image)
        return by_parts(lambda *found: reduce(xp.maximum, [self._tubes(values / gamma) for values in found]), *spectra)

    def _spectrum(self, image: Array, grid: Grid, sigma: float) -> Array:
        """Compute the eigenvalues of the Hessian times σ², in ascending order of magnitude; (N, D, *S)."""

        def ordered(blocks: Array) -> Array:
            xp, values = namespace(blocks), eigenvalues(blocks) * sigma**2
            return xp.take_along_axis(values, xp.argsort(xp.abs(values), axis=1), axis=1)

        return by_parts(ordered, hessian(gaussian(image, grid, sigma), grid))

    def _tubes(self, values: Array) -> Array:
        """Compute V from eigenvalues in units of γ, (N, D, *S) to (N, 1, *S)."""
        xp, least = namespace(values), tiny(values) ** 0.25
        first, *others = (narrow(values, 1, k, 1) for k in range(values.shape[1]))
        second, last = others[0], others[-1]
        blob = first**2 / clamped(xp.abs(second * last), least)
        tube = xp.exp(-blob / (2 * self.beta**2)) * (1 - xp.exp(-squared_length(values) / 2))
        if len(others) == 2:
            plate = (second / clamped(xp.abs(last), least)) ** 2
            tube = tube * (1 - xp.exp(-plate / (2 * self.alpha**2)))
        return xp.where((second < 0) & (last < 0), tube, xp.zeros_like(tube))


def _norm(values: Array) -> Array:
    return namespace(values).sqrt(squared_length(values))
