"""Brightness of several scans of one subject: a gain for each, and the slow differences of a receive coil."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from learngn.errors import SettingsError

Brightness = Literal["field", "gain", "keep"]
_DEGREE: dict[str, int] = {"field": 3, "gain": 0}  # of the polynomial that is fitted to a logarithmic ratio
_TISSUE = 0.1  # of the brightest voxels (99th percentile); darker ones are noise
_OUTLIER = 3.0  # standard deviations beyond which a ratio shows a change of tissue
_MAD = 1.4826  # standard deviation of a normal distribution by its median absolute deviation
_ROUNDS = 3  # of leaving out outliers
_MOST = 200_000  # voxels for the fit


def matched(
    scans: Sequence[NDArray[Any]], inside: Sequence[NDArray[np.bool_]], kind: str
) -> tuple[list[NDArray[np.float32]], list[float]]:
    """Divide scans that lie on one grid by their brightness relative to their mean, which favours none of them.

    To the logarithm of every scan relative to the mean logarithm, where all show tissue, a polynomial of the position
    is fitted, weighted by the brightness, without outliers, which show a change of tissue. Scans with negative values,
    such as CT, have a unit, and are not changed.

    Parameters
    ----------
    scans : sequence of array, each of shape S
    inside : sequence of array of bool, each of shape S
        Where each scan was acquired.
    kind : {"field", "gain", "keep"}
        A polynomial of the third degree, a number, or nothing.

    Returns
    -------
    list of array, list of float
        The scans, and the gain of each of them: the mean brightness relative to that of all.

    Raises
    ------
    SettingsError
        If the kind is unknown.

    References
    ----------
    Lewis and Fox, "Correction of differential intensity inhomogeneity in longitudinal MR images", 2004. Ashburner and
    Ridgway, "Symmetric diffeomorphic modeling of longitudinal structural MRI", 2013.
    """
    if kind not in get_args(Brightness):
        raise SettingsError("brightness", repr(kind), "field, gain or keep", "choose one of these")
    given = [np.asarray(scan, dtype=np.float32) for scan in scans]
    same = given, [1.0] * len(given)
    parts = list(zip(given, inside, strict=True))
    bright = [float(np.percentile(scan[where], 99)) for scan, where in parts]
    lowest = [float(np.percentile(scan[where], 1)) for scan, where in parts]
    has_unit = any(low < -_TISSUE * abs(top) for low, top in zip(lowest, bright, strict=True))
    if kind == "keep" or has_unit or min(bright) <= 0:
        return same
    tissue = np.logical_and.reduce(
        [where & (scan > _TISSUE * top) for (scan, where), top in zip(parts, bright, strict=True)]
    )
    places = np.argwhere(tissue)
    if len(places) < 10 * (_DEGREE[kind] + 1) ** tissue.ndim:
        return same
    places = places[:: max(1, len(places) // _MOST)]
    logs = np.stack([np.log(scan[tuple(places.T)].astype(np.float64)) for scan in given])
    mean = logs.mean(axis=0)
    basis = _polynomials(places, tissue.shape, _DEGREE[kind])
    fits = np.stack([_fitted(log - mean, basis, np.exp(mean)) for log in logs])
    fits -= fits.mean(axis=0)  # outliers differ between scans
    gains = [float(np.exp((basis @ fit).mean())) for fit in fits]
    results = []
    for scan, fit in zip(given, fits, strict=True):
        results.append((scan * np.exp(-_everywhere(fit, scan.shape, _DEGREE[kind]))).astype(np.float32))
    return results, gains


def _powers(ndim: int, degree: int) -> list[tuple[int, ...]]:
    return [powers for powers in product(range(degree + 1), repeat=ndim) if sum(powers) <= degree]


def _along(index: NDArray[Any], n: int, degree: int) -> NDArray[np.float64]:
    """Return Legendre polynomials of a position along an axis, shape (..., degree + 1)."""
    return np.asarray(np.polynomial.legendre.legvander((2 * index + 1) / n - 1, degree))


def _polynomials(places: NDArray[Any], shape: tuple[int, ...], degree: int) -> NDArray[np.float64]:
    """Return the products of polynomials up to a total degree at voxels (V, D), shape (V, P)."""
    axes = [_along(places[:, axis], n, degree) for axis, n in enumerate(shape)]
    columns = [
        np.prod([values[:, power] for values, power in zip(axes, powers, strict=True)], axis=0)
        for powers in _powers(len(shape), degree)
    ]
    return np.stack(columns, axis=1)


def _everywhere(fit: NDArray[Any], shape: tuple[int, ...], degree: int) -> NDArray[np.float64]:
    """Return a polynomial at all voxels."""
    axes = [_along(np.arange(n), n, degree) for n in shape]
    total = np.zeros(shape)
    for factor, powers in zip(fit, _powers(len(shape), degree), strict=True):
        term = np.asarray(factor)
        for values, power in zip(axes, powers, strict=True):
            term = term[..., None] * values[:, power]
        total += term
    return total


def _fitted(ratio: NDArray[Any], basis: NDArray[Any], brightness: NDArray[Any]) -> NDArray[np.float64]:
    """Return the coefficients of the polynomial that fits a logarithmic ratio, without its outliers."""
    weight, known = brightness / brightness.max(), np.ones(len(ratio), dtype=bool)
    fit = np.zeros(basis.shape[1])
    for _ in range(_ROUNDS):
        fit = np.linalg.lstsq(basis[known] * weight[known, None], ratio[known] * weight[known], rcond=None)[0]
        rest = ratio - basis @ fit
        known = np.abs(rest) <= _OUTLIER * max(_MAD * float(np.median(np.abs(rest))), 1e-6)
    return np.asarray(fit)
