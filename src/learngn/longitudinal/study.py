"""Comparison of time points of one subject: what changed between them, without favouring any of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import scipy
from numpy.typing import NDArray

from learngn.clock import Clock
from learngn.errors import FeatureError, GeometryError, ImageError, SettingsError
from learngn.evaluation import Jacobian, VolumeChange, jacobian_of, volume_changes
from learngn.features import Feature, parse_features
from learngn.geometry import sampling
from learngn.geometry.grid import FloatArray, Grid
from learngn.geometry.grid_map import GridMap
from learngn.geometry.image import Image, check_scan
from learngn.geometry.mean_position import from_mean
from learngn.geometry.transform import Affine, Composite, DisplacementField
from learngn.interop import ImageLike, as_image
from learngn.io import labels_on
from learngn.longitudinal.brightness import Brightness, matched
from learngn.longitudinal.deformation import Deformed, deformed, mean_of
from learngn.longitudinal.mean_space import mean_grid, rigid_between
from learngn.registration.masks import read_mask
from learngn.settings import Settings
from learngn.uncertainty import factor_of, uncertainty_of

# Chosen by benchmarks/atrophy.py: a larger λ finds less change than there is, a smaller one follows the noise.
SETTINGS = Settings("intensity", affine="rigid", lam=(0.03, 0.003), symmetric=True, diffeomorphic=True, quality=False)
_LINEAR = "mind"  # features for the rigid alignment, which do not depend on the brightness
_DRAWS = 16
_FEWEST = 2


@dataclass(frozen=True, eq=False)
class TimePoint:
    """A scan in the mean space of all time points.

    Attributes
    ----------
    scan : Image
        The scan as it was read.
    rigid : Affine
        From the mean position to the scan's world.
    transform : Composite
        From the mean space to the scan's world: the displacement, then the rigid map.
    gain : float
        Brightness relative to the mean of all.
    aligned, warped : Image
        The scan of matched brightness on the grid of the mean space, moved by the rigid map, and deformed to the mean.
    """

    scan: Image
    rigid: Affine
    transform: Composite
    gain: float
    aligned: Image
    warped: Image

    @property
    def displacement(self) -> DisplacementField:
        """The displacement of the mean space alone."""
        part = self.transform.parts[0]
        if not isinstance(part, DisplacementField):
            raise TypeError("the first part of a time point's transform is its displacement")
        return part


@dataclass(frozen=True, eq=False)
class Longitudinal:
    """Time points of one subject, and what changed between them.

    Attributes
    ----------
    points : tuple of TimePoint
        In the given order; the first is the baseline.
    grid : Grid
        Grid of the mean space.
    mean : Image
        Mean of the deformed scans.
    settings : Settings
    seconds : dict
        Times of the stages [s].
    draws : Image, (M, D, *S) [mm, RAS], optional
        Drawn errors of the transform from the baseline to the only other time point, in the baseline's world.
    """

    points: tuple[TimePoint, ...]
    grid: Grid
    mean: Image
    settings: Settings
    seconds: dict[str, float] = field(repr=False)
    draws: Image | None = field(default=None, repr=False)

    def between(self, first: int, second: int) -> Composite:
        """Return the transform from the world of one time point to that of another, through the mean space.

        It is a displacement on the grid of the first scan, then a rigid map. The displacements of the mean space are
        interpolated by cubic splines: linear interpolation between voxels would smooth them, and so lessen changes.
        """
        start, end = self.points[first], self.points[second]
        grid, mean = start.scan.grid, self.grid
        index = np.stack(np.meshgrid(*[np.arange(n, dtype=np.float64) for n in grid.shape], indexing="ij"))
        place = index.reshape(grid.ndim, -1)
        back = grid.index_map(mean, start.rigid.inverse().matrix)
        place = back[:-1, :-1] @ place + back[:-1, -1:]
        for moves in (start.displacement.inverse(), end.displacement):
            place = place + sampled_field(moves, place)
        ahead = mean.index_map(grid, start.rigid.matrix)
        place = ahead[:-1, :-1] @ place + ahead[:-1, -1:]
        data = (place.reshape(index.shape) - index)[None].astype(np.float32)
        return Composite((DisplacementField(data, grid), Affine(end.rigid.matrix @ start.rigid.inverse().matrix)))

    def jacobian(self, index: int, reference: int = 0) -> Jacobian:
        """Return the Jacobian determinant on the reference's own grid: volume at a time point by that at the reference.

        Parameters
        ----------
        index, reference : int
            Number of the time points, from 0.
        """
        return jacobian_of(self.between(reference, index), self.points[reference].scan.grid)

    def mean_space_jacobian(self, index: int, reference: int = 0) -> Jacobian:
        """Return the same ratio of volumes on the grid of the mean space."""
        over, under = (jacobian_of(self.points[i].displacement, self.grid) for i in (index, reference))
        ratio = over.determinant.data / np.maximum(under.determinant.data, 1e-3)
        return replace(over, determinant=Image(ratio, self.grid))

    def difference(self, index: int, reference: int = 0) -> Image:
        """Return the difference of brightness in the mean space, after the rigid alignment alone."""
        return Image(self.points[index].aligned.data - self.points[reference].aligned.data, self.grid)

    def volume_changes(
        self, labels: ImageLike, index: int = -1, *, names: Mapping[int, str] | None = None
    ) -> list[VolumeChange]:
        """Return the change of the volume of every label of the baseline until another time point.

        Parameters
        ----------
        labels : ImageLike
            Label map on the voxels of the baseline.
        index : int
            Number of the time point; by default the last.
        names : dict, optional
            Names of the labels.

        Raises
        ------
        LabelError
            If the labels do not fit the baseline, or there are none.
        """
        grid = self.points[0].scan.grid
        on_grid = labels_on(as_image(labels, labels=True), grid, "labels of the baseline")
        return volume_changes(self.jacobian(index % len(self.points)), on_grid, names=names, draws=self.draws)


def compare_time_points(
    scans: Sequence[ImageLike],
    *,
    settings: Settings | None = None,
    mask: ImageLike | None = None,
    brightness: Brightness = "field",
) -> Longitudinal:
    """Compare two or more scans of one subject in their mean space.

    Parameters
    ----------
    scans : sequence of ImageLike
        At least two scans of one modality; the first is the baseline.
    settings : Settings, optional
        Settings of the deformation, which is always symmetric and diffeomorphic; by default :data:`SETTINGS`.
    mask : ImageLike, optional
        Region of the baseline, 0 to 1, to which the comparison is restricted, such as the brain.
    brightness : {"field", "gain", "keep"}
        Differences of brightness that are taken for those of the scanner: a gain and the slow differences of a receive
        coil, a gain alone, or none. See :mod:`learngn.longitudinal.brightness`.

    Raises
    ------
    LearnGNError
        If a scan cannot be read, is constant, or the scans cannot be aligned; the settings are not of Gauss-Newton, or
        the features compare label maps.
    """
    clock, chosen = Clock(), _symmetric(settings or SETTINGS)
    with clock.stage("read"):
        images = [as_image(scan).like(np.empty(0)) for scan in scans]
        _check(images)
        region = read_mask(mask, images[0].grid, "mask")
    with clock.stage("rigid"):
        feature, masks = parse_features(_LINEAR), (region, None)
        others = [rigid_between(images[0], other, feature, masks) for other in images[1:]]
        maps = from_mean([np.eye(images[0].grid.ndim + 1), *others])
        grid = mean_grid(
            [image.grid.moved(np.asarray(np.linalg.inv(matrix))) for image, matrix in zip(images, maps, strict=True)]
        )
    with clock.stage("brightness"):
        aligned = [_on(image, Affine(matrix), grid) for image, matrix in zip(images, maps, strict=True)]
        inside = [_inside(image, matrix, grid) for image, matrix in zip(images, maps, strict=True)]
        compared = inside if region is None else [where & _region(region, maps[0], grid) for where in inside]
        arrays, gains = matched([scan.data[0, 0] for scan in aligned], inside, brightness)
        aligned = [Image.from_array(array, grid) for array in arrays]
    with clock.stage("deform"):
        found = deformed(aligned, compared, chosen)
        mean, _ = mean_of(aligned, inside, found.fields)
        warped = [_displaced(scan, moves) for scan, moves in zip(aligned, found.fields, strict=True)]
    draws = None
    if found.result is not None and chosen.uncertainty:
        with clock.stage("uncertainty"):
            draws = _draws(found, grid, maps[0], chosen)
    points = tuple(
        TimePoint(
            image, Affine(matrix), Composite((DisplacementField(moves, grid), Affine(matrix))), gain, still, after
        )
        for image, matrix, moves, gain, still, after in zip(
            images, maps, found.fields, gains, aligned, warped, strict=True
        )
    )
    return Longitudinal(points, grid, mean, chosen, dict(clock.seconds), draws)


def sampled_field(field: DisplacementField, index: FloatArray) -> FloatArray:
    """Interpolate a displacement by cubic splines at places, both (D, V) [voxel of its grid]."""
    parts = [scipy.ndimage.map_coordinates(part, index, order=3, mode="nearest") for part in field.data[0]]
    return np.stack(parts).astype(np.float64)


def _symmetric(settings: Settings) -> Settings:
    """Return the settings with a symmetric, diffeomorphic update.

    Raises
    ------
    SettingsError
        If the update is a baseline's.
    FeatureError
        If the features compare label maps.
    """
    if settings.is_baseline:
        raise SettingsError("update", settings.update, "Gauss-Newton", "leave it to the default")
    feature: Feature = parse_features(settings.features)
    if feature.traits.reads_labels or feature.traits.tied:
        raise FeatureError("features", settings.features, "features of scans", "choose intensity or mind")
    return replace(settings, symmetric=True, diffeomorphic=True, quality=False)


def _check(images: Sequence[Image]) -> None:
    if len(images) < _FEWEST:
        raise ImageError("time points", f"{len(images)} scan", "two or more", "name the baseline and the follow-up")
    for number, image in enumerate(images, 1):
        check_scan(image, f"time point {number}")
    for first, second in pairwise(images):
        if first.grid.ndim != second.grid.ndim:
            raise GeometryError("time points", f"{first.grid.ndim}D and {second.grid.ndim}D scans", "all 2D or all 3D",
                                "extract the slice or the volume first")  # fmt: skip


def _on(image: Image, rigid: Affine, grid: Grid) -> Image:
    """Return a scan on the grid of the mean position, interpolated by cubic splines unless the voxels coincide."""
    plain = replace(image, stored=None)
    coincide = np.allclose(grid.index_map(image.grid, rigid.matrix), np.eye(grid.ndim + 1), atol=1e-4)
    return rigid.warp(plain, grid, interpolation="linear" if coincide else "bspline")


def _inside(image: Image, matrix: NDArray[np.float64], grid: Grid) -> NDArray[np.bool_]:
    """Return where a scan was acquired, up to the centres of its outermost voxels."""
    index = grid.index_map(image.grid, matrix)
    one = np.ones((1, 1, *image.grid.shape), np.float32)
    return np.asarray(sampling.warp(one, None, index, grid.shape, outside=0.0)[0, 0] > 0.99)


def _region(region: Image, matrix: NDArray[np.float64], grid: Grid) -> NDArray[np.bool_]:
    warped = Affine(matrix).warp(region, grid, background=0.0)
    return np.asarray(warped.data[0, 0] > 0.5)


def _displaced(scan: Image, moves: NDArray[np.float32]) -> Image:
    return GridMap(scan.grid, moves, np.eye(scan.grid.ndim + 1)).warp(scan, interpolation="bspline")


def _draws(found: Deformed, grid: Grid, matrix: NDArray[np.float64], settings: Settings) -> Image | None:
    """Return the drawn errors, moved from the mean position to the world of the baseline."""
    if found.result is None:
        return None
    draws = uncertainty_of(found.result, grid, factor_of(None, settings.features), _DRAWS).draws
    if draws is None:
        return None
    turned = np.einsum("ab,mb...->ma...", matrix[:-1, :-1], np.asarray(draws.data))
    return Image(turned.astype(np.float32), draws.grid.moved(matrix))
