"""Small test images for the checks, the same in every run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learngn.geometry.grid import Grid
from learngn.geometry.image import Image


def smooth_scan(
    shape: Sequence[int],
    spacing: float | Sequence[float] = 1.0,
    seed: int = 0,
    affine: NDArray[np.float64] | None = None,
) -> Image:
    """Make a scan with structure at several scales, about -300 to 300.

    Parameters
    ----------
    shape : sequence of int
    spacing : float or sequence of float, one per axis [mm]
        Not used if `affine` is given.
    seed : int
        Random seed.
    affine : array, shape (D+1, D+1), optional
        Maps voxel index to world [mm].

    Returns
    -------
    Image
        Data of shape (1, 1, *shape), float32.
    """
    rng = np.random.default_rng(seed)
    coarse = torch.as_tensor(rng.normal(size=[1, 1, *[max(2, n // 3) for n in shape]]))
    mode = "bilinear" if len(shape) == 2 else "trilinear"
    data = torch.nn.functional.interpolate(coarse, size=tuple(shape), mode=mode, align_corners=False)
    data = 100 * (data + 0.1 * torch.as_tensor(rng.normal(size=[1, 1, *shape])))
    grid = Grid.from_spacing(shape, spacing) if affine is None else Grid(tuple(shape), affine)
    return Image(data.float(), grid)


def label_map(shape: Sequence[int], spacing: float | Sequence[float] = 1.0, seed: int = 0) -> Image:
    """Make a label map with the labels 0 to 3, of smooth regions.

    Returns
    -------
    Image
        Data of shape (1, 1, *shape), uint8.
    """
    scan = smooth_scan(shape, spacing, seed)
    flat = scan.data.flatten()
    limits = torch.quantile(flat, torch.tensor([0.4, 0.6, 0.8]))
    return Image(torch.bucketize(scan.data, limits).to(torch.uint8), scan.grid, labels=True)


def reoriented(image: Image, order: Sequence[int], flips: Sequence[int]) -> Image:
    """Return the same image, with its array stored along other axes and directions.

    Parameters
    ----------
    image : Image
    order : sequence of int
        Permutation of the axes.
    flips : sequence of int
        Axes of the result that are reversed.
    """
    ndim = image.grid.ndim
    data = image.data.permute(0, 1, *[a + 2 for a in order]).flip([a + 2 for a in flips]).contiguous()
    to_old = np.zeros((ndim + 1, ndim + 1))
    to_old[-1, -1] = 1
    for new, old in enumerate(order):
        to_old[old, new] = -1 if new in flips else 1
        to_old[old, -1] = image.grid.shape[old] - 1 if new in flips else 0
    return Image(data, Grid(tuple(data.shape[2:]), image.grid.affine @ to_old), image.labels)


def orientation_undone(data: Tensor, order: Sequence[int], flips: Sequence[int]) -> Tensor:
    """Undo the reorientation of :func:`reoriented` for an array (N, C, *S)."""
    data = data.flip([a + 2 for a in flips])
    return data.permute(0, 1, *[int(a) + 2 for a in np.argsort(order)])
