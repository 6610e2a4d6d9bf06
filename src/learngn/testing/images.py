"""Small test images for the checks, the same in every run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from learngn.arrays import Array, in_order, namespace
from learngn.geometry import sampling
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
        Data of shape (1, 1, *shape), an array of NumPy, float32.
    """
    rng = np.random.default_rng(seed)
    coarse = rng.normal(size=[1, 1, *[max(2, n // 3) for n in shape]])
    fine = Grid.from_spacing(shape)
    data = sampling.warp(coarse, None, fine.index_map(fine.resized(coarse.shape[2:])), shape)
    data = 100 * (data + 0.1 * rng.normal(size=[1, 1, *shape]))
    grid = Grid.from_spacing(shape, spacing) if affine is None else Grid(tuple(shape), affine)
    return Image(data.astype(np.float32), grid)


def label_map(shape: Sequence[int], spacing: float | Sequence[float] = 1.0, seed: int = 0) -> Image:
    """Make a label map with the labels 0 to 3, of smooth regions.

    Returns
    -------
    Image
        Data of shape (1, 1, *shape), an array of NumPy, uint8.
    """
    scan = smooth_scan(shape, spacing, seed)
    limits = np.quantile(scan.data, [0.4, 0.6, 0.8])
    return Image(np.searchsorted(limits, scan.data).astype(np.uint8), scan.grid, labels=True)


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
    xp, ndim = namespace(image.data), image.grid.ndim
    data = xp.permute_dims(image.data, (0, 1, *[a + 2 for a in order]))
    data = in_order(xp.flip(data, axis=tuple(a + 2 for a in flips)))
    to_old = np.zeros((ndim + 1, ndim + 1))
    to_old[-1, -1] = 1
    for new, old in enumerate(order):
        to_old[old, new] = -1 if new in flips else 1
        to_old[old, -1] = image.grid.shape[old] - 1 if new in flips else 0
    return Image(data, Grid(tuple(data.shape[2:]), image.grid.affine @ to_old), image.labels)


def orientation_undone(data: Array, order: Sequence[int], flips: Sequence[int]) -> Array:
    """Undo the reorientation of :func:`reoriented` for an array (N, C, *S)."""
    xp = namespace(data)
    data = xp.flip(data, axis=tuple(a + 2 for a in flips))
    return xp.permute_dims(data, (0, 1, *[int(a) + 2 for a in np.argsort(order)]))
