"""Deformation of several scans on one grid towards their mean shape, none of them favoured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from learngn.arrays import Array
from learngn.features import Combined, Intensity, parse_features
from learngn.geometry import sampling
from learngn.geometry.grid import Grid
from learngn.geometry.grid_map import GridMap
from learngn.geometry.image import Image
from learngn.geometry.mean_shape import in_mean_shape
from learngn.optimise import Optimised, at_full_resolution, build
from learngn.optimise.unfold import unfolded
from learngn.registration.masks import masked
from learngn.settings import Settings
from learngn.settings.levels import fitted

ROUNDS = 3  # of more than two scans to their mean; further ones hardly change it
_WINDOW = 0.5, 99.5  # percentiles of all scans together, mapped to 0 and 1


@dataclass(frozen=True, eq=False)
class Deformed:
    """Displacements from the mean shape.

    Attributes
    ----------
    fields : list of Array, each of shape (1, D, *S) [voxel]
        Into each scan, on the grid of the scans.
    result : Optimised, optional
        Result of the only registration, of two scans; its displacement leads from the first scan to the second.
    """

    fields: list[Array]
    result: Optimised | None


def deformed(scans: Sequence[Image], inside: Sequence[NDArray[np.bool_]], settings: Settings) -> Deformed:
    """Register scans of one brightness that lie on one grid.

    Two scans are displaced towards each other from half-way by a symmetric update, so that exchanging them exchanges
    the results. More are registered to their mean, repeatedly, and centred.

    Parameters
    ----------
    scans : sequence of Image
    inside : sequence of array of bool, each of shape S
        Where each scan is compared.
    settings : Settings
        Symmetric.
    """
    method = _Method.of(scans, inside, settings)
    if len(scans) == 2:
        result = method(scans[0], scans[1], inside[0], inside[1])
        into_first = result.field if result.into_fixed is None else result.into_fixed
        return Deformed([_full(field, method.grid) for field in (into_first, result.field)], result)
    fields: list[Array] = [np.zeros((1, method.grid.ndim, *method.grid.shape), np.float32) for _ in scans]
    for _ in range(ROUNDS):
        mean, everywhere = mean_of(scans, inside, fields)
        found = []
        for scan, where in zip(scans, inside, strict=True):
            result = method(mean, scan, everywhere, where)
            found.append(at_full_resolution(result, method.grid, diffeomorphic=settings.diffeomorphic).forward)
        fields, _ = in_mean_shape(found, method.grid)
    return Deformed(fields, None)


def mean_of(
    scans: Sequence[Image], inside: Sequence[NDArray[np.bool_]], fields: Sequence[Array]
) -> tuple[Image, NDArray[np.bool_]]:
    """Return the mean of displaced scans, each where it was acquired, and where any of them was."""
    grid, identity = scans[0].grid, np.eye(scans[0].grid.ndim + 1)
    total, count = np.zeros((1, 1, *grid.shape)), np.zeros((1, 1, *grid.shape))
    for scan, where, field in zip(scans, inside, fields, strict=True):
        on_grid = GridMap(grid, field, identity)
        known = np.asarray(on_grid.warp(Image.from_array(where.astype(np.float32), grid), background=0.0).data)
        total += known * np.asarray(on_grid.warp(scan, background="border").data)
        count += known
    data = (total / np.maximum(count, 1e-6)).astype(np.float32)
    return Image(data, grid), np.asarray(count[0, 0] > 0.5)


@dataclass(frozen=True, eq=False)
class _Method:
    """Registration of two images on one grid, of a brightness that all scans share."""

    grid: Grid
    feature: Combined
    settings: Settings

    @classmethod
    def of(cls, scans: Sequence[Image], inside: Sequence[NDArray[np.bool_]], settings: Settings) -> _Method:
        grid = scans[0].grid
        values = np.concatenate([scan.data[0, 0][where] for scan, where in zip(scans, inside, strict=True)])
        low, high = (float(value) for value in np.percentile(values, _WINDOW))
        parts = tuple(
            (replace(part, window=(low, high)) if isinstance(part, Intensity) and high > low else part, weight)
            for part, weight in parse_features(settings.features).parts
        )
        return cls(grid, Combined(parts), fitted(settings, grid))

    def __call__(
        self, fixed: Image, moving: Image, in_fixed: NDArray[np.bool_], in_moving: NDArray[np.bool_]
    ) -> Optimised:
        voxel = float(self.grid.spacing.min())
        features = self.feature(fixed, moving, self.settings.strides[-1] * voxel)
        weights = (Image.from_array(where.astype(np.float32), self.grid) for where in (in_fixed, in_moving))
        first, second = (
            masked(one, None if bool(w.data.all()) else w) for one, w in zip(features, weights, strict=True)
        )
        return build(self.settings)(first, second, np.eye(self.grid.ndim + 1), voxel=voxel)


def _full(field: Array, grid: Grid) -> Array:
    """Return a displacement of the finest level on the grid, without folds."""
    return unfolded(sampling.resize_field(field, grid.shape))
