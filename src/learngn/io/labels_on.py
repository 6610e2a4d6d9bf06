"""Label maps brought onto the grid of their scan, voxel by voxel, where the voxels of both coincide."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import torch
from torch import Tensor

from learngn.errors import HeaderWarning, LabelError
from learngn.geometry.grid import FloatArray, Grid, apply_affine
from learngn.geometry.image import Image

_ROUNDED = 0.1  # voxel: headers of one grid, rounded, differ by less
_COINCIDE = 0.02  # voxel: what a shift by whole voxels may be off; it could be chance
_COMMAND = "learngn apply LABELS --identity --labels --reference SCAN -o OUT"


@dataclass(frozen=True)
class _Lattice:
    """How the voxels of one grid count in another that has voxels at the same places.

    Attributes
    ----------
    axes : tuple of int
        Axis of the labels that runs along each axis of the scan.
    flipped : tuple of int
        Axes of the scan along which the labels run backwards.
    start : tuple of int
        Index in the scan of the labels' first voxel, once they are turned.
    """

    axes: tuple[int, ...]
    flipped: tuple[int, ...]
    start: tuple[int, ...]


def labels_on(image: Image, grid: Grid, what: str) -> Image:
    """Bring a label map onto the grid of its scan without interpolation.

    Parameters
    ----------
    image : Image
        Its voxels lie where the scan's are: perhaps with axes in another order or direction, cropped, or reaching
        beyond the scan (to 0.02 voxel), or the same ones with a rounded header (to 0.1 voxel).
    grid : Grid
        Of the scan.
    what : str
        Name of the label map in messages.

    Returns
    -------
    Image
        On `grid`; 0 where the label map does not reach. Labels beyond the scan are left out with a
        :class:`~learngn.errors.HeaderWarning`.

    Raises
    ------
    LabelError
        If the voxels do not coincide, which the message describes; or no label lies in the scan, or a map of the scan's
        own shape lies so far beside it that labels would be cut off.
    """
    if image.grid == grid:
        return image
    lattice = _lattice(image.grid, grid) if image.grid.ndim == grid.ndim else None
    if lattice is None:
        raise LabelError(
            f"{what} ({image.name})",
            _difference(image.grid, grid),
            f"voxels of the scan, {grid}",
            f"if they belong to it, bring them onto its grid: {_COMMAND}",
        )
    turned = image.data.permute(0, 1, *(2 + axis for axis in lattice.axes))
    turned = turned.flip([2 + axis for axis in lattice.flipped])
    data = torch.zeros((*image.data.shape[:2], *grid.shape), dtype=image.data.dtype, device=image.data.device)
    source, target = [slice(None)] * 2, [slice(None)] * 2
    for start, length, size in zip(lattice.start, turned.shape[2:], grid.shape, strict=True):
        low, high = max(0, start), max(0, min(size, start + length))
        source.append(slice(max(0, low - start), max(0, high - start)))
        target.append(slice(low, max(low, high)))
    part = turned[tuple(source)]
    if part.numel():
        data[tuple(target)] = part
    _check_kept(image, data, grid, what)
    return replace(image, data=data, grid=grid)


def _lattice(labels: Grid, scan: Grid) -> _Lattice | None:
    """How the voxels of the labels count in the scan; None where they lie elsewhere."""
    matrix = labels.index_map(scan)
    whole = np.rint(matrix[:-1, :-1])
    if not (np.abs(whole).sum(axis=0) == 1).all() or not (np.abs(whole).sum(axis=1) == 1).all():
        return None
    corners = _corners(labels)
    moved = apply_affine(matrix, corners)
    rest = moved - corners @ whole.T
    shift = np.rint(rest.mean(axis=0))
    axes = tuple(int(axis) for axis in np.abs(whole).argmax(axis=1))
    start = tuple(int(n) for n in (corners @ whole.T + shift).min(axis=0))
    same = not any(start) and tuple(labels.shape[axis] for axis in axes) == scan.shape
    if np.abs(rest - shift).max() > (_ROUNDED if same else _COINCIDE):
        return None
    return _Lattice(axes, tuple(int(axis) for axis in np.flatnonzero(whole.sum(axis=1) < 0)), start)


def _check_kept(image: Image, data: Tensor, grid: Grid, what: str) -> None:
    """Raise where labels are lost to which a scan of this place and shape cannot belong; else warn of it."""
    before, after = int(image.data.count_nonzero()), int(data.count_nonzero())
    if before == after:
        return
    if not after or sorted(image.grid.shape) == sorted(grid.shape):
        raise LabelError(
            f"{what} ({image.name})",
            f"{after} of {before} labelled voxels within the scan: {_difference(image.grid, grid)}",
            f"labels of the scan, {grid}",
            "check that the file belongs to it",
        )
    lost = f"{(before - after) / before:.0%} of the labelled voxels lie beyond the scan and are left out"
    warnings.warn(HeaderWarning(f"{what} ({image.name})", lost), stacklevel=3)


def _difference(labels: Grid, scan: Grid) -> str:
    """What keeps the voxels of two grids apart, in words."""
    if labels.ndim != scan.ndim:
        return f"a {labels.ndim}D map, {labels}"
    found = []
    # In the order of the scan's axes.
    cosines = labels.direction.T @ scan.direction
    order = np.abs(cosines).argmax(axis=0)
    if len(set(order.tolist())) == labels.ndim:
        angle = float(np.degrees(np.arccos(np.clip(np.abs(cosines).max(axis=0), 0, 1)).max()))
        if angle > 0.1:
            found.append(f"axes turned by {angle:.3g} degrees")
        spacing = labels.spacing[order]
        if np.abs(spacing / scan.spacing - 1).max() > 1e-4:
            found.append(f"voxels of {_by(spacing)} mm instead of {_by(scan.spacing)} mm")
    first = apply_affine(labels.index_map(scan), _corners(labels)).min(axis=0)
    found.append(f"a first voxel at index {', '.join(f'{v:.2f}' for v in np.round(first, 2) + 0.0)} of the scan")
    found.append(f"a shape of {'x'.join(map(str, labels.shape))}")
    return ", ".join(found)


def _by(spacing: FloatArray) -> str:
    return "x".join(f"{value:.5g}" for value in spacing)


def _corners(grid: Grid) -> FloatArray:
    return np.array(list(product(*[(0.0, n - 1.0) for n in grid.shape])))
