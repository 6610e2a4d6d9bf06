"""Numbers of one scan by which a model recognises scans like those of its training, and how steady φ is on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from learngn.arrays import Array, as_numpy, like
from learngn.features import FeatureImage
from learngn.geometry.grid import FloatArray, Grid
from learngn.quality import similarity

Phi = Callable[[FeatureImage], FeatureImage]

LEVELS = (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95)  # of the quantiles of the input
_SAMPLES = 100_000  # about as many values of the input are looked at
_PART = {2: 256, 3: 48}  # most voxels along an axis of the part of a scan on which φ is computed again
_GAMMAS = (0.7, 1.4)
_NOISE = 0.05  # standard deviation [range of the input]
_BORDER = 2  # voxels that a shifted scan lacks, and more
_UNITS = {2: (100.0, "cm²"), 3: (1000.0, "ml")}


@dataclass(frozen=True)
class ScanSummary:
    """Numbers of a scan.

    Attributes
    ----------
    spacing : float
        Largest side of the voxels on which φ is computed [mm].
    field : float
        Geometric mean of the sides of the field of view [mm].
    inputs : tuple of float
        Quantiles of the input features, after their scaling, at :data:`LEVELS`.
    volumes : tuple of float
        Volume of every organ, as φ sees it: where its channel is positive [ml, or cm² in 2D].
    steady : float or None
        Agreement of φ with that of changed copies of the scan, see :func:`steadiness`; None if it was not computed.
    """

    spacing: float
    field: float
    inputs: tuple[float, ...]
    volumes: tuple[float, ...]
    steady: float | None

    @classmethod
    def of(
        cls, scan: Grid, given: FeatureImage, features: FeatureImage, organs: range, steady: float | None = None
    ) -> ScanSummary:
        """Summarise a scan.

        Parameters
        ----------
        scan : Grid
            Its grid.
        given : FeatureImage
            Input features, (1, C, *S), of this scan alone.
        features : FeatureImage
            Learned features φ.
        organs : range
            Channels of φ that are positive inside an organ each.
        steady : float, optional
            See :func:`steadiness`.
        """
        values = as_numpy(given.data).reshape(-1)
        quantiles = np.quantile(values[:: max(1, values.size // _SAMPLES)], LEVELS)
        factor = float(np.prod(features.grid.spacing)) / _UNITS[scan.ndim][0]
        inside = [int(np.count_nonzero(as_numpy(features.data[0, channel]) > 0)) for channel in organs]
        return cls(
            float(given.grid.spacing.max()),
            float(np.exp(np.log(scan.extent).mean())),
            tuple(float(value) for value in quantiles),
            tuple(factor * count for count in inside),
            steady,
        )


def unit_of_volume(ndim: int) -> str:
    """Return the unit of :attr:`ScanSummary.volumes`."""
    return _UNITS[ndim][1]


def steadiness(phi: Phi, given: FeatureImage, *, labels: bool = False) -> float:
    """Return how well φ of a scan agrees with φ of changed copies of it, one if it does not change.

    The copies are brighter, darker and noisy; those of label maps, whose input has no contrast to change, are shifted
    by a voxel along each axis. Of a large scan only the middle is looked at.

    Parameters
    ----------
    phi : callable
        Computes φ of input features.
    given : FeatureImage
        Input features of the scan, (1, C, *S).
    labels : bool
        The input is computed from a label map.
    """
    part = _middle(given)
    usual = _values(phi, part, part.data)
    axes, agreements = tuple(range(1, usual.ndim)), []
    for changed, shift in _shifted(part.data) if labels else _recoloured(part.data):
        other = np.roll(_values(phi, part, like(changed, part.data)), [-n for n in shift], axes)
        inside = np.zeros(part.grid.shape, dtype=bool)
        inside[tuple(slice(_BORDER * n, m - _BORDER * n) for n, m in zip(shift, part.grid.shape, strict=True))] = True
        agreements.append(similarity.pattern_agreement(usual, other, inside))
    return float(np.mean(agreements)) if agreements else 1.0


def _values(phi: Phi, part: FeatureImage, data: Array) -> FloatArray:
    return np.asarray(as_numpy(phi(FeatureImage(data, part.grid)).data)[0])


def _recoloured(data: Array) -> Iterator[tuple[FloatArray, tuple[int, ...]]]:
    """Yield brighter, darker and noisy copies of features, each with no shift."""
    values, still = as_numpy(data), (0,) * (data.ndim - 2)
    low, high = float(values.min()), float(values.max())
    size = max(high - low, 1e-6)
    for gamma in _GAMMAS:
        yield (low + size * ((values - low) / size) ** gamma).astype(np.float32), still
    noise = np.random.default_rng(0).standard_normal(values.shape, dtype=np.float32)
    yield values + np.float32(_NOISE * size) * noise, still


def _shifted(data: Array) -> Iterator[tuple[FloatArray, tuple[int, ...]]]:
    """Yield copies of features that are shifted by a voxel along each axis, with the shift."""
    values, ndim = as_numpy(data), data.ndim - 2
    for axis in range(ndim):
        if values.shape[axis + 2] > 2 * _BORDER:
            yield np.roll(values, 1, axis + 2), tuple(1 if axis == other else 0 for other in range(ndim))


def _middle(given: FeatureImage) -> FeatureImage:
    """Return the middle of features, if they are large."""
    grid = given.grid
    shape = [min(n, _PART[grid.ndim]) for n in grid.shape]
    first = [(n - m) // 2 for n, m in zip(grid.shape, shape, strict=True)]
    part = tuple(slice(a, a + m) for a, m in zip(first, shape, strict=True))
    return FeatureImage(given.data[(slice(None), slice(None), *part)], grid.part(first, shape))
