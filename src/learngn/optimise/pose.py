"""Pose search: all translations for a few rotations, by correlation on a very coarse grid."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from learngn.arrays import as_numpy, largest_of_neighbours, namespace
from learngn.features import FeatureImage
from learngn.geometry import sampling
from learngn.geometry.grid import FloatArray, Grid, index_range
from learngn.memory import SIMILAR
from learngn.optimise.agreement import spread_of
from learngn.optimise.correlation import Correlation, weight_of


@dataclass(frozen=True)
class PoseSearch:
    """Search for the rotations and translations at which two images agree best.

    Parameters
    ----------
    angles : sequence of float
        Angles about each axis [degree]; in 3D all combinations are tried.
    angles_2d : sequence of float
        Angles in 2D [degree].
    spacing : float
        Voxel size of the grid, as a fraction of the fixed image's longest side.
    keep : int
        Number of poses that are returned.
    channels : int
        Number of principal components of the features that are compared.
    smallest_overlap : float
        Least fraction of the smaller image that must be covered.
    most_shifts : int
        Largest number of translations per rotation for very different extents; voxels are enlarged until it is met.
        For similar extents four times as many are allowed; only images with very small voxels along an axis reach it.

    Notes
    -----
    For one rotation, the sums in the concordance of a translation, over its own overlap, are correlations: a few
    Fourier transforms give them for all translations at once, masks and fields of view included.

    References
    ----------
    Padfield, "Masked object registration in the Fourier domain", IEEE Transactions on Image Processing 2012.
    """

    angles: tuple[float, ...] = (-22.0, 0.0, 22.0)
    angles_2d: tuple[float, ...] = (-40.0, -20.0, 0.0, 20.0, 40.0)
    spacing: float = 1 / 12
    keep: int = 4
    channels: int = 6
    smallest_overlap: float = 0.3
    most_shifts: int = 2**18

    def __call__(self, fixed: FeatureImage, moving: FeatureImage) -> list[FloatArray]:
        """Return the best poses, fixed RAS mm to moving RAS mm, the best one first.

        Parameters
        ----------
        fixed, moving : FeatureImage
            Features on coarse grids.
        """
        if SIMILAR * float(fixed.grid.extent.max()) < float(moving.grid.extent.max()):
            # The smaller image is rotated instead of the larger one, whose bounding box would grow with the rotation.
            return [np.asarray(np.linalg.inv(matrix)) for matrix in self(moving, fixed)]
        fixed, moving = self.bounded(fixed, moving)
        f, m = components((fixed, moving), self.channels)
        spread = spread_of((f.data, m.data), (weight_of(f), weight_of(m)))
        poses: list[tuple[float, FloatArray]] = []
        correlation = Correlation(f)
        for rotation in self._rotations(fixed.grid.ndim):
            poses += self._shifts(f, m, correlation, rotation, spread)
        poses.sort(key=lambda entry: -entry[0])
        return [matrix for _, matrix in poses[: self.keep]]

    def bounded(self, fixed: FeatureImage, moving: FeatureImage) -> tuple[FeatureImage, FeatureImage]:
        """Return both images on voxels large enough that no rotation has more translations than allowed."""
        spacing = float(max(fixed.grid.spacing.min(), moving.grid.spacing.min()))
        sides = [float(image.grid.extent.max()) for image in (fixed, moving)]
        most = self.most_shifts * (4 if max(sides) <= SIMILAR * min(sides) else 1)
        bounded = fixed, moving
        while self.shifts(bounded[0].grid, bounded[1].grid) > most:
            spacing *= 1.1
            bounded = _no_finer(fixed, spacing), _no_finer(moving, spacing)
        return bounded

    def shifts(self, fixed: Grid, moving: Grid) -> int:
        """Return the largest number of translations of any rotation."""
        shapes = [
            _reached(fixed, moving, _centred(fixed, moving, rotation))[1] for rotation in self._rotations(fixed.ndim)
        ]
        return max(math.prod(n + m - 1 for n, m in zip(fixed.shape, shape, strict=True)) for shape in shapes)

    def _rotations(self, ndim: int) -> list[FloatArray]:
        if ndim == 2:
            return [_rotation(np.array((0.0, 0.0, angle)))[:2, :2] for angle in np.deg2rad(self.angles_2d)]
        return [_rotation(vector) for vector in np.deg2rad(list(product(self.angles, repeat=3)))]

    def _shifts(
        self,
        fixed: FeatureImage,
        moving: FeatureImage,
        correlation: Correlation,
        rotation: FloatArray,
        spread: float,
    ) -> list[tuple[float, FloatArray]]:
        """Return the best translations for a rotation: pairs of score and pose."""
        ndim, pose = fixed.grid.ndim, _centred(fixed.grid, moving.grid, rotation)
        first, shape = _reached(fixed.grid, moving.grid, pose)
        lattice = fixed.grid.part(first.tolist(), shape)
        to_moving = lattice.index_map(moving.grid, pose)
        rotated = sampling.warp(moving.data, None, to_moving, shape)
        weight = namespace(rotated).astype(
            sampling.inside(moving.grid.shape, None, to_moving, shape, rotated), rotated.dtype
        )
        if moving.weight is not None:
            weight = weight * sampling.warp(moving.weight, None, to_moving, shape)
        sums = correlation(FeatureImage(rotated, lattice, weight))
        voxel = float(np.prod(fixed.grid.spacing))
        amounts = [float(as_numpy(weight_of(i)).mean()) * float(np.prod(i.grid.extent)) for i in (fixed, moving)]
        covered = np.asarray(sums.weight) * voxel / max(min(amounts), 1e-12)
        score = np.where(covered >= self.smallest_overlap, quality(sums.concordance(spread), covered), -np.inf)
        peaks = np.argwhere((score == largest_of_neighbours(score, score.ndim)) & np.isfinite(score))
        best = sorted(peaks.tolist(), key=lambda p: -score[tuple(p)])[:2]
        poses = []
        for peak in best:
            # Fixed index x is mapped to lattice index x + peak - (n - 1), lattice index y is fixed index y + first.
            shift = np.eye(ndim + 1)
            shift[:-1, -1] = np.asarray(peak) - (np.asarray(fixed.grid.shape) - 1) + first
            world = pose @ fixed.grid.affine @ shift @ np.linalg.inv(fixed.grid.affine)
            poses.append((float(score[tuple(peak)]), np.asarray(world)))
        return poses


def _rotation(vector: FloatArray) -> FloatArray:
    """Return the rotation about a vector by its length [radian], (3, 3): Rodrigues' formula."""
    angle = float(np.linalg.norm(vector))
    x, y, z = vector / max(angle, 1e-12)
    cross = np.array(((0, -z, y), (z, 0, -x), (-y, x, 0)))
    return np.asarray(np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross)


