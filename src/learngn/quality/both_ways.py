"""Registrations on a coarse grid: inverse consistency, and what a mirrored or turned scan would come to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from learngn.arrays import as_numpy, in_order
from learngn.features import FeatureImage
from learngn.geometry import sampling
from learngn.geometry.grid import FloatArray
from learngn.optimise import GaussNewton
from learngn.quality import similarity
from learngn.quality.coarse import CoarsePair
from learngn.settings import Level

# Voxel size in coarse voxels, steps and λ of the patterns.
_LEVELS = (Level(4.0, 4, 4.0), Level(2.0, 4, 0.5))


@dataclass(frozen=True, eq=False)
class Aligned:
    """The moving scan, aligned linearly, on the coarse fixed grid.

    Attributes
    ----------
    values : array, shape S
    covered : array of bool, shape S
        Voxels inside the moving scan.
    """

    values: FloatArray
    covered: similarity.Mask


def forward(pair: CoarsePair, moving: Aligned) -> FloatArray:
    """Register the fixed scan with an aligned one: the displacement, (1, D, *R) [voxel of its grid]."""
    return _displacement(*_features(pair, moving))


def round_trip(pair: CoarsePair, moving: Aligned, there: FloatArray) -> float:
    """Return the mean distance of the body's voxels from where both directions lead them, over the body's size.

    Parameters
    ----------
    pair : CoarsePair
    moving : Aligned
    there : array
        The displacement of :func:`forward`.

    Notes
    -----
    Where the scans show the same, both directions find the same correspondence. Where they do not, each follows its
    own local minima.
    """
    grid, shape = pair.grid, there.shape[2:]
    back = _displacement(*_features(pair, moving)[::-1])
    error = sampling.compose(back, there)[0] * grid.resized(shape).spacing.reshape(-1, *[1] * grid.ndim)
    distance = np.sqrt((error**2).sum(0))
    body = np.asarray(pair.fixed.body & moving.covered, dtype=np.float32)[None, None]
    inside = as_numpy(sampling.pool(body, shape))[0, 0]
    return float((distance * inside).sum() / max(float(inside.sum()), 1e-9)) / max(pair.fixed.body_size, 1e-9)


def agreement(pair: CoarsePair, moving: Aligned, there: FloatArray) -> float:
    """Return the agreement of the patterns in the body after the displacement of :func:`forward`."""
    grid, identity = pair.grid, sampling.identity_map(pair.grid.ndim)
    field = sampling.resize_field(there, grid.shape)
    data = np.stack([moving.values, moving.covered]).astype(np.float32)[None]
    warped = as_numpy(sampling.warp(data, field, identity, grid.shape))[0]
    inside = pair.fixed.body & (warped[1] > 0.5)
    return similarity.pattern_agreement(pair.patterns, pair.patterns_of(warped[0]), np.asarray(inside))


def _displacement(fixed: FeatureImage, moving: FeatureImage) -> FloatArray:
    return np.asarray(as_numpy(GaussNewton(_LEVELS)(fixed, moving, np.eye(fixed.grid.ndim + 1)).field))


def _features(pair: CoarsePair, moving: Aligned) -> tuple[FeatureImage, FeatureImage]:
    """Return the patterns of both scans, which count where the moving scan covers the fixed one."""
    weight = None if bool(moving.covered.all()) else np.asarray(moving.covered[None, None], dtype=np.float32)
    data = pair.patterns, pair.patterns_of(moving.values)
    fixed, other = (FeatureImage(in_order(patterns[None]), pair.grid, weight) for patterns in data)
    return fixed, other
