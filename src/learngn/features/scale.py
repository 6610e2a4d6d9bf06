"""Common resolution of a pair of images: working grids of the same spacing, and the same blur."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from learngn import kernels
from learngn.arrays import namespace, single
from learngn.geometry import sampling
from learngn.geometry.grid import FloatArray, Grid, index_range
from learngn.geometry.image import Image
from learngn.kernels import Taps
from learngn.kernels.taps import area_taps

_LEAST = 0.005  # weight of a neighbour below which smoothing is omitted
_SAME = 1.1  # spacings with a smaller ratio count as equal: making them equal would blur more than it improves
_INTERPOLATED = 3.0  # variance of slices with interpolation between them, in units of a slice's own variance
_THICK = 1.5  # ratio of spacings
_MORE_VOXELS = 8  # largest number of voxels of a scan resampled along other axes, relative to the larger scan
_MOST_PARTS = 8  # largest number of samples of a cell along each axis
_ASKEW = 8.0  # [degree] angle between axes above which they do not correspond to each other


@dataclass(frozen=True)
class CommonScale:
    """Finest resolution at which both images of a pair can be compared.

    Features defined in voxels (patches, neighbours, differences) are comparable only if the voxels of both images have
    the same size, and both images were averaged over the same length. Along each axis the finer image is therefore
    averaged over the spacing of the coarser one. If the grids are oblique to each other, their axes do not correspond;
    the image that is sharper along a direction is then averaged along that direction.

    Attributes
    ----------
    fixed, moving : array, shape (D,)
        Smallest voxel size along each array axis of the image [mm].
    fixed_blur, moving_blur : tuple of arrays, shape (D,)
        Vectors in RAS along which the image is averaged, over their lengths [mm].
    partners : tuple of int, optional
        For each axis of the fixed image the axis of the moving image with about the same direction; None if the grids
        are oblique to each other.
    ratio : float
        Largest ratio of the spacings along corresponding axes.
    """

    fixed: FloatArray
    moving: FloatArray
    fixed_blur: tuple[FloatArray, ...] = ()
    moving_blur: tuple[FloatArray, ...] = ()
    partners: tuple[int, ...] | None = None
    ratio: float = 1.0

    @classmethod
    def of(cls, fixed: Grid, moving: Grid) -> CommonScale:
        """Compare the spacings of two grids along the directions of their axes."""
        partners = _partners(fixed, moving)
        if partners is not None:
            both = np.stack([fixed.spacing, moving.spacing[list(partners)]])
            coarser, ratio = both.max(axis=0), float((both.max(axis=0) / both.min(axis=0)).max())
            return cls(coarser, coarser[np.argsort(partners)], partners=partners, ratio=ratio)
        fixed_finest = np.maximum(fixed.spacing, moving.spacing.min())
        moving_finest = np.maximum(moving.spacing, fixed.spacing.min())
        fixed_blur = _blur(fixed, fixed_finest, moving, moving_finest)
        return cls(fixed_finest, moving_finest, fixed_blur, _blur(moving, moving_finest, fixed, fixed_finest))

    @property
    def thick(self) -> bool:
        """Whether an image has thick slices, and the other image thinner ones along the same direction."""
        if self.partners is None:
            return bool(self.fixed_blur or self.moving_blur)
        return self.ratio > _THICK and float(self.fixed.max()) > _THICK * float(self.fixed.min())

    def grids(self, fixed: Grid, moving: Grid, spacing: float) -> tuple[Grid, Grid]:
        """Return the grids of both images with voxels of about `spacing` [mm], no finer than this resolution."""
        return _coarsened(fixed, self.fixed, spacing), _coarsened(moving, self.moving, spacing)

    def images(self, fixed: Image, moving: Image, spacing: float) -> tuple[Image, Image]:
        """Return both images so that their averages on :meth:`grids` have the same blur."""
        if self.partners is None:
            return _averaged(fixed, self.fixed, self.fixed_blur), _averaged(moving, self.moving, self.moving_blur)
        fixed_grid, moving_grid = self.grids(fixed.grid, moving.grid, spacing)
        for axis, partner in enumerate(self.partners):
            a, b = fixed.grid.spacing[axis], moving.grid.spacing[partner]
            if max(a, b) > _SAME * min(a, b):
                missing = _variance(moving.grid, moving_grid, partner) - _variance(fixed.grid, fixed_grid, axis)
                fixed, moving = _softened(fixed, axis, missing), _softened(moving, partner, -missing)
        return fixed, moving


def common_grids(fixed: Grid, moving: Grid, spacing: float = 0.0) -> tuple[Grid, Grid]:
    """Return the grids on which a pair is compared, with the same spacing along corresponding axes.

    Parameters
    ----------
    fixed, moving : Grid
        Grids of the images.
    spacing : float
        Requested voxel size [mm]; see :meth:`learngn.geometry.grid.Grid.coarsened`. Voxels are at least as large as
        those of the coarser image along the same direction.

    Returns
    -------
    (Grid, Grid)
        Grids with the extents of the images.
    """
    return CommonScale.of(fixed, moving).grids(fixed, moving, spacing)


def _partners(fixed: Grid, moving: Grid) -> tuple[int, ...] | None:
    """Return for each fixed axis the moving axis of about the same direction; None if the grids are oblique."""
    cosines = np.abs(fixed.direction.T @ moving.direction)
    axes = range(fixed.ndim)
    order = max(permutations(axes), key=lambda o: sum(cosines[a, o[a]] for a in axes))
    if min(cosines[a, order[a]] for a in axes) < math.cos(math.radians(_ASKEW)):
        return None
    return tuple(order)


def _coarsened(grid: Grid, finest: FloatArray, spacing: float) -> Grid:
    ratio = np.where(finest > _SAME * grid.spacing, finest / grid.spacing, 1.0)
    # In units of the coarser spacing of the two, so that rounding is the same for both images.
    factor = np.maximum(1.0, np.round(spacing / finest)) * ratio
    shape = np.maximum(1, np.round(np.asarray(grid.shape) / factor)).astype(int)
    return grid.resized(tuple(int(n) for n in shape))


def _blur(grid: Grid, finest: FloatArray, other: Grid, finest_other: FloatArray) -> tuple[FloatArray, ...]:
    """Return vectors along which an image must be averaged: axes of the other along which its voxels are smaller."""
    vectors = []
    for axis, length in zip(other.direction.T, finest_other, strict=True):
        reach = float(np.linalg.norm(finest * (grid.direction.T @ axis)))
        if length > _SAME * reach:
            vectors.append(axis * math.sqrt(length**2 - reach**2))  # variances of averages add up
    return tuple(vectors)


def cut_alike(fixed: Image, moving: Image) -> tuple[Image, Image]:
    """Return both images as if they had been scanned along the axes of the fixed image, with the same blur.

    The moving image is averaged over voxels along the axes of the fixed image. If its slices are thick in a direction
    oblique to these axes, the voxels are as large as the projection of the slice thickness on each of them, and the
    fixed image is averaged over the slice thickness.

    Parameters
    ----------
    fixed, moving : Image

    Returns
    -------
    (Image, Image)
        The fixed image on its own grid; the moving image on a lattice along the fixed axes that covers it.
    """
    thickness = moving.grid.spacing
    apparent = np.abs(fixed.grid.direction.T @ moving.grid.direction) * thickness
    finest = np.maximum(fixed.grid.spacing, np.maximum(apparent.max(axis=1), thickness.min()))
    vectors = [
        axis * math.sqrt(_INTERPOLATED * length**2 - finest.min() ** 2)  # variances of averages add up
        for axis, length in zip(moving.grid.direction.T, thickness, strict=True)
        if length > _SAME * finest.min()
    ]
    cells = _coarsened(fixed.grid, finest, 0.0)
    lattice = _covering(moving.grid, cells, _MORE_VOXELS * max(fixed.grid.size, moving.grid.size))
    parts = np.clip(np.round(cells.spacing / thickness.min()), 1, _MOST_PARTS).astype(int)
    fine = lattice.resized([int(k * n) for k, n in zip(parts, lattice.shape, strict=True)])
    sampled = sampling.warp(single(moving.data), None, fine.index_map(moving.grid), fine.shape)
    return _along(fixed, vectors), Image(sampling.pool(sampled, lattice.shape), lattice)


def _covering(image: Grid, like: Grid, most: int) -> Grid:
    """Return the lattice of `like`, extended over `image`; with larger voxels if it would have more than `most`."""
    low, high = index_range(image.shape, image.index_map(like))
    first = np.floor(low + 0.5)
    shape = tuple(int(n) for n in np.maximum(1, np.ceil(high - 0.5) - first + 1))
    if math.prod(shape) <= most:
        return like.part(first.tolist(), shape)
    # The largest allowed number of voxels, of about the same size along each axis.
    extent = np.asarray(shape) * like.spacing
    spacing = float(np.maximum(like.spacing, image.spacing.min()).min())
    while math.prod(counts := [max(1, math.ceil(side / spacing)) for side in extent]) > most:
        spacing *= 2 ** (1 / 3)
    affine = np.eye(like.ndim + 1)
    affine[:-1, :-1] = like.direction * (extent / counts)
    affine[:-1, -1] = like.index_to_world(first - 0.5) + affine[:-1, :-1] @ np.full(like.ndim, 0.5)
    return Grid(tuple(counts), affine)


def _variance(image: Grid, working: Grid, axis: int) -> float:
    """Return the variance of a working voxel's average along an axis: scanner plus area average [mm²]."""
    taps = area_taps(image.shape[axis], working.shape[axis])
    n, m = image.shape[axis], working.shape[axis]
    centres = (np.arange(m) + 0.5) * (n / m) - 0.5
    away = taps.start[:, None] + np.arange(taps.weights.shape[1]) - centres[:, None]
    return float(((taps.weights * away**2).sum(1).mean() + 1 / 12) * image.spacing[axis] ** 2)


