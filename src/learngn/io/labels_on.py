"""Copying of label maps onto the grid of their scan, if the voxels of both coincide."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from learngn.arrays import Array, namespace, zeros
from learngn.errors import HeaderWarning, LabelError
from learngn.geometry.grid import FloatArray, Grid, apply_affine
from learngn.geometry.image import Image

_ROUNDED = 0.1  # tolerance for headers of one grid, which may be rounded [voxel]
_COINCIDE = 0.02  # tolerance for grids that are shifted by whole voxels [voxel]; larger ones may agree by chance
_COMMAND = "learngn apply LABELS --identity --labels --reference SCAN -o OUT"


@dataclass(frozen=True)
class _Lattice:
    """Correspondence of the voxels of two grids that have voxels at the same positions.

    Attributes
    ----------
    axes : tuple of int
        Axis of the labels that is parallel to each axis of the scan.
    flipped : tuple of int
        Axes of the scan along which the labels run backwards.
    start : tuple of int
        Index in the scan of the labels' first voxel, after their axes are permuted and flipped.
    """

    axes: tuple[int, ...]
    flipped: tuple[int, ...]
    start: tuple[int, ...]


def labels_on(image: Image, grid: Grid, what: str) -> Image:
    """Copy a label map onto the grid of its scan, without interpolation.

    Parameters
    ----------
    image : Image
        Label map whose voxels coincide with those of the scan: on the same grid up to rounding of the header (0.1
        voxel), or with axes in another order or direction, cropped, or reaching beyond the scan (0.02 voxel).
    grid : Grid
        Grid of the scan.
    what : str
        Name of the label map in messages.

    Returns
    -------
    Image
        Label map on `grid`, 0 outside the given one. Labels outside the scan are dropped, with a
        :class:`~learngn.errors.HeaderWarning`.

    Raises
    ------
    LabelError
        If the voxels do not coincide (the message says how they differ), no label lies in the scan, or a map of the
        scan's own shape is shifted so that labels would be cut off.
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
    xp = namespace(image.data)
    turned = xp.permute_dims(image.data, (0, 1, *(2 + axis for axis in lattice.axes)))
    turned = xp.flip(turned, axis=tuple(2 + axis for axis in lattice.flipped))
    data = zeros((*image.data.shape[:2], *grid.shape), image.data)
    source, target = [slice(None)] * 2, [slice(None)] * 2
    for start, length, size in zip(lattice.start, turned.shape[2:], grid.shape, strict=True):
        low, high = max(0, start), max(0, min(size, start + length))
        source.append(slice(max(0, low - start), max(0, high - start)))
        target.append(slice(low, max(low, high)))
    part = turned[tuple(source)]
    if 0 not in part.shape:
        data[tuple(target)] = part
    _check_labels_kept(image, data, grid, what)
    return replace(image, data=data, grid=grid)


def _lattice(labels: Grid, scan: Grid) -> _Lattice | None:
    """Return the correspondence of the labels' voxels with the scan's; None if they do not coincide."""
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


def _check_labels_kept(image: Image, data: Array, grid: Grid, what: str) -> None:
    """Warn if labels are lost; raise :class:`LabelError` if the label map cannot belong to the scan."""
    before, after = (int(namespace(x).count_nonzero(x)) for x in (image.data, data))
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
    """Describe how two grids differ."""
    if labels.ndim != scan.ndim:
        return f"a {labels.ndim}D map, {labels}"
    parts = []
    # Cosines and sizes in the order of the scan's axes.
    cosines = labels.direction.T @ scan.direction
    order = np.abs(cosines).argmax(axis=0)
    if len(set(order.tolist())) == labels.ndim:
        angle = float(np.degrees(np.arccos(np.clip(np.abs(cosines).max(axis=0), 0, 1)).max()))
        if angle > 0.1:
            parts.append(f"axes turned by {angle:.3g} degrees")
        spacing = labels.spacing[order]
        if np.abs(spacing / scan.spacing - 1).max() > 1e-4:
            parts.append(f"voxels of {_by(spacing)} mm instead of {_by(scan.spacing)} mm")
    first = apply_affine(labels.index_map(scan), _corners(labels)).min(axis=0)
    parts.append(f"a first voxel at index {', '.join(f'{v:.2f}' for v in np.round(first, 2) + 0.0)} of the scan")
    parts.append(f"a shape of {'x'.join(map(str, labels.shape))}")
    return ", ".join(parts)


def _by(spacing: FloatArray) -> str:
    return "x".join(f"{value:.5g}" for value in spacing)


def _corners(grid: Grid) -> FloatArray:
    return np.array(list(product(*[(0.0, n - 1.0) for n in grid.shape])))
