"""Fit of learned features φ: how well those of the moving scan, moved by a transform, agree with the fixed ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from learngn.arrays import as_numpy, in_order
from learngn.features import FeatureImage
from learngn.geometry import sampling
from learngn.geometry.grid import FloatArray, Grid
from learngn.geometry.transform import Transform
from learngn.quality import similarity
from learngn.quality.coarse import coarse_grids

_VOXELS = {2: 10_000, 3: 64_000}  # most voxels of the fixed grid on which features are compared
_NONE = 1e-6  # mean of the positive values below which a scan has nothing of an organ
_WORSE = 0.01  # least loss of fit that counts


@dataclass(frozen=True, eq=False)
class FeaturePair:
    """Learned features of both scans of a pair on coarse grids.

    Attributes
    ----------
    fixed, moving : FeatureImage
        Averages, arrays of NumPy.
    organs : range
        Channels that are positive inside an organ each; empty if φ was not taught so.
    """

    fixed: FeatureImage
    moving: FeatureImage
    organs: range

    @classmethod
    def of(cls, fixed: FeatureImage, moving: FeatureImage, organs: range = range(0)) -> FeaturePair:
        """Average the features of both scans on coarse grids of one resolution."""
        grids = coarse_grids(fixed.grid, moving.grid, _VOXELS[fixed.grid.ndim])
        return cls(_averaged(fixed, grids[0]), _averaged(moving, grids[1]), organs)

    def fit(self, transform: Transform) -> dict[str, float]:
        """Return the fit with a transform from the fixed to the moving world.

        Returns
        -------
        dict
            ``features``: one less the squared distance of the features over that of unrelated ones, where the moving
            scan covers the fixed one; zero if it does not. ``organs``: mean over the organs of the soft Dice of the
            positive values. ``covers``: part of the fixed scan's organs (or of its voxels) inside the moving scan.
        """
        grid, given = self.fixed.grid, transform.on(self.fixed.grid)
        field = None if given.field is None else as_numpy(given.field)
        matrix = grid.index_map(self.moving.grid, given.world)
        warped = as_numpy(sampling.warp(self.moving.data, field, matrix, grid.shape))[0]
        covered = np.asarray(sampling.inside(self.moving.grid.shape, field, matrix, grid.shape, self.moving.data))[0, 0]
        fixed = as_numpy(self.fixed.data)[0]
        weights = self._weight(field, matrix)
        inside = covered if weights is None else covered & (weights > 0.5)
        there = similarity.pattern_agreement(fixed, warped, np.asarray(inside)) if inside.any() else 0.0
        fit = {"features": there, "covers": self._covers(fixed, covered)}
        return fit | ({"organs": self._overlap(fixed, warped * covered)} if len(self.organs) else {})

    def _weight(self, field: FloatArray | None, matrix: FloatArray) -> FloatArray | None:
        """Return the product of both scans' weights on the fixed grid, (*S); None without any."""
        weights = [] if self.fixed.weight is None else [as_numpy(self.fixed.weight)[0, 0]]
        if self.moving.weight is not None:
            weights.append(as_numpy(sampling.warp(self.moving.weight, field, matrix, self.fixed.grid.shape))[0, 0])
        return np.asarray(np.prod(weights, axis=0)) if weights else None

    def _covers(self, fixed: FloatArray, covered: similarity.Mask) -> float:
        of_organs = np.clip(fixed[self.organs.start : self.organs.stop], 0, None).sum(0)
        total = float(of_organs.sum())
        return float((of_organs * covered).sum()) / total if total > _NONE * covered.size else float(covered.mean())

    def _overlap(self, fixed: FloatArray, warped: FloatArray) -> float:
        """Return the mean soft Dice of the organs that either scan has; zero if neither has any."""
        overlaps = []
        for channel in self.organs:
            a, b = np.clip(fixed[channel], 0, None), np.clip(warped[channel], 0, None)
            total = float(a.sum() + b.sum())
            if total > _NONE * a.size:
                overlaps.append(2 * float(np.minimum(a, b).sum()) / total)
        return float(np.mean(overlaps)) if overlaps else 0.0


def fits_worse(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    """Whether a fit of :meth:`FeaturePair.fit` is clearly worse than another one, in all that is known of it."""
    return all(one[name] < other[name] - _WORSE for name in ("features", "organs") if name in one)


def _averaged(image: FeatureImage, grid: Grid) -> FeatureImage:
    coarse = image.on(grid)
    weight = None if coarse.weight is None else np.asarray(in_order(as_numpy(coarse.weight)), dtype=np.float32)
    return FeatureImage(np.asarray(in_order(as_numpy(coarse.data)), dtype=np.float32), coarse.grid, weight)
