"""Two sections of one specimen in different stains, as colour pictures, with a known deformation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learngn.geometry.grid import FloatArray, Grid
from learngn.geometry.image import Image

_GLANDS = 60
_LUMEN, _WALL = 0.55, 1.3  # radii of a gland's lumen and of its epithelium, over its size
# Optical densities of red, green and blue (Ruifrok and Johnston, 2001).
_HAEMATOXYLIN = np.array([0.65, 0.70, 0.29])
_COUNTERSTAINS = {"eosin": np.array([0.07, 0.99, 0.11]), "dab": np.array([0.27, 0.57, 0.78])}
_SLIDE = 243.0  # grey of an empty slide


@dataclass(frozen=True, eq=False)
class StainedSections:
    """A pair of sections.

    Attributes
    ----------
    fixed, moving : Image
        (1, 3, *S), float32, red, green and blue from 0 to 255: stained by haematoxylin, and by eosin or DAB.
    fixed_points, moving_points : array, shape (M, 2) [pixel]
        Centres of the glands in both pictures.
    """

    fixed: Image
    moving: Image
    fixed_points: FloatArray
    moving_points: FloatArray


def stained_sections(
    shape: tuple[int, int] = (256, 192), *, seed: int = 0, angle: float = 0.0, bend: float = 0.02
) -> StainedSections:
    """Paint two sections of tissue with glands: one in haematoxylin and eosin, the other in haematoxylin and DAB.

    Eosin stains all tissue but little of the epithelium, DAB the epithelium of some glands alone: brightness differs,
    and so does texture, which is drawn for each section.

    Parameters
    ----------
    shape : (int, int)
        Width and height of both pictures [pixel].
    seed : int
        Seed of the random numbers.
    angle : float
        Angle by which the moving section is turned [degree].
    bend : float
        Amplitude of the deformation, as a fraction of the longer side.
    """
    rng = np.random.default_rng(seed)
    size, centre = np.asarray(shape, dtype=np.float64), (np.asarray(shape) - 1) / 2
    waves = rng.uniform(0, 2 * np.pi, (2, 2))
    turn = np.deg2rad(angle)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])

    def to_fixed(points: FloatArray) -> FloatArray:
        """Map points of the moving section to the fixed one."""
        turned = (points - centre) @ rotation.T + centre
        phase = 2 * np.pi * turned / size
        bent = np.stack([np.sin(phase[..., 1] + waves[0, 0]), np.sin(phase[..., 0] + waves[0, 1])], axis=-1)
        return np.asarray(turned + bend * size.max() * bent)

    glands = _glands(rng, size)
    # Landmarks: the moving points that come from the glands, by fixed-point iteration.
    points = (glands[:, :2] - centre) @ rotation + centre
    for _ in range(100):
        points = points - (to_fixed(points) - glands[:, :2]) @ rotation
    index = np.stack(np.meshgrid(*(np.arange(n, dtype=np.float64) for n in shape), indexing="ij"), axis=-1)
    grid = Grid(shape, np.diag([-1.0, -1.0, 1.0]))
    return StainedSections(
        _painted(index, glands, size, "eosin", rng, grid),
        _painted(to_fixed(index), glands, size, "dab", rng, grid),
        glands[:, :2].copy(),
        np.asarray(points),
    )


def _glands(rng: np.random.Generator, size: FloatArray) -> FloatArray:
    """Return place, size and kind of the glands, (M, 4), inside the tissue."""
    places = rng.uniform(0.1, 0.9, (20 * _GLANDS, 2)) * size
    inside = places[_tissue(places, size) > 0.95][:_GLANDS]
    count = len(inside)
    sizes = rng.uniform(0.012, 0.035, count) * size.max()
    return np.column_stack([inside, sizes, rng.random(count)])


def _tissue(points: FloatArray, size: FloatArray) -> FloatArray:
    """Return the amount of tissue, 0 to 1: an ellipse with a notch and a cleft."""
    x, y = np.moveaxis((points - size / 2) / size, -1, 0)
    radius = np.hypot(x / 0.42, (y + 0.1 * x) / 0.38) + 0.08 * np.sin(3 * np.arctan2(y, x) + 1)
    cleft = 1 - np.exp(-(((x + 0.2) / 0.16) ** 2) - ((y - 0.02) / 0.03) ** 2)
    return np.asarray(cleft * (1 + np.tanh((1 - radius) * 30)) / 2)


def _painted(
    points: FloatArray, glands: FloatArray, size: FloatArray, stain: str, rng: np.random.Generator, grid: Grid
) -> Image:
    """Paint the tissue at points of the specimen, (*S, 2), by the Beer-Lambert law."""
    tissue, wall, marked = _tissue(points, size), np.zeros(grid.shape), np.zeros(grid.shape)
    for x, y, radius, kind in glands:
        distance = np.hypot(points[..., 0] - x, points[..., 1] - y) / radius
        tissue *= 1 - 0.475 * (1 + np.tanh((_LUMEN - distance) * 6))
        ring = np.exp(-(((distance - (_LUMEN + _WALL) / 2) / 0.3) ** 2))
        wall = np.maximum(wall, ring)
        if kind < 0.5:
            marked = np.maximum(marked, ring)
    nuclei = _texture(rng, grid.shape)
    amount = (0.25 + 0.5 * wall + 0.12 * nuclei) * tissue
    other = (0.55 - 0.35 * wall + 0.06 * _texture(rng, grid.shape)) if stain == "eosin" else 0.04 + 0.9 * marked
    density = amount[..., None] * _HAEMATOXYLIN + (other * tissue)[..., None] * _COUNTERSTAINS[stain]
    colours = _SLIDE * np.exp(-np.maximum(density, 0)) + rng.normal(0, 1.0, (*grid.shape, 3))
    data = np.rint(colours).clip(0, 255).astype(np.float32)
    return Image(np.ascontiguousarray(np.moveaxis(data, -1, 0))[None], grid, stored="uint8")


def _texture(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return noise of about two pixels' width, of unit variance."""
    noise = rng.standard_normal(shape)
    for axis in range(len(shape)):
        noise = noise + np.roll(noise, 1, axis) + np.roll(noise, -1, axis)
    return np.asarray(noise / noise.std())
