"""Label fusion: one label map from several that were warped onto the same target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations_with_replacement

import numpy as np

from learngn.arrays import Array, as_numpy, clamped, like, namespace
from learngn.errors import SettingsError, ShapeError
from learngn.features.filters import gaussian
from learngn.features.local import normalised
from learngn.geometry.grid import FloatArray
from learngn.geometry.image import Image

_FLOOR = 0.05  # smallest local deviation, so that noise is not amplified in uniform regions


def majority(
    target: Image, scans: Sequence[Image], labels: Sequence[Image], *, trust: Sequence[float] | None = None
) -> Image:
    """Take the label of most atlases in every voxel; the smallest one if several have as many votes.

    Parameters
    ----------
    target : Image
    scans : sequence of Image
        Atlases on the target's grid; not used.
    labels : sequence of Image
        Their label maps, on the same grid.
    trust : sequence of float, optional
        Weight of every atlas's vote, above zero; by default one.

    Raises
    ------
    ShapeError
        If an atlas lies on another grid, or there is none.
    SettingsError
        If the weights are not one for each atlas, finite and above zero.
    """
    stack = _stacked(target, labels)
    xp, given = namespace(stack), _trust_of(trust, labels)
    ones = xp.ones_like(stack, dtype=xp.float32)
    return _elected(stack, ones * like(given.reshape(-1, *(1,) * target.grid.ndim), ones), target)


def joint(
    target: Image,
    scans: Sequence[Image],
    labels: Sequence[Image],
    *,
    trust: Sequence[float] | None = None,
    sigma: float = 2.0,
    alpha: float = 0.1,
    beta: float = 2.0,
) -> Image:
    """Fuse labels by joint label fusion: atlases have more weight where they resemble the target, less if errors agree.

    At every voxel the weights minimise the expected error ``wᵀ M w`` under ``Σ w = 1``::

        w = (M + α I)⁻¹ 1 / (1ᵀ (M + α I)⁻¹ 1),      M_ij = (G_σ * |F_i - F_T| |F_j - F_T|)^β

    with the scans F minus their local mean, divided by their local deviation. An atlas i of trust t_i has errors that
    count as ``1 / √t_i`` times as large, ``(M_ij + α δ_ij) / √(t_i t_j)``: where the scans tell nothing, votes are in
    proportion to trust. Where all atlases agree, no weights are computed.

    Parameters
    ----------
    target : Image
    scans, labels : sequence of Image
        Atlases and their label maps, on the target's grid.
    trust : sequence of float, optional
        Trust in every atlas's registration, above zero; by default the same in all.
    sigma : float
        Standard deviation of the window, a Gaussian instead of the reference's cube [voxel].
    alpha, beta : float
        See above.

    Returns
    -------
    Image
        Label map on the target's grid.

    Raises
    ------
    ShapeError
        If an atlas lies on another grid, or there is none.
    SettingsError
        If the trust is not one number for each atlas, finite and above zero.

    References
    ----------
    Wang et al., "Multi-atlas segmentation with joint label fusion", PAMI 35(3), 2013; without its local search for
    better patches, which the registration replaces.
    """
    stack, grid = _stacked(target, labels), target.grid
    _stacked(target, scans)
    root = np.sqrt(_trust_of(trust, labels))
    width = sigma * float(grid.spacing.min())
    xp, single = namespace(stack), namespace(stack).float32
    looks = [normalised(xp.astype(image.data, single), grid, width, _FLOOR) for image in (target, *scans)]
    errors = [xp.abs(look - looks[0]) for look in looks[1:]]
    weights = xp.ones_like(stack, dtype=single)
    where = xp.any(stack != stack[:1], axis=0)
    if len(scans) > 1 and bool(xp.any(where)):
        matrix = np.zeros((np.count_nonzero(as_numpy(where)), len(scans), len(scans)))
        for i, j in combinations_with_replacement(range(len(scans)), 2):
            alike = as_numpy(clamped(gaussian(errors[i] * errors[j], grid, width)[0, 0][where], 0))
            matrix[:, i, j] = matrix[:, j, i] = alike**beta
        matrix += alpha * np.eye(len(scans))
        matrix /= root[:, None] * root
        solved = np.linalg.solve(matrix, np.ones_like(matrix[:, :, :1]))[:, :, 0]
        weights[:, where] = like((solved / solved.sum(1, keepdims=True)).T, weights)
    return _elected(stack, weights, target)


VOTING: dict[str, Callable[..., Image]] = {"majority": majority, "joint": joint}


def _trust_of(trust: Sequence[float] | None, labels: Sequence[Image]) -> FloatArray:
    """Return the trust in every atlas, shape (A,)."""
    values = np.ones(len(labels)) if trust is None else np.asarray(trust, dtype=np.float64)
    if values.shape != (len(labels),) or not np.isfinite(values).all() or (values <= 0).any():
        raise SettingsError(
            "trust", str(list(values)), f"{len(labels)} numbers above zero", "leave out atlases without trust"
        )
    return values


def _stacked(target: Image, images: Sequence[Image]) -> Array:
    """Stack the values of all images, shape (A, *S)."""
    if not images or any(not image.grid.same_space(target.grid) for image in images):
        raise ShapeError("atlases", "none, or another grid", "the target's grid", "warp them onto the target")
    arrays = [image.data[0] for image in images]
    return namespace(*arrays).concat(arrays)


def _elected(labels: Array, weights: Array, target: Image) -> Image:
    """Choose the label with the largest sum of weights; labels and weights have the shape (A, *S)."""
    xp = namespace(labels)
    best = xp.full_like(weights[0], -xp.inf)
    chosen = xp.zeros_like(labels[0])
    for value in xp.unique_values(labels):  # in ascending order, so that the smallest of equal ones is kept
        votes = xp.sum(weights * xp.astype(labels == value, weights.dtype), axis=0)
        chosen = xp.where(votes > best, value, chosen)
        best = xp.maximum(best, votes)
    return Image(chosen[None, None], target.grid, labels=True)