def _softened(image: Image, axis: int, variance: float) -> Image:
    """Smooth an image along an axis so that the variance of its averages grows by `variance` [mm²]."""
    share = variance / (2 * float(image.grid.spacing[axis]) ** 2)  # weight of each neighbour in a sum of three
    if share < _LEAST or image.grid.shape[axis] == 1:
        return image
    rounds = math.ceil(4 * share)
    n = image.grid.shape[axis]
    dense = np.eye(n)
    for _ in range(rounds):
        padded = np.pad(dense, ((1, 1), (0, 0)), mode="edge")
        dense = dense + share / rounds * (padded[:-2] - 2 * dense + padded[2:])
    taps = [Taps(np.arange(m, dtype=np.int64), np.ones((m, 1)), m) for m in image.grid.shape]
    taps[axis] = Taps.from_matrix(dense)
    data = single(image.data)
    return Image(kernels.resample(data, taps), image.grid)


def _averaged(image: Image, finest: FloatArray, vectors: Sequence[FloatArray]) -> Image:
    """Return an image averaged along vectors, on the coarsest grid that keeps the remaining detail."""
    grid = _coarsened(image.grid, finest, 0.0)
    if grid.shape != image.grid.shape:
        image = Image(sampling.pool(single(image.data), grid.shape), grid)
    return _along(image, vectors)


