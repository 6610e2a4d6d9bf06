"""Search for a pose: every shift of a few rotations, by correlation on a very coarse grid."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import scipy  # its parts are imported when they are used
import torch

from learngn import sampling
from learngn.features import FeatureImage
from learngn.grid import FloatArray, Grid
from learngn.optimise.agreement import Overlap, spread_of


@dataclass(frozen=True)
class PoseSearch:
    """The rotations and shifts at which two images agree best.

    Parameters
    ----------
    angles : sequence of float
        Of a rotation about each axis [degree]; all combinations are tried in 3D.
    spacing : float
        Of the grid, as a fraction of the fixed image's longest side.
    keep : int
        How many poses are returned.
    channels : int
        Features are compared by so many principal components.
    smallest_overlap : float
        Share of the smaller image that has to be covered.

    Notes
    -----
    For a rotation the sums that make the concordance of all shifts, each over its own overlap, are correlations: a few
    Fourier transforms give them for all shifts at once, masks and fields of view included.

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

    def __call__(self, fixed: FeatureImage, moving: FeatureImage) -> list[FloatArray]:
        """Best poses, fixed RAS mm to moving RAS mm, the best first.

        Parameters
        ----------
        fixed, moving : FeatureImage
            On coarse grids.
        """
        ours, theirs = _components((fixed, moving), self.channels)
        spread = spread_of((ours.data, theirs.data), (_weight(ours), _weight(theirs)))
        found: list[tuple[float, FloatArray]] = []
        for rotation in self._rotations(fixed.grid.ndim):
            found += self._shifts(ours, theirs, rotation, spread)
        found.sort(key=lambda entry: -entry[0])
        return [matrix for _, matrix in found[: self.keep]]

    def _rotations(self, ndim: int) -> list[FloatArray]:
        if ndim == 2:
            turns = scipy.spatial.transform.Rotation.from_rotvec(
                np.deg2rad(np.outer(self.angles_2d, (0, 0, 1)))
            ).as_matrix()[:, :2, :2]
        else:
            turns = scipy.spatial.transform.Rotation.from_rotvec(
                np.deg2rad(list(product(self.angles, repeat=3)))
            ).as_matrix()
        return list(turns)

    def _shifts(
        self, fixed: FeatureImage, moving: FeatureImage, rotation: FloatArray, spread: float
    ) -> list[tuple[float, FloatArray]]:
        """The best shifts for a rotation, and how good they are."""
        ndim, pose = fixed.grid.ndim, np.eye(fixed.grid.ndim + 1)
        pose[:-1, :-1] = rotation
        pose[:-1, -1] = moving.grid.centre - rotation @ fixed.grid.centre
        # A lattice like the fixed image's about its centre, wide enough for the turned moving image.
        corners = np.array(list(product((0, 1), repeat=ndim))) * np.asarray(moving.grid.shape) - 0.5
        to_fixed = np.linalg.inv(fixed.grid.index_map(moving.grid, pose))
        reached = corners @ to_fixed[:-1, :-1].T + to_fixed[:-1, -1]
        first = np.floor(reached.min(0)).astype(int)
        shape = tuple((np.ceil(reached.max(0)).astype(int) - first + 1).tolist())
        offset = np.eye(ndim + 1)
        offset[:-1, -1] = first
        lattice = Grid(shape, fixed.grid.affine @ offset)
        to_moving = lattice.index_map(moving.grid, pose)
        turned = sampling.warp(moving.data, None, to_moving, shape)
        weight = sampling.inside(moving.grid.shape, None, to_moving, shape, turned).to(turned.dtype)
        if moving.weight is not None:
            weight = weight * sampling.warp(moving.weight, None, to_moving, shape)
        sums = _correlated(fixed, FeatureImage(turned, lattice, weight))
        voxel = float(np.prod(fixed.grid.spacing))
        amounts = [float(_weight(i).mean()) * float(np.prod(i.grid.extent)) for i in (fixed, moving)]
        covered = np.asarray(sums.weight) * voxel / max(min(amounts), 1e-12)
        score = np.where(covered >= self.smallest_overlap, quality(sums.concordance(spread), covered), -np.inf)
        peaks = np.argwhere(
            (score == scipy.ndimage.maximum_filter(score, 3, mode="constant", cval=-np.inf)) & np.isfinite(score)
        )
        best = sorted(peaks.tolist(), key=lambda p: -score[tuple(p)])[:2]
        poses = []
        for peak in best:
            # fixed index x lies over lattice index x + peak - (n - 1), lattice index y over fixed index y + first.
            shift = np.eye(ndim + 1)
            shift[:-1, -1] = np.asarray(peak) - (np.asarray(fixed.grid.shape) - 1) + first
            world = pose @ fixed.grid.affine @ shift @ np.linalg.inv(fixed.grid.affine)
            poses.append((float(score[tuple(peak)]), np.asarray(world)))
        return poses


