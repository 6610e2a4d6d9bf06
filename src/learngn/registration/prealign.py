"""Linear pre-alignment of two images, and resampling of rotated scans for features that depend on their axes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations, product

import numpy as np

from learngn.arrays import namespace, single
from learngn.errors import GeometryError
from learngn.features import CommonScale, Feature, FeatureImage, Mind, cut_alike
from learngn.geometry import sampling
from learngn.geometry.grid import FloatArray, Grid
from learngn.geometry.image import Image
from learngn.memory import SIMILAR
from learngn.optimise import AffineGaussNewton, Family, PoseSearch, centre_of_mass, translation_starts
from learngn.optimise.extents import Surroundings, check_extents, ratio
from learngn.registration.masks import masked

_TURN = 30  # [degree] step of the angles at which pictures are tried; the pose search covers what lies between
_BETWEEN = PoseSearch(angles_2d=(-10.0, 0.0, 10.0))
_SIDE = 192  # voxels of the longest side of a picture that is turned
PLACED = "initial"  # name of the start that is a given initial transform
_ROTATED = 8.0  # [degree] rotation above which features that depend on the axes are not comparable


class NoAlignmentError(GeometryError):
    """No linear map aligns two images."""


Masks = tuple[Image | None, Image | None]


@dataclass(frozen=True)
class Prealigned:
    """A linear map, and features of the moving image under this map.

    Attributes
    ----------
    matrix : array, shape (D+1, D+1)
        Linear map, fixed RAS mm to moving RAS mm.
    start : str
        Name of the initial transform that led to it; ``"none"`` for no pre-alignment.
    score : float
        Agreement of the images under the map, see :class:`learngn.optimise.affine.AffineResult`.
    """

    matrix: FloatArray
    start: str
    score: float = -np.inf

    def features(
        self, feature: Feature, fixed: Image, moving: Image, spacing: float, masks: Masks
    ) -> tuple[FeatureImage, FeatureImage]:
        """Compute the features of both images, those of the moving image in the orientation of the fixed image.

        Features that depend on the directions of the array's axes differ for a rotated scan, and all features of scans
        differ for slices that are thick in another direction: such scans are first resampled along the fixed image's
        axes. Otherwise the features are computed from the scan itself.

        Parameters
        ----------
        feature : Feature
        fixed, moving : Image
        spacing : float
            Voxel size [mm].
        masks : (Image or None, Image or None)
            Masks of the fixed and the moving image.
        """
        pose = _pose(self.matrix)
        scale = CommonScale.of(fixed.grid, moving.grid.moved(_inverse(pose)))
        traits, thick = feature.traits, scale.thick
        if thick:  # the positions of slices between those of the other image matter, too
            pose[:-1, -1] = (self.matrix - pose)[:-1, :-1] @ fixed.grid.centre + self.matrix[:-1, -1]
        rotated = replace(moving, grid=moving.grid.moved(_inverse(pose)))
        is_rotated = traits.directional and _tilt(fixed.grid, rotated.grid) >= _ROTATED
        if traits.tied or traits.reads_labels or not (is_rotated or thick):
            # By quarter turns the axes exchange their directions, by which channels are ordered; no value changes.
            turned = traits.directional and rotated.grid.axis_codes != moving.grid.axis_codes
            fixed_features, moving_features = feature(fixed, rotated if turned else moving, spacing)
            if turned:
                moving_features = replace(moving_features, grid=moving_features.grid.moved(pose))
        else:
            fixed_features, moving_features = feature(*cut_alike(fixed, rotated), spacing)
            # A slab leaves much of a lattice along other axes empty: features there get the weight zero.
            moving_features = _covered(moving_features, rotated.grid) if thick else moving_features
            moving_features = replace(moving_features, grid=moving_features.grid.moved(pose))
        return masked(fixed_features, masks[0]), masked(moving_features, masks[1])


def prealign_turned(
    fixed: Image, moving: Image, feature: Feature, family: Family, masks: Masks = (None, None)
) -> Prealigned:
    """Find the linear map that aligns two pictures, of which one may be turned by any angle in the plane.

    The moving picture is aligned as it is and turned in steps of 30 degrees, on a coarse grid; the result with the best
    agreement is kept. Takes and raises what :func:`prealign` does.
    """
    fixed, moving = (_small(image) for image in (fixed, moving))
    found: list[Prealigned] = []
    failure: NoAlignmentError | None = None
    for angle in range(0, 360, _TURN):
        turn = _turn(angle, moving.grid)
        turned, mask = (
            None if image is None else replace(image, grid=image.grid.moved(_inverse(turn)))
            for image in (moving, masks[1])
        )
        try:
            result = prealign(fixed, turned or moving, feature, family, (masks[0], mask), _BETWEEN)
        except NoAlignmentError as error:
            failure = error
            continue
        start = result.start if angle == 0 else f"{result.start}, turned by {angle} degrees"
        found.append(Prealigned(turn @ result.matrix, start, result.score))
    if not found and failure is not None:
        raise failure
    return max(found, key=lambda result: result.score)


def _small(image: Image) -> Image:
    """Return a picture on a grid that is still fine beside that of the linear stage."""
    grid = image.grid.coarsened(float(image.grid.extent.max()) / _SIDE)
    return replace(image, data=sampling.pool(single(image.data), grid.shape), grid=grid, stored=None)


def _turn(angle: float, grid: Grid) -> FloatArray:
    """Return the rotation of the plane by an angle [degree] about a grid's centre, (3, 3)."""
    turn, cosine, sine = np.eye(3), np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    turn[:2, :2] = [[cosine, -sine], [sine, cosine]]
    turn[:2, 2] = grid.centre - turn[:2, :2] @ grid.centre
    return turn


