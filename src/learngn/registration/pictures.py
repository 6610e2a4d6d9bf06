"""Scans and colour pictures of a pair: reading, and the channels in which pictures are compared."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from learngn.arrays import as_numpy, namespace, narrow
from learngn.features import check_stains, stain_channels
from learngn.geometry.grid import FloatArray, Grid
from learngn.geometry.grid_map import Resampling
from learngn.geometry.image import Image
from learngn.geometry.transform import Transform
from learngn.interop import ImageLike, as_image
from learngn.io import is_picture, read_grid, read_picture
from learngn.io.source import luminance
from learngn.registration.pair import RegistrationPair, Side
from learngn.settings.levels import MOST_VOXELS

_CONTRADICTS = 1.6  # ratio of the diagonals in mm above which headers are doubted: beyond what sections differ by


@dataclass(frozen=True, eq=False)
class Picture:
    """A scan as it is registered, and what is known of its file.

    Attributes
    ----------
    image : Image
        The scan, one channel; the luminance of a colour picture.
    file_grid : Grid
        Grid of the file: pixels in which its landmarks are given. That of a large picture is finer than the image's.
    colour : Image or None
        The colours of a 2D picture, (1, 3, *S), on the image's grid.
    """

    image: Image
    file_grid: Grid
    colour: Image | None = None


def read_picture_or_scan(source: ImageLike, *, labels: bool = False) -> Picture:
    """Read a scan, or a colour picture in 2D with its colours; pictures of more than 4 million pixels are averaged.

    Parameters
    ----------
    source : ImageLike
        See :func:`learngn.interop.as_image`; an :class:`Image` of three channels in 2D is a colour picture.
    labels : bool
        Whether it is a label map.

    Raises
    ------
    LearnGNError
        If it cannot be read.
    """
    if isinstance(source, str | Path) and not labels and is_picture(source):
        picture = read_picture(source, most=MOST_VOXELS)
        grid = picture.grid if picture.grid.size < MOST_VOXELS // 4 else read_grid(source)
        return _of_colours(picture, grid)
    image = as_image(source, labels=labels)
    if image.grid.ndim == 2 and tuple(image.data.shape[:2]) == (1, 3) and not image.labels:
        return _of_colours(image, image.grid)
    return Picture(image, image.grid)


def _of_colours(colour: Image, grid: Grid) -> Picture:
    values = as_numpy(colour.data)
    if bool((values == values[:, :1]).all()):  # grey, stored as colours
        return Picture(replace(colour, data=colour.data[:, :1]), grid)
    grey = luminance(np.moveaxis(values, 1, -1))[:, None]
    return Picture(Image(grey, colour.grid, path=colour.path).like(colour.data), grid, colour)


def compared(pair: RegistrationPair, stains: str | None) -> RegistrationPair:
    """Return the pair with the channels of colour pictures that are compared, for the features; others unchanged.

    Parameters
    ----------
    pair : RegistrationPair
    stains : str or None
        Names with commas between them, see :attr:`learngn.Settings.stains`.

    Raises
    ------
    MissingPackageError
        If a stain needs scikit-image, and it is not installed.
    """
    if stains is None:
        return pair
    names = stains.split(",")
    check_stains(names)
    return replace(pair, fixed=_stained(pair.fixed, names), moving=_stained(pair.moving, names))


def warped_colour(colour: Image, transform: Transform, grid: Grid, resampling: Resampling | None = None) -> Image:
    """Warp a colour picture onto a grid, each channel with its own background.

    Parameters
    ----------
    colour : Image, (1, 3, *S)
    transform : Transform
    grid : Grid
        Grid of the fixed image.
    resampling : Resampling, optional
    """
    on_grid, options = transform.on(grid), resampling or Resampling()
    channels = [
        on_grid.warp(
            replace(colour, data=narrow(colour.data, 1, channel, 1)),
            interpolation=options.interpolation,
            background=options.background,
        )
        for channel in range(3)
    ]
    data = namespace(channels[0].data).concat([channel.data for channel in channels], axis=1)
    return replace(channels[0], data=data)


def _stained(side: Side, stains: list[str]) -> Side:
    if side.colour is None:
        return side
    return replace(side, image=stain_channels(side.colour, stains).like(side.scan.data))


def alike(pair: RegistrationPair) -> tuple[RegistrationPair, FloatArray | None]:
    """Return a pair of pictures with pixels of one size, if the resolutions in their headers contradict each other.

    Copies of a picture often lose their resolution, or get that of a screen. Where sizes in mm differ much, and in
    pixels less, the moving picture is taken to have the fixed one's pixels.

    Parameters
    ----------
    pair : RegistrationPair

    Returns
    -------
    RegistrationPair
    array, shape (3, 3), or None
        Map from the world in which the moving picture then lies to that of its header; None for a pair unchanged.
    """
    fixed, moving = pair.fixed, pair.moving
    if fixed.colour is None or moving.colour is None:
        return pair, None
    lengths = [float(np.linalg.norm(side.grid.extent)) for side in (fixed, moving)]
    pixels = [float(np.linalg.norm(side.grid.shape)) for side in (fixed, moving)]
    in_mm, in_pixels = (abs(float(np.log(sizes[1] / sizes[0]))) for sizes in (lengths, pixels))
    if in_mm < np.log(_CONTRADICTS) or in_pixels >= in_mm:
        return pair, None
    factor = float(fixed.grid.spacing.mean() / moving.grid.spacing.mean())
    scaling = np.diag([factor, factor, 1.0])

    def scaled(image: Image | None) -> Image | None:
        return None if image is None else replace(image, grid=Grid(image.grid.shape, scaling @ image.grid.affine))

    side = replace(
        moving,
        grid=Grid(moving.grid.shape, scaling @ moving.grid.affine),
        image=scaled(moving.image),
        colour=scaled(moving.colour),
        mask=scaled(moving.mask),
        labels=scaled(moving.labels),
        landmarks=None if moving.landmarks is None else moving.landmarks * factor,
    )
    points = pair.keypoints
    points = None if points is None else replace(points, moving=points.moving * factor)
    return replace(pair, moving=side, keypoints=points), np.asarray(np.linalg.inv(scaling))
