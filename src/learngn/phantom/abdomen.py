"""Synthetic abdomens of any size, 3D or a coronal plane."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from learngn.errors import SettingsError
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.phantom.canvas import Canvas
from learngn.phantom.painting import AIR, paint
from learngn.phantom.variation import Subject

FIELD_OF_VIEW = (360.0, 290.0, 250.0)
"""Extent of every phantom along R, A, S [mm]; of a coronal plane along R and S."""

_PLANE = -22.0  # [mm, anterior] of a coronal phantom: liver, spleen, kidneys, adrenals, great vessels
_BLUR = 1.3  # standard deviation of the scanner's point spread [mm]


@dataclass(frozen=True, eq=False)
class Phantom:
    """Synthetic scan and its label map.

    Attributes
    ----------
    scan : Image
        Intensities, float32 [HU].
    labels : Image
        Label map, uint8; numbers as in :data:`learngn.phantom.ORGANS`.
    """

    scan: Image
    labels: Image


def abdomen(shape: Sequence[int] = (96, 80, 64), *, seed: int, variation: float = 1.0, noise: float = 12.0) -> Phantom:
    """Make a synthetic abdominal CT with 13 labelled organs.

    The anatomy is analytic and evaluated at smoothly deformed coordinates: a seed gives the same subject at every size.

    Parameters
    ----------
    shape : sequence of int
        (H, W, D) along R, A, S; or (H, W) along R, S for a coronal plane, a 2D image.
    seed : int
        Number of the subject; the same seed gives the same bytes.
    variation : float
        Scale of the differences between subjects; 0 gives the mean anatomy.
    noise : float
        Standard deviation of the noise [HU].

    Returns
    -------
    Phantom
        Phantom on a grid along R, A, S over :data:`FIELD_OF_VIEW`, at a slightly different position for each subject.

    Raises
    ------
    SettingsError
        If the shape is neither 2D nor 3D or too small, or a number is negative.
    """
    if len(shape) not in (2, 3) or min(shape) < 8:
        raise SettingsError("phantom shape", str(tuple(shape)), "2 or 3 sizes of at least 8", "try (96, 80, 64)")
    if min(seed, variation, noise) < 0:
        got = f"seed {seed}, variation {variation}, noise {noise}"
        raise SettingsError("phantom", got, "numbers ≥ 0", "pass other values")
    draw = np.random.default_rng(seed)
    subject = Subject(draw, variation)
    shown = [0, 1, 2] if len(shape) == 3 else [0, 2]
    spacing = np.asarray(FIELD_OF_VIEW)[shown] / np.asarray(shape)
    corner = (spacing - np.asarray(FIELD_OF_VIEW)[shown]) / 2
    grid = Grid.from_spacing(shape, spacing, origin=corner + subject.offset[shown])
    axes = [np.array([_PLANE], dtype=np.float32)] * 3  # a coronal plane is one voxel thick
    for world, (n, start, step) in zip(shown, zip(grid.shape, grid.origin, spacing, strict=True), strict=True):
        axes[world] = (start + step * np.arange(n)).astype(np.float32)
    canvas = Canvas(subject.coordinates(axes), AIR)
    paint(canvas, subject)
    tissue, labels = canvas.hounsfield.reshape(grid.shape), canvas.labels.reshape(grid.shape)
    # The noise is blurred by the scanner's point spread, like the tissue: its grain is slightly coarser than a voxel.
    grain = ndimage.gaussian_filter(draw.standard_normal(grid.shape, dtype=np.float32), _BLUR / spacing)
    scan = ndimage.gaussian_filter(tissue, _BLUR / spacing, mode="nearest")
    scan += grain * np.float32(noise / grain.std())
    return Phantom(Image.from_array(scan, grid), Image.from_array(labels, grid, labels=True))


def abdomens(count: int, shape: Sequence[int] = (96, 80, 64), *, seed: int = 0) -> Iterator[Phantom]:
    """Make `count` subjects, one after another, with seeds that follow from `seed`."""
    for subject in np.random.SeedSequence(seed).generate_state(count):
        yield abdomen(shape, seed=int(subject))