def prealign(
    fixed: Image,
    moving: Image,
    feature: Feature,
    family: Family,
    masks: Masks = (None, None),
    search: PoseSearch | None = None,
    *,
    placed: bool = False,
) -> Prealigned:
    """Find the linear map that aligns two images.

    Parameters
    ----------
    fixed, moving : Image
    feature : Feature
        Feature to compare.
    family : Family
        Family of linear maps.
    masks : (Image or None, Image or None)
        Masks of the fixed and the moving image.
    search : PoseSearch, optional
        Search for the first pose, by default over the angles by which scans differ.
    placed : bool
        The moving image has been placed by an initial transform: refine its position, and search for no other.

    Raises
    ------
    NoAlignmentError
        If no alignment is found.
    GeometryError
        If the extents of the images differ too much.
    """
    check_extents(fixed.grid, moving.grid)
    if ratio(fixed.grid, moving.grid) > SIMILAR:
        # The small scan is located in the large one, whichever is fixed, and compared at the small one's voxels.
        reverse = prealign(moving, fixed, feature, family, masks[::-1], search, placed=placed)
        return Prealigned(np.asarray(np.linalg.inv(reverse.matrix)), reverse.start, reverse.score)
    stage = AffineGaussNewton(family, search=None if placed else search or PoseSearch())
    unaligned = Prealigned(np.eye(fixed.grid.ndim + 1), "none")
    divisible = _divisible(feature)
    surroundings = Surroundings(fixed, moving, divisible)
    if divisible and ratio(moving.grid, fixed.grid) > SIMILAR:
        # Features scaled by the intensity range of the scan differ for a part of it; those of patterns do not.
        feature = Mind()
    searched, spacing = surroundings.searched()
    if placed:
        starts = {PLACED: np.eye(fixed.grid.ndim + 1)}
    else:
        starts = translation_starts(fixed.grid, searched.grid, (_mass(fixed), _mass(searched)))
    searched_pair = unaligned.features(feature, fixed, searched, spacing, masks)
    result = stage(*searched_pair, starts)
    coarse = Prealigned(result.matrix, result.start)
    if result.energy < float("inf"):
        refined_pair = coarse.features(feature, fixed, *surroundings.refined(result.matrix), masks)
        if not refined_pair[1].grid.same_space(searched_pair[1].grid):
            result = replace(stage, search=None)(*refined_pair, {result.start: result.matrix})
    if result.energy == float("inf"):
        raise NoAlignmentError(
            "fixed and moving image",
            "no alignment found by the affine stage",
            "images of the same part of the body",
            "align them roughly first, or leave out the affine stage",
        )
    return Prealigned(result.matrix, result.start, result.score)


def _divisible(feature: Feature) -> bool:
    """Whether a feature can be computed from a part of a scan: not if it reads files or needs whole organs."""
    return not (feature.traits.reads_labels or feature.traits.tied)


def _pose(matrix: FloatArray) -> FloatArray:
    """Return the rotation of a linear map about the world's origin, (D+1, D+1)."""
    pose = np.eye(len(matrix))
    pose[:-1, :-1] = _nearest_rotation(matrix[:-1, :-1])
    return pose


def _nearest_rotation(matrix: FloatArray) -> FloatArray:
    """Return the orthogonal factor of a matrix's polar decomposition."""
    left, _, right = np.linalg.svd(matrix)
    return np.asarray(left @ right)


def _tilt(fixed: Grid, moving: Grid) -> float:
    """Return the rotation between the axes of two arrays, up to their order and direction [degree]."""
    between = fixed.direction.T @ moving.direction
    ndim, angles = fixed.ndim, []
    for order, signs in product(permutations(range(ndim)), product((-1, 1), repeat=ndim)):
        axes = np.eye(ndim)[:, list(order)] * signs
        turn = np.eye(3)
        turn[:ndim, :ndim] = _nearest_rotation(between @ axes.T)
        if np.linalg.det(turn) > 0:
            angles.append(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))
    return float(np.rad2deg(min(angles, default=0.0)))


def _inverse(pose: FloatArray) -> FloatArray:
    """Return the inverse of a rotation and translation."""
    inverse = np.eye(len(pose))
    inverse[:-1, :-1] = pose[:-1, :-1].T
    inverse[:-1, -1] = -pose[:-1, :-1].T @ pose[:-1, -1]
    return inverse


def _covered(features: FeatureImage, image: Grid) -> FeatureImage:
    """Return features with the weight zero outside an image."""
    shape = features.grid.shape
    inside = sampling.inside(image.shape, None, features.grid.index_map(image), shape, features.data)
    weight = namespace(inside).astype(inside, features.data.dtype)
    return replace(features, weight=weight if features.weight is None else weight * features.weight)


def _mass(image: Image) -> FloatArray:
    """Return the centre of mass of the labels, or of the intensities minus the lowest."""
    xp = namespace(image.data)
    if image.labels:
        return centre_of_mass(image.data, image.grid, lambda plane: plane != 0)
    lowest = xp.min(image.data)
    return centre_of_mass(image.data, image.grid, lambda plane: plane - lowest)
