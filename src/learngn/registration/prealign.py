"""Linear pre-alignment of two images, and a scan turned upright for features that look along its axes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import permutations, product

import numpy as np
import scipy  # its parts are imported when they are used
import torch

from learngn.errors import GeometryError
from learngn.features import Feature, FeatureImage, Mind
from learngn.features.base import working_image
from learngn.geometry import sampling
from learngn.geometry.grid import FloatArray, Grid, index_range
from learngn.geometry.image import Image
from learngn.memory import SIMILAR, linear_spacing
from learngn.optimise import AffineGaussNewton, Family, PoseSearch, centre_of_mass, translation_starts
from learngn.optimise.extents import Surroundings, check_extents, ratio
from learngn.registration.masks import masked

_TURNED = 8.0  # [degree]: from here on what looks along the axes sees something else

_MORE_VOXELS = 8  # times those of the larger scan: what a scan that is turned upright may have

Masks = tuple[Image | None, Image | None]


@dataclass(frozen=True)
class Prealigned:
    """A linear map, and how to see the moving image through it.

    Attributes
    ----------
    matrix : array, shape (D+1, D+1)
        Fixed RAS mm to moving RAS mm.
    start : str
        Which first guess led there; ``"none"`` for no pre-alignment.
    """

    matrix: FloatArray
    start: str

    def features(
        self, feature: Feature, fixed: Image, moving: Image, spacing: float, masks: Masks
    ) -> tuple[FeatureImage, FeatureImage]:
        """Features of both images, those of the moving one as they are when it stands like the fixed one.

        A feature whose channels look along the array's axes says something else of a scan that is turned: such a scan
        is resampled along the fixed image's axes first. All others are made of the scan as it is.

        Parameters
        ----------
        feature : Feature
        fixed, moving : Image
        spacing : float
            [mm]
        masks : (Image or None, Image or None)
            Where each counts.
        """
        rotation = _rotation(self.matrix)
        upright = feature.traits.directional and not feature.traits.tied
        if not upright or _tilt(fixed.grid, moving.grid, rotation) < _TURNED:
            ours, theirs = feature(fixed, moving, spacing)
        else:
            ours, theirs = feature(fixed, _upright(moving, fixed.grid, rotation), spacing)
            back = np.eye(fixed.grid.ndim + 1)
            back[:-1, :-1] = rotation
            theirs = replace(theirs, grid=Grid(theirs.grid.shape, back @ theirs.grid.affine))
        return masked(ours, masks[0]), masked(theirs, masks[1])


def prealign(fixed: Image, moving: Image, feature: Feature, family: Family, masks: Masks = (None, None)) -> Prealigned:
    """Find the linear map that aligns two images.

    Parameters
    ----------
    fixed, moving : Image
    feature : Feature
        What is compared.
    family : Family
        Which maps.
    masks : (Image or None, Image or None)
        Where each counts.

    Raises
    ------
    GeometryError
        If nothing brings them together, or their extents differ beyond comparison.
    """
    check_extents(fixed.grid, moving.grid)
    if ratio(fixed.grid, moving.grid) > SIMILAR:
        # The small scan is sought in the large one, whichever is fixed: compared are the small one's voxels.
        turned = prealign(moving, fixed, feature, family, masks[::-1])
        return Prealigned(np.asarray(np.linalg.inv(turned.matrix)), turned.start)
    stage = AffineGaussNewton(family, search=PoseSearch())
    before = Prealigned(np.eye(fixed.grid.ndim + 1), "none")
    divisible = _divisible(feature)
    surroundings = Surroundings(fixed, moving, divisible)
    if divisible and ratio(moving.grid, fixed.grid) > SIMILAR:
        # Features that are scaled by the range of a whole scan say something else of a piece of it; patterns do not.
        feature = Mind()
    seen, spacing = surroundings.searched()
    masses = _mass(fixed), _mass(seen)
    pair = before.features(feature, fixed, seen, spacing, masks)
    result = stage(*pair, translation_starts(fixed.grid, seen.grid, masses))
    found = Prealigned(result.matrix, result.start)
    if result.energy < float("inf"):
        again = found.features(feature, fixed, *surroundings.refined(result.matrix), masks)
        if not again[1].grid.same_space(pair[1].grid):
            result = replace(stage, search=None)(*again, {result.start: result.matrix})
    if result.energy == float("inf"):
        raise GeometryError(
            "fixed and moving image",
            "no start of the affine stage that brings them together",
            "images of the same part of the body",
            "align them roughly first, or leave the affine stage out",
        )
    return Prealigned(result.matrix, result.start)


def affine_spacing(fixed: Grid, moving: Grid | None = None) -> float:
    """Spacing at which features are computed for the pre-alignment [mm]; by default with a scan of similar extent."""
    return linear_spacing(fixed, moving or fixed)


def _divisible(feature: Feature) -> bool:
    """Whether a feature of a part of a scan is the part of its feature: not if it reads files, or sees organs whole."""
    return not (feature.traits.reads_labels or feature.traits.tied)


def _rotation(matrix: FloatArray) -> FloatArray:
    """The rotation within a linear map, (D, D)."""
    return np.asarray(scipy.linalg.polar(matrix[:-1, :-1])[0])


def _tilt(fixed: Grid, moving: Grid, rotation: FloatArray) -> float:
    """Angle between the axes of two arrays, in whatever order and direction they run [degree]."""
    between = fixed.direction.T @ rotation.T @ moving.direction
    ndim, angles = fixed.ndim, []
    for order, signs in product(permutations(range(ndim)), product((-1, 1), repeat=ndim)):
        axes = np.eye(ndim)[:, list(order)] * signs
        turn = np.eye(3)
        turn[:ndim, :ndim] = scipy.linalg.polar(between @ axes.T)[0]
        if np.linalg.det(turn) > 0:
            angles.append(scipy.spatial.transform.Rotation.from_matrix(turn).magnitude())
    return float(np.rad2deg(min(angles, default=0.0)))


def _upright(moving: Image, fixed: Grid, rotation: FloatArray) -> Image:
    """A scan in a world that is turned back by a rotation, on voxels like the fixed image's."""
    back = np.eye(fixed.ndim + 1)
    back[:-1, :-1] = rotation.T
    grid = _upright_grid(fixed, Grid(moving.grid.shape, back @ moving.grid.affine))
    if not (grid.spacing <= fixed.spacing * 1.5).all():
        moving = working_image(moving, float(grid.spacing.min()))
    turned = Grid(moving.grid.shape, back @ moving.grid.affine)
    return Image(sampling.warp(moving.data.to(torch.float32), None, grid.index_map(turned), grid.shape), grid)