def _centred(fixed: Grid, moving: Grid, rotation: FloatArray) -> FloatArray:
    """Return the pose of a rotation that maps the fixed grid's centre to the moving grid's centre."""
    pose = np.eye(fixed.ndim + 1)
    pose[:-1, :-1] = rotation
    pose[:-1, -1] = moving.centre - rotation @ fixed.centre
    return pose


def _reached(fixed: Grid, moving: Grid, pose: FloatArray) -> tuple[NDArray[np.int64], tuple[int, ...]]:
    """Return first index and shape of the part of the fixed grid's lattice that contains the rotated moving grid."""
    low, high = index_range(moving.shape, np.asarray(np.linalg.inv(fixed.index_map(moving, pose))))
    first = np.floor(low).astype(np.int64)
    return first, tuple((np.ceil(high).astype(np.int64) - first + 1).tolist())


def _no_finer(image: FeatureImage, spacing: float) -> FeatureImage:
    """Return features on voxels of at least `spacing` mm along every axis; a thinner image is made that thick."""
    grid = image.grid
    parts = np.minimum(1.0, grid.spacing / spacing)
    shape = tuple(int(n) for n in np.maximum(1, np.floor(np.asarray(grid.shape) * parts)))
    pooled = image.on(grid.resized(shape))
    wider = np.maximum(1.0, spacing / pooled.grid.spacing)
    affine = pooled.grid.affine.copy()
    affine[:-1, :-1] *= wider
    affine[:-1, -1] = pooled.grid.centre - affine[:-1, :-1] @ ((np.asarray(shape) - 1) / 2)
    return replace(pooled, grid=Grid(shape, affine)) if (wider > 1).any() else pooled


def quality(concordance: FloatArray, covered: FloatArray) -> FloatArray:
    """Return the score of a pose: its concordance times the root of the fraction of the smaller image covered."""
    return np.asarray(concordance * np.clip(covered, 0, 1) ** 0.5)


def components(images: tuple[FeatureImage, FeatureImage], most: int) -> list[FeatureImage]:
    """Return the principal components of both images' features, about their common mean."""
    xp = namespace(images[0].data)
    stacks = [xp.astype(xp.reshape(i.data[0], (i.data.shape[1], -1)), xp.float64) for i in images]
    every = xp.concat(stacks, axis=1)
    mean = xp.mean(every, axis=1, keepdims=True)
    _, vectors = xp.linalg.eigh((every - mean) @ (every - mean).T)
    basis = vectors[:, -most:].T
    components = [xp.astype(basis @ (stack - mean), images[0].data.dtype) for stack in stacks]
    return [
        replace(image, data=xp.reshape(parts, (1, -1, *image.grid.shape)), names=())
        for image, parts in zip(images, components, strict=True)
    ]
