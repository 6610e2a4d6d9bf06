"""Both scans of a pair on coarse grids, for measures that cost little."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from learngn.arrays import as_numpy, single
from learngn.features import common_grids
from learngn.features.mind import mind_ssc
from learngn.geometry import sampling
from learngn.geometry.grid import FloatArray, Grid
from learngn.geometry.image import Image
from learngn.geometry.transform import Affine, Transform
from learngn.quality import similarity
from learngn.quality.body import CT_AIR, Mask, body_mask

_VOXELS = {2: 2_500, 3: 32_000}  # most voxels of the fixed grid: about as many per axis in 2D and 3D
_MOVING = 8  # as many times for a moving scan that is much larger
_FACTOR = 4  # least number of a scan's voxels along an axis of a coarse one, above which not all are averaged


@dataclass(frozen=True, eq=False)
class CoarseScan:
    """A scan on a coarse grid.

    Attributes
    ----------
    image : Image
        Averages of the scan, an array of NumPy; labels are those of single voxels.
    is_ct : bool
        The scan has Hounsfield units.
    body : array of bool, shape S
    """

    image: Image
    is_ct: bool
    body: Mask

    @classmethod
    def of(cls, image: Image, grid: Grid, mask: Image | None = None) -> CoarseScan:
        """Average a scan on a coarse grid; its body is that inside the mask."""
        is_ct = not image.labels and float(image.data.min()) <= CT_AIR
        if image.labels:
            coarse = Image(_picked(image, grid), grid, labels=True)
        else:
            thinned = _thinned(image, grid)
            coarse = Image(as_numpy(sampling.pool(single(thinned.data), grid.shape)), grid)
        body = body_mask(as_numpy(coarse.data)[0, 0], is_ct=is_ct, labels=image.labels)
        if mask is not None:
            within = Affine.identity(grid.ndim).warp(_numpy(mask), grid, background=0.0)
            body = body & (np.asarray(within.data[0, 0]) > 0.5)
        return cls(coarse, is_ct, np.asarray(body))

    @property
    def values(self) -> FloatArray:
        """The scan's values, of shape S."""
        return np.asarray(self.image.data[0, 0])

    @property
    def body_size(self) -> float:
        """Root mean square distance of the body's voxels from their centre [mm]."""
        points = self.image.grid.index_to_world(np.argwhere(self.body))
        return float(np.sqrt(((points - points.mean(0)) ** 2).sum(1).mean())) if len(points) else 0.0

    @property
    def body_centre(self) -> FloatArray:
        """Centre of the body [RAS mm]; that of the grid if there is none."""
        points = self.image.grid.index_to_world(np.argwhere(self.body))
        return np.asarray(points.mean(0)) if len(points) else self.image.grid.centre


@dataclass(frozen=True, eq=False)
class Compared:
    """The moving scan on the coarse fixed grid, and where it counts.

    Attributes
    ----------
    values : array, shape S
    body : array of bool, shape S
        The moving body.
    covered : array of bool, shape S
        Voxels inside the moving scan.
    """

    values: FloatArray
    body: Mask
    covered: Mask