def _upright_grid(fixed: Grid, turned: Grid) -> Grid:
    """Voxels like the fixed grid's that cover another grid; larger ones where they would be many more than either's."""
    low, high = index_range(turned.shape, turned.index_map(fixed))
    first = np.floor(low + 0.5)
    shape = tuple(int(n) for n in np.maximum(1, np.ceil(high - 0.5) - first + 1))
    most, size = _MORE_VOXELS * max(fixed.size, turned.size), math.prod(shape)
    if size <= most:
        return fixed.part(first.tolist(), shape)
    # As many as allowed, of about the same size along every axis.
    extent = np.asarray(shape) * fixed.spacing
    spacing = float(np.maximum(fixed.spacing, turned.spacing.min()).min())
    while math.prod(counts := [max(1, math.ceil(side / spacing)) for side in extent]) > most:
        spacing *= 2 ** (1 / 3)
    first_corner = fixed.index_to_world(first - 0.5)
    affine = np.eye(fixed.ndim + 1)
    affine[:-1, :-1] = fixed.direction * (extent / counts)
    affine[:-1, -1] = first_corner + affine[:-1, :-1] @ np.full(fixed.ndim, 0.5)
    return Grid(tuple(counts), affine)


def _mass(image: Image) -> FloatArray:
    """Centre of mass: of the labels, or of the intensities above the darkest."""
    if image.labels:
        return centre_of_mass((image.data != 0).to(torch.float32), image.grid)
    return centre_of_mass(image.data - image.data.min(), image.grid)
