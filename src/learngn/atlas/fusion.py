"""Label fusion: one label map from several that were warped onto the same target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations_with_replacement

import torch
from torch import Tensor

from learngn.errors import ShapeError
from learngn.features.filters import gaussian
from learngn.features.local import normalised
from learngn.geometry.image import Image

_FLOOR = 0.05  # smallest local deviation, so that noise is not amplified in uniform regions


def majority(target: Image, scans: Sequence[Image], labels: Sequence[Image]) -> Image:
    """Take the label of most atlases in every voxel; the smallest one if several have as many votes.

    Parameters
    ----------
    target : Image
    scans : sequence of Image
        Atlases on the target's grid; not used.
    labels : sequence of Image
        Their label maps, on the same grid.
    """
    stack = _stacked(target, labels)
    return _elected(stack, torch.ones_like(stack, dtype=torch.float32), target)


def joint(
    target: Image,
    scans: Sequence[Image],
    labels: Sequence[Image],
    *,
    sigma: float = 2.0,
    alpha: float = 0.1,
    beta: float = 2.0,
) -> Image:
    """Fuse labels by joint label fusion: atlases have more weight where they resemble the target, less if errors agree.

    At every voxel the weights minimise the expected error ``wᵀ M w`` under ``Σ w = 1``::

        w = (M + α I)⁻¹ 1 / (1ᵀ (M + α I)⁻¹ 1),      M_ij = (G_σ * |F_i - F_T| |F_j - F_T|)^β

    with the scans F minus their local mean, divided by their local deviation. Where all atlases agree, no weights are
    computed.

    Parameters
    ----------
    target : Image
    scans, labels : sequence of Image
        Atlases and their label maps, on the target's grid.
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

    References
    ----------
    Wang et al., "Multi-atlas segmentation with joint label fusion", PAMI 35(3), 2013; without its local search for
    better patches, which the registration replaces.
    """
    stack, grid = _stacked(target, labels), target.grid
    _stacked(target, scans)
    width = sigma * float(grid.spacing.min())
    looks = [normalised(image.data.to(torch.float32), grid, width, _FLOOR) for image in (target, *scans)]
    errors = [(look - looks[0]).abs() for look in looks[1:]]
    weights = torch.ones_like(stack, dtype=torch.float32)
    where = (stack != stack[:1]).any(0, keepdim=True).flatten(1)[0]
    if len(scans) > 1 and bool(where.any()):
        matrix = torch.zeros((int(where.sum()), len(scans), len(scans)), dtype=torch.float64)
        for i, j in combinations_with_replacement(range(len(scans)), 2):
            alike = gaussian(errors[i] * errors[j], grid, width).flatten()[where].clamp_min(0) ** beta
            matrix[:, i, j] = matrix[:, j, i] = alike.double()
        matrix += alpha * torch.eye(len(scans), dtype=torch.float64)
        solved = torch.linalg.solve(matrix, torch.ones_like(matrix[:, :, :1]))[:, :, 0]
        weights.flatten(1)[:, where] = (solved / solved.sum(1, keepdim=True)).T.float()
    return _elected(stack, weights, target)


VOTING: dict[str, Callable[[Image, Sequence[Image], Sequence[Image]], Image]] = {"majority": majority, "joint": joint}


def _stacked(target: Image, images: Sequence[Image]) -> Tensor:
    """Stack the values of all images, shape (A, *S)."""
    if not images or any(not image.grid.same_space(target.grid) for image in images):
        raise ShapeError("atlases", "none, or another grid", "the target's grid", "warp them onto the target")
    return torch.cat([image.data[0] for image in images])


def _elected(labels: Tensor, weights: Tensor, target: Image) -> Image:
    """Choose the label with the largest sum of weights; labels and weights have the shape (A, *S)."""
    best = torch.full_like(weights[0], -torch.inf)
    chosen = torch.zeros_like(labels[0])
    for value in torch.unique(labels):  # in ascending order, so that the smallest of equal ones is kept
        votes = (weights * (labels == value)).sum(0)
        chosen = torch.where(votes > best, value, chosen)
        best = torch.maximum(best, votes)
    return Image(chosen[None, None], target.grid, labels=True)