def quality(concordance: FloatArray, covered: FloatArray) -> FloatArray:
    """What a pose is judged by: agreement, the more of the smaller image it rests on the better."""
    return np.asarray(concordance * np.clip(covered, 0, 1) ** 0.5)


def _correlated(fixed: FeatureImage, moving: FeatureImage) -> Overlap:
    """Sums over the overlap for every shift: arrays of shape S + T - 1, entry k for the shift k - (S - 1)."""
    f, m = (image.data[0].cpu().numpy() for image in (fixed, moving))
    wf, wm = (_weight(image)[0, 0].cpu().numpy() for image in (fixed, moving))
    shape = [a + b - 1 for a, b in zip(wf.shape, wm.shape, strict=True)]
    size, axes = [scipy.fft.next_fast_len(n, real=True) for n in shape], tuple(range(-wf.ndim, 0))

    def transformed(stack: FloatArray, flipped: bool) -> FloatArray:
        if flipped:
            stack = np.flip(stack, axes)
        return np.asarray(scipy.fft.rfftn(stack, size, axes=axes))

    ours = transformed(np.concatenate([wf[None], wf * f, wf * (f**2).sum(0, keepdims=True)]), True)
    theirs = transformed(np.concatenate([wm[None], wm * m, wm * (m**2).sum(0, keepdims=True)]), False)
    count = len(f)
    spectra = np.concatenate(
        [
            ours[:1] * theirs[:1],
            ours[1 : count + 1] * theirs[:1],
            ours[:1] * theirs[1 : count + 1],
            ours[-1:] * theirs[:1] + ours[:1] * theirs[-1:],
            (ours[1 : count + 1] * theirs[1 : count + 1]).sum(0, keepdims=True),
        ]
    )
    sums = scipy.fft.irfftn(spectra, size, axes=axes)[(slice(None), *[slice(n) for n in shape])].astype(np.float64)
    return Overlap(sums[0], sums[1 : count + 1], sums[count + 1 : 2 * count + 1], sums[-2], sums[-1])


def _components(images: tuple[FeatureImage, FeatureImage], most: int) -> list[FeatureImage]:
    """Both images' features about their common mean, by principal components."""
    stacks = [image.data[0].flatten(1).double() for image in images]
    every = torch.cat(stacks, dim=1)
    mean = every.mean(1, keepdim=True)
    _, vectors = torch.linalg.eigh((every - mean) @ (every - mean).T)
    basis = vectors[:, -most:].T
    return [
        FeatureImage(
            (basis @ (stack - mean)).to(image.data.dtype).reshape(1, -1, *image.grid.shape), image.grid, image.weight
        )
        for image, stack in zip(images, stacks, strict=True)
    ]


def _weight(image: FeatureImage) -> torch.Tensor:
    return torch.ones_like(image.data[:, :1]) if image.weight is None else image.weight
