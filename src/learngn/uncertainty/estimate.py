"""Uncertainty of the result of Gauss-Newton."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from learngn.arrays import Array, as_numpy, clamped, like, namespace, without_gradient
from learngn.errors import SettingsError
from learngn.geometry import sampling
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.geometry.transform import DisplacementField, invert
from learngn.interop import ImageLike, as_grid, as_image
from learngn.kernels.stencils import block_index, diagonal, full_blocks
from learngn.optimise import Optimised
from learngn.uncertainty.draws import samples
from learngn.uncertainty.information import information
from learngn.uncertainty.labels import LabelUncertainty, on_labels
from learngn.uncertainty.marginals import covariance

_SAMPLES = 4  # more hardly change rank correlations or coverage
_TOLERANCE = 2e-2  # relative residual of their solutions


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """Normal distribution of the displacement of every voxel about the result.

    Attributes
    ----------
    covariance : Image, (1, K, *S) [mm²]
        Upper triangles, row by row, of the D x D covariance in RAS, on a grid of the uncertainty's own that covers the
        fixed image.
    fixed : Grid
        Grid of the fixed image.
    draws : Image, (M, D, *S) [mm, RAS], optional
        Errors of the displacement drawn from their joint distribution, on the grid of the covariance. The covariance
        says nothing of how the errors of neighbours agree; these do, which sums such as volumes need.
    """

    covariance: Image
    fixed: Grid
    draws: Image | None = None

    @cached_property
    def deviation(self) -> Image:
        """Standard deviation [mm] on the fixed grid: root of the trace, the root mean square length of the error."""
        return self.deviation_on(self.fixed)

    @cached_property
    def axis(self) -> Image:
        """Longest half axis of the ellipsoid of one standard deviation, (1, D, *S) [mm, RAS], on its own grid."""
        data, ndim = self.covariance.data, self.covariance.grid.ndim
        xp = namespace(data)
        values, vectors = xp.linalg.eigh(full_blocks(data, ndim))  # in ascending order
        longest = vectors[..., -1] * xp.sqrt(clamped(values[..., -1:], 0.0))
        return replace(self.covariance, data=xp.moveaxis(longest, -1, 1))

    def deviation_on(self, reference: Grid | ImageLike) -> Image:
        """Return the standard deviation [mm] on any grid, or that of an image, in the fixed image's world."""
        data = self.covariance.data
        xp = namespace(data)
        trace = xp.sum(xp.stack([data[:, k] for k in diagonal(data)]), axis=0)[:, None]
        return _resampled(Image(xp.sqrt(clamped(trace, 0.0)), self.covariance.grid), as_grid(reference))

    def axis_field(self) -> DisplacementField:
        """Return :attr:`axis` as a displacement, for files."""
        back = like(np.linalg.inv(self.axis.grid.affine[:-1, :-1]), self.axis.data)
        xp, data = namespace(self.axis.data), self.axis.data
        voxels = xp.reshape(back @ xp.reshape(data, (1, data.shape[1], -1)), data.shape)
        return DisplacementField(voxels, self.axis.grid)

    def by_label(self, labels: ImageLike) -> dict[int, LabelUncertainty]:
        """Return what the uncertainty means for every label of a map in the fixed image's world."""
        labels = as_image(labels, labels=True)
        data, grid = self.covariance.data, self.covariance.grid
        xp = namespace(data)
        full = full_blocks(data, grid.ndim)
        along = like(labels.grid.direction, data)
        # Variances along the axes of the label map, then the trace.
        axes = xp.sum((full @ along) * along, axis=-2)
        variances = xp.moveaxis(xp.concat([axes, xp.sum(axes, axis=-1, keepdims=True)], axis=-1), -1, 1)
        sampled = _resampled(Image(clamped(variances, 0.0), grid), labels.grid)
        return on_labels(as_numpy(labels.data)[0, 0], as_numpy(sampled.data)[0], labels.grid.spacing)

    def of_labels(self, labels: ImageLike) -> dict[int, float]:
        """Return the mean standard deviation [mm] of every label of a map in the fixed image's world."""
        return {label: found.deviation for label, found in self.by_label(labels).items()}

    def like(self, array: Array) -> Uncertainty:
        """Return the uncertainty in the library and on the device of an array."""
        draws = None if self.draws is None else self.draws.like(array)
        return replace(self, covariance=self.covariance.like(array), draws=draws)


def uncertainty_of(result: Optimised, fixed: Grid, factor: float = 1.0, count: int = _SAMPLES) -> Uncertainty:
    """Estimate the uncertainty of a displacement from the normal equations at the result.

    Parameters
    ----------
    result : Optimised
        Result of Gauss-Newton for one pair.
    fixed : Grid
        Grid of the fixed image.
    factor : float
        Factor of the covariance, see :mod:`learngn.uncertainty.calibration`.
    count : int
        Number of draws.

    Raises
    ------
    SettingsError
        If the method has no normal equations.
    """
    if result.energy is None:
        raise SettingsError("uncertainty", "a method without normal equations", "Gauss-Newton", "choose another update")
    with without_gradient():
        xp = namespace(result.field)
        u = result.field if result.into_fixed is None else xp.concat([result.field, result.into_fixed])
        found = information(result.energy, u)
        errors = samples(found.operator, count, tolerance=_TOLERANCE)
        blocks = covariance(found.operator, drawn=errors)
        if result.into_fixed is not None:
            together = xp.reshape(errors, (1, -1, *errors.shape[2:]))
            blocks, moved = (_from_half_way(image, result.into_fixed, found.grid) for image in (blocks, together))
            errors = xp.reshape(moved, errors.shape)
        to_world = like(result.grid.affine[:-1, :-1], blocks)
        full = to_world @ (full_blocks(blocks, fixed.ndim) * (factor * found.variance)) @ to_world.T
        entries = [full[..., a, b] for a, b in block_index(fixed.ndim)]
        scaled = to_world @ xp.reshape(errors, (*errors.shape[:2], -1)) * (factor * found.variance) ** 0.5
        draws = Image(xp.reshape(scaled, errors.shape), found.grid)
        return Uncertainty(Image(xp.stack(entries, axis=1), found.grid), fixed, draws)


def _from_half_way(blocks: Array, into_fixed: Array, grid: Grid) -> Array:
    """Move an image from half-way between the images to the fixed image."""
    field = DisplacementField(sampling.resize_field(into_fixed, grid.shape), grid)
    back = invert(field, tolerance=1e-2).field.data
    return sampling.warp(blocks, back, sampling.identity_map(grid.ndim), grid.shape)


def _resampled(image: Image, grid: Grid) -> Image:
    """Interpolate an image on another grid of the same world; beyond its voxel centres its border is continued."""
    return Image(sampling.warp(image.data, None, grid.index_map(image.grid), grid.shape), grid)
