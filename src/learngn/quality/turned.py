"""Whether the moving scan fits better mirrored or turned by 180°: headers that are wrong, scans stored upside down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from learngn.arrays import as_numpy
from learngn.features import FeatureImage
from learngn.features.mind import mind_ssc
from learngn.geometry import sampling
from learngn.geometry.grid import FloatArray, Grid
from learngn.optimise.agreement import spread_of
from learngn.optimise.correlation import Correlation, weight_of
from learngn.optimise.families import AFFINE
from learngn.optimise.linear_problem import LinearLimits, LinearProblem
from learngn.optimise.pose import components, quality
from learngn.quality.both_ways import Aligned, agreement, forward
from learngn.quality.coarse import CoarsePair

_VOXELS = {2: 1_000, 3: 3_000}  # most voxels of the grid for the search
_CHANNELS = 5  # principal components that are compared
_STEPS = 10  # of the linear refinement
_COVERED = 0.5  # least fraction of the smaller scan that must be covered
_LABELS = 8  # most labels that are compared
_INTENSITY = 2.0  # weight of intensities beside patterns
_WINDOW = (-1000.0, 400.0)  # [HU]
_RANGE = (0.005, 0.995)  # quantiles of other intensities
_AXES = ("left and right", "front and back", "top and bottom")


@dataclass(frozen=True)
class Turned:
    """How well the scans fit, and how well if the moving one were mirrored or turned.

    Attributes
    ----------
    given : float
        Agreement of the scans as they are, over the best translation.
    gain : float
        What the best way of mirroring or turning gains, after a coarse registration.
    how : str
        This way in words: ``"mirrored (left and right exchanged)"``, ...
    """

    given: float
    gain: float
    how: str


def turned(pair: CoarsePair, matrix: FloatArray, given: float) -> Turned:
    """Compare the moving scan, aligned linearly, with the fixed one as it is, mirrored and turned by 180°.

    Parameters
    ----------
    pair : CoarsePair
    matrix : array, shape (D+1, D+1)
        The linear map, fixed RAS mm to moving RAS mm.
    given : float
        Agreement of the scans as they are after a coarse registration,
        see :func:`learngn.quality.both_ways.agreement`.

    Notes
    -----
    The moving scan is sampled on a coarse fixed grid, with the signs of the world's axes exchanged about the centre of
    the body, and compared at all translations by correlation. The best way is then registered coarsely, affine and
    deformable, as the scan as it is was: without this, differences between subjects hide which side the heart is on.
    """
    search = _Search(pair)
    scores = {signs: search(matrix, signs) for signs in product((1, -1), repeat=pair.grid.ndim)}
    none = (1,) * pair.grid.ndim
    best = max((signs for signs in scores if signs != none), key=lambda signs: scores[signs][0])
    if pair.kind == "labels":
        return Turned(scores[none][0], scores[best][0] - scores[none][0], _name(best))
    return Turned(scores[none][0], _after_registration(pair, scores[best][1]) - given, _name(best))


class _Search:
    """Search for the translation at which a pair agrees best."""

    def __init__(self, pair: CoarsePair) -> None:
        self.pair, grid = pair, pair.grid
        spacing = float(grid.spacing.min())
        while grid.size > _VOXELS[grid.ndim]:
            spacing *= 1.1
            grid = pair.grid.coarsened(spacing)
        self.grid, scan = grid, pair.fixed.image
        self.labels: list[int] = []
        if scan.labels:
            self.labels = sorted(set(scan.label_values) & set(pair.moving.image.label_values))[:_LABELS]
            data = as_numpy(sampling.warp_nearest(scan.data, None, grid.index_map(scan.grid), grid.shape))
        else:
            data = as_numpy(sampling.pool(scan.data, grid.shape))
        self.fixed = _features(data, grid, None, pair.kind, self.labels)

    def __call__(self, matrix: FloatArray, signs: tuple[int, ...]) -> tuple[float, FloatArray]:
        """Return the largest agreement over all translations, and the map with this translation."""
        grid, exchanged = self.grid, matrix @ _exchange(self.pair.fixed.body_centre, signs)
        data, inside = sampled(self.pair, exchanged, grid)
        moving = _features(data, grid, inside, self.pair.kind, self.labels)
        fixed, moving = components((self.fixed, moving), _CHANNELS)
        weights = weight_of(fixed), weight_of(moving)
        sums = Correlation(fixed)(moving)
        covered = np.asarray(sums.weight) / max(min(float(weight.sum()) for weight in weights), 1e-9)
        concordance = sums.concordance(spread_of((fixed.data, moving.data), weights))
        score = np.where(covered >= _COVERED, quality(concordance, covered), -1.0)
        peak = np.unravel_index(int(score.argmax()), score.shape)
        shift = np.eye(grid.ndim + 1)
        shift[:-1, -1] = np.asarray(peak) - (np.asarray(grid.shape) - 1)
        return float(score.max()), np.asarray(exchanged @ grid.affine @ shift @ np.linalg.inv(grid.affine))


def sampled(pair: CoarsePair, matrix: FloatArray, grid: Grid) -> tuple[FloatArray, FloatArray]:
    """Return the moving scan on a grid under a map, (1, 1, *S), and the weight one where it is inside."""
    source = pair.moving.image
    to_moving = grid.index_map(source.grid, matrix)
    warp = sampling.warp_nearest if source.labels else sampling.warp
    data = as_numpy(warp(source.data, None, to_moving, grid.shape))
    inside = sampling.inside(source.grid.shape, None, to_moving, grid.shape, data)
    return data, np.asarray(inside, dtype=np.float32)


def _after_registration(pair: CoarsePair, matrix: FloatArray) -> float:
    """Return the agreement of the patterns after an affine and a deformable registration from a map."""
    data, inside = sampled(pair, matrix, pair.grid)
    coarse = pair.grid.coarsened(2 * float(pair.grid.spacing.min()))
    fixed = _features(pair.fixed.image.data, pair.grid, None, pair.kind, ()).on(coarse)
    moving = _features(data, pair.grid, inside, pair.kind, ()).on(coarse)
    refined = LinearProblem(fixed, moving, LinearLimits()).refine(np.eye(pair.grid.ndim + 1), AFFINE, _STEPS)
    data, inside = sampled(pair, matrix @ refined.matrix, pair.grid)
    aligned = Aligned(data[0, 0], inside[0, 0] > 0)
    return agreement(pair, aligned, forward(pair, aligned))


def _exchange(centre: FloatArray, signs: tuple[int, ...]) -> FloatArray:
    """Return the exchange of the world's directions about a point."""
    exchange = np.eye(len(signs) + 1)
    exchange[:-1, :-1] = np.diag(signs)
    exchange[:-1, -1] = centre - np.asarray(signs) * centre
    return exchange


def _features(
    data: FloatArray, grid: Grid, weight: FloatArray | None, kind: str, labels: Sequence[int]
) -> FeatureImage:
    """Return what is compared: labels; or patterns, and intensities unless the modalities differ."""
    if kind == "labels":
        channels = np.concatenate([data == label for label in labels], axis=1).astype(np.float32)
        return FeatureImage(channels, grid, weight)
    patterns = np.asarray(mind_ssc(np.ascontiguousarray(data, dtype=np.float32), 1, 1, grid))
    if kind == "across":
        return FeatureImage(patterns, grid, weight)
    low, high = _WINDOW if kind == "ct" else np.quantile(data if weight is None else data[weight > 0], _RANGE)
    scaled = (np.clip(data, low, high) - low) / max(float(high - low), 1e-12)
    return FeatureImage(np.concatenate([_INTENSITY * scaled, patterns], axis=1).astype(np.float32), grid, weight)


def _name(signs: tuple[int, ...]) -> str:
    """Describe an exchange of directions in words."""
    exchanged = [name for name, sign in zip(_AXES, signs, strict=False) if sign < 0]
    how = "mirrored" if len(exchanged) % 2 else "turned by 180°"
    return f"{how} ({', '.join(exchanged)} exchanged)"
