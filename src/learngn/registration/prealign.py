"""Linear pre-alignment of two images, and a scan turned upright for features that look along its axes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations, product

import numpy as np
import scipy  # its parts are imported when they are used
import torch

from learngn.errors import GeometryError
from learngn.features import CommonScale, Feature, FeatureImage, Mind, cut_alike
from learngn.geometry import sampling
from learngn.geometry.grid import FloatArray, Grid
from learngn.geometry.image import Image
from learngn.memory import SIMILAR, linear_spacing
from learngn.optimise import AffineGaussNewton, Family, PoseSearch, centre_of_mass, translation_starts
from learngn.optimise.extents import Surroundings, check_extents, ratio
from learngn.registration.masks import masked

_TURNED = 8.0  # [degree]: from here on what looks along the axes sees something else

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

        A feature whose channels look along the array's axes says something else of a scan that is turned, and any
        feature of scans something else of slices that are thick in another direction: such a scan is resampled along
        the fixed image's axes first. All others are made of the scan as it is.

        Parameters
        ----------
        feature : Feature
        fixed, moving : Image
        spacing : float
            [mm]
        masks : (Image or None, Image or None)
            Where each counts.
        """
        pose = _pose(self.matrix)
        scale = CommonScale.of(fixed.grid, _moved(moving.grid, _inverse(pose)))
        traits, thick = feature.traits, scale.thick
        if thick:  # where slices lie between those of the partner matters as well
            pose[:-1, -1] = (self.matrix - pose)[:-1, :-1] @ fixed.grid.centre + self.matrix[:-1, -1]
        turned = replace(moving, grid=_moved(moving.grid, _inverse(pose)))
        turns = traits.directional and _tilt(fixed.grid, turned.grid) >= _TURNED
        if traits.tied or traits.reads_labels or not (turns or thick):
            ours, theirs = feature(fixed, moving, spacing)
        else:
            ours, theirs = feature(*cut_alike(fixed, turned), spacing)
            # Slabs leave much of a lattice along other axes empty; nothing is known there.
            theirs = _seen(theirs, turned.grid) if thick else theirs
            theirs = replace(theirs, grid=_moved(theirs.grid, pose))
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


def _pose(matrix: FloatArray) -> FloatArray:
    """The rotation within a linear map about the world's origin, (D+1, D+1)."""
    pose = np.eye(len(matrix))
    pose[:-1, :-1] = scipy.linalg.polar(matrix[:-1, :-1])[0]
    return pose


def _tilt(fixed: Grid, moving: Grid) -> float:
    """Angle between the axes of two arrays, in whatever order and direction they run [degree]."""
    between = fixed.direction.T @ moving.direction
    ndim, angles = fixed.ndim, []
    for order, signs in product(permutations(range(ndim)), product((-1, 1), repeat=ndim)):
        axes = np.eye(ndim)[:, list(order)] * signs
        turn = np.eye(3)
        turn[:ndim, :ndim] = scipy.linalg.polar(between @ axes.T)[0]
        if np.linalg.det(turn) > 0:
            angles.append(scipy.spatial.transform.Rotation.from_matrix(turn).magnitude())
    return float(np.rad2deg(min(angles, default=0.0)))


def _inverse(pose: FloatArray) -> FloatArray:
    """The inverse of a rotation and a shift."""
    inverse = np.eye(len(pose))
    inverse[:-1, :-1] = pose[:-1, :-1].T
    inverse[:-1, -1] = -pose[:-1, :-1].T @ pose[:-1, -1]
    return inverse


def _moved(grid: Grid, matrix: FloatArray) -> Grid:
    """The same grid in a world that is moved by a matrix."""
    return Grid(grid.shape, matrix @ grid.affine)


def _seen(features: FeatureImage, image: Grid) -> FeatureImage:
    """Features that count where an image has voxels."""
    shape = features.grid.shape
    within = sampling.inside(image.shape, None, features.grid.index_map(image), shape, features.data)
    weight = within.to(features.data.dtype)
    return replace(features, weight=weight if features.weight is None else weight * features.weight)


def _mass(image: Image) -> FloatArray:
    """Centre of mass: of the labels, or of the intensities above the darkest."""
    if image.labels:
        return centre_of_mass((image.data != 0).to(torch.float32), image.grid)
    return centre_of_mass(image.data - image.data.min(), image.grid)