@dataclass(frozen=True, eq=False)
class CoarsePair:
    """Both scans on coarse grids of one resolution.

    Attributes
    ----------
    fixed, moving : CoarseScan
    comparable : bool
        The intensities of both scans can be compared: not those of, say, ultrasound and MR.
    """

    fixed: CoarseScan
    moving: CoarseScan
    comparable: bool = True

    @classmethod
    def of(
        cls,
        fixed: Image,
        moving: Image,
        masks: tuple[Image | None, Image | None] = (None, None),
        *,
        comparable: bool = True,
    ) -> CoarsePair:
        """Average both scans; with masks the bodies are those inside."""
        grids = coarse_grids(fixed.grid, moving.grid, _VOXELS[fixed.grid.ndim])
        first, second = (CoarseScan.of(*side) for side in zip((fixed, moving), grids, masks, strict=True))
        return cls(first, second, comparable)

    @property
    def grid(self) -> Grid:
        """The coarse fixed grid."""
        return self.fixed.image.grid

    @property
    def kind(self) -> str:
        """Kind of pair.

        ``"labels"``, ``"ct"``, ``"across"`` for CT and another scan, ``"other"``: MR, ultrasound and others; or
        ``"modalities"`` for two scans that are not :attr:`comparable`.
        """
        if not self.comparable:
            return "modalities"
        if self.fixed.image.labels:
            return "labels"
        if self.fixed.is_ct and self.moving.is_ct:
            return "ct"
        return "across" if self.fixed.is_ct or self.moving.is_ct else "other"

    def compared(self, transform: Transform) -> Compared:
        """Warp the moving scan and its body."""
        on_grid, moving = transform.on(self.grid), self.moving.image
        ones = Image(np.ones_like(moving.data, dtype=np.float32), moving.grid)
        masks = Image(np.asarray(self.moving.body[None, None], dtype=np.float32), moving.grid)
        covered = as_numpy(on_grid.warp(ones, background=0.0).data)[0, 0] > 0.5
        body = as_numpy(on_grid.warp(masks, background=0.0).data)[0, 0] > 0.5
        warped = on_grid.warp(moving) if moving.labels else on_grid.warp(moving, background="border")
        return Compared(as_numpy(warped.data)[0, 0], np.asarray(body & covered), np.asarray(covered))

    def fit(self, there: Compared) -> dict[str, float]:
        """Return the fit of both scans by measure: ``patterns``, ``local``, ``information``, ``bodies``, ...

        The scans are compared in the union of their bodies where the moving scan covers the fixed one; label maps by
        the mean Dice of their labels alone, and scans that are not :attr:`comparable` by neither.
        """
        fixed, f = self.fixed, self.fixed.values
        inside = (fixed.body | there.body) & there.covered
        measures = {
            "bodies": similarity.dice(fixed.body & there.covered, there.body),
            "covered": int(np.count_nonzero(fixed.body & there.covered)) / max(1, int(np.count_nonzero(fixed.body))),
            "overlap": self._overlap(there),
        }
        if not self.comparable:
            return measures
        if fixed.image.labels:
            labels = sorted(set(fixed.image.label_values) & set(self.moving.image.label_values))
            return measures | {"labels": similarity.mean_dice(f, there.values, there.covered, labels)}
        return measures | {
            "local": similarity.local_correlation(f, there.values, inside),
            "information": similarity.mutual_information(f, there.values, inside),
            "correlation": similarity.correlation(f, there.values, inside),
            "patterns": similarity.pattern_agreement(self.patterns, self.patterns_of(there.values), inside),
        }

    def _overlap(self, there: Compared) -> float:
        """Return the volume of the overlap of both bodies, as a fraction of the smaller one's."""
        volumes = [
            int(np.count_nonzero(scan.body)) * float(np.prod(scan.image.grid.spacing))
            for scan in (self.fixed, self.moving)
        ]
        both = int(np.count_nonzero(self.fixed.body & there.body)) * float(np.prod(self.grid.spacing))
        return both / max(min(volumes), 1e-9)

    @cached_property
    def patterns(self) -> FloatArray:
        """Self-similarities of the fixed scan, (C, *S)."""
        return self.patterns_of(self.fixed.values)

    def patterns_of(self, values: FloatArray) -> FloatArray:
        """Return the self-similarities of a scan on the coarse fixed grid, (C, *S)."""
        data = np.ascontiguousarray(values[None, None], dtype=np.float32)
        return np.asarray(mind_ssc(data, 1, 1, self.grid)[0])


def coarse_grids(fixed: Grid, moving: Grid, most: int) -> tuple[Grid, Grid]:
    """Return grids of one spacing with the extents of two others.

    Parameters
    ----------
    fixed, moving : Grid
    most : int
        Most voxels of the fixed grid; the moving one has up to eight times as many.
    """
    spacing = float(fixed.spacing.min())
    grids = common_grids(fixed, moving, spacing)
    while grids[0].size > most or grids[1].size > _MOVING * most:
        spacing *= 1.1
        grids = common_grids(fixed, moving, spacing)
    return grids


def _strided(grid: Grid, coarse: Grid, factor: int) -> tuple[tuple[slice, ...], Grid]:
    """Return every n-th voxel of a grid along each axis, with n for `factor` voxels or more in each coarse one."""
    steps = [max(1, n // (m * factor)) for n, m in zip(grid.shape, coarse.shape, strict=True)]
    first = [(step - 1) // 2 for step in steps]
    shape = tuple(-(-(n - a) // step) for n, a, step in zip(grid.shape, first, steps, strict=True))
    affine = grid.affine.copy()
    affine[:-1, :-1] *= steps
    affine[:-1, -1] = grid.index_to_world(first)
    return tuple(slice(a, None, step) for a, step in zip(first, steps, strict=True)), Grid(shape, affine)


def _thinned(image: Image, grid: Grid) -> Image:
    """Return every n-th voxel of a large scan, enough for the averages on a coarse grid."""
    part, thin = _strided(image.grid, grid, _FACTOR)
    return Image(image.data[(slice(None), slice(None), *part)], thin)


def _picked(image: Image, grid: Grid) -> FloatArray:
    """Return the labels at the centres of coarse voxels."""
    matrix = grid.index_map(image.grid)
    return np.asarray(as_numpy(sampling.warp_nearest(image.data, None, matrix, grid.shape)))


def _numpy(image: Image) -> Image:
    return replace(image, data=as_numpy(single(image.data)), labels=False)