def _along(image: Image, vectors: Sequence[FloatArray]) -> Image:
    """Return an image averaged along each of several vectors in RAS [mm]."""
    if not vectors:
        return image
    data, grid = single(image.data), image.grid
    for vector in vectors:
        offsets = _offsets(grid, vector)
        total = namespace(data).zeros_like(data)
        for offset in offsets:
            shift = np.eye(grid.ndim + 1)
            shift[:-1, -1] = offset
            total += sampling.warp(data, None, shift, grid.shape)
        total /= len(offsets)
        data = total
    return Image(data, grid)


def _offsets(grid: Grid, vector: FloatArray) -> FloatArray:
    """Return offsets of the samples of an image that are averaged along a vector in RAS [mm]; (K, D) [voxel].

    Interpolated samples are averages themselves, of variance ``t (1 - t)`` voxels² at a distance t from a voxel. The
    samples are therefore moved closer together, so that the total variance is that of the average along the vector.
    """
    whole = np.linalg.solve(grid.affine[:-1, :-1], vector)
    count = 1 + math.ceil(2 * float(np.abs(whole).max()))
    parts = ((np.arange(count) + 0.5) / count - 0.5)[:, None]
    length = float(np.linalg.norm(vector))
    voxels = (grid.affine[:-1, :-1].T @ vector / length) ** 2  # squared voxel sizes, projected on the vector

    def variance(share: float) -> float:
        part = np.abs(share * parts * whole) % 1
        return float((share * length * parts[:, 0]).var() + (part * (1 - part) @ voxels).mean())

    low, high = 0.0, 1.0
    for _ in range(20):
        share = (low + high) / 2
        low, high = (share, high) if variance(share) < length**2 / 12 else (low, share)
    return np.asarray(low * parts * whole)
