"""Förstner's distinctiveness of corners."""

from __future__ import annotations

from dataclasses import dataclass

from learngn.arrays import Array, by_parts, channels_last, clamped, namespace, narrow
from learngn.features.base import FeatureImage, OneByOne, working_image
from learngn.features.filters import gaussian, gradient, outer, spread, tiny, unit_range
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.kernels.stencils import block_index


@dataclass(frozen=True)
class Corners(OneByOne):
    """Förstner's distinctiveness: how well a point can be distinguished from its neighbours, one channel [0..1].

    ``sqrt(1 / tr(S⁻¹))`` with the structure tensor ``S = G_σ * (∇I ∇Iᵀ)`` of the image smoothed by G_τ: large where
    the intensity changes along every direction (vessels that branch, tips and corners of organs), zero along edges and
    tubes. In 2D ``1 / tr(S⁻¹) = det S / tr S``. It does not depend on the sign of the contrast.

    Attributes
    ----------
    sigma : float
        Radius of the neighbourhood [mm]; at least two voxels are used.
    tau : float
        Standard deviation of the smoothing of the image [mm]; at least half a voxel is used.

    References
    ----------
    Förstner and Gülch, "A fast operator for detection and precise location of distinct points, corners and centres of
    circular features", 1987. In 3D: Rohr, "On 3D differential operators for detecting point landmarks", 1997.
    """

    sigma: float = 2.0
    tau: float = 1.0
    name: str = "corners"

    def of(self, image: Image, grid: Grid) -> FeatureImage:
        """See :meth:`learngn.features.OneByOne.of`."""
        image = working_image(image, grid)
        voxel = float(image.grid.spacing.min())
        smooth = gaussian(spread(image.data), image.grid, max(self.tau, voxel / 2))
        response = distinctiveness(smooth, image.grid, max(self.sigma, 2 * voxel))
        return FeatureImage(channels_last(unit_range(namespace(response).sqrt(response))), image.grid)


def distinctiveness(image: Array, grid: Grid, sigma: float) -> Array:
    """Compute ``1 / tr(S⁻¹)`` of an image's structure tensor, (N, 1, *S) to the same shape [value² per mm²].

    Axes with a single voxel are left out.
    """
    along = [axis for axis, n in enumerate(grid.shape) if n > 1]
    tensor = gaussian(outer(gradient(image, grid)), grid, sigma)
    if len(along) < 2:
        return namespace(image).zeros_like(image)

    def ratio(tensor: Array) -> Array:
        xp = namespace(tensor)
        entries = {pair: narrow(tensor, 1, k, 1) for k, pair in enumerate(block_index(grid.ndim))}
        determinant, minors = _determinant_and_minors(entries, along)
        # 1 / tr(S⁻¹) = det S / (sum of the principal minors one size smaller); rounding can make either negative.
        found = clamped(determinant, 0) / clamped(minors, tiny(tensor))
        return xp.where((determinant > 0) & (minors > 0), found, xp.zeros_like(found))

    return by_parts(ratio, tensor)


def _determinant_and_minors(s: dict[tuple[int, int], Array], along: list[int]) -> tuple[Array, Array]:
    pairs = [(a, b) for i, a in enumerate(along) for b in along[i + 1 :]]
    minors = {(a, b): s[a, a] * s[b, b] - s[a, b] ** 2 for a, b in pairs}
    if len(along) == 2:
        a, b = along
        return minors[a, b], s[a, a] + s[b, b]
    determinant = (
        s[0, 0] * minors[1, 2]
        - s[0, 1] * (s[0, 1] * s[2, 2] - s[0, 2] * s[1, 2])
        + s[0, 2] * (s[0, 1] * s[1, 2] - s[0, 2] * s[1, 1])
    )
    return determinant, minors[0, 1] + minors[0, 2] + minors[1, 2]
