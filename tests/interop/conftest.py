"""Two scans, oblique and anisotropic, of one shape but not of one place, and a transform between them."""

import numpy as np
import pytest

from learngn import Affine, Composite, DisplacementField, Grid, Image


def turned(about_z: float, about_x: float) -> np.ndarray:
    a, b, c, d = np.cos(about_z), np.sin(about_z), np.cos(about_x), np.sin(about_x)
    return np.array([[a, -b, 0], [b, a, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -d], [0, d, c]])


def waves(grid: Grid) -> Image:
    """Another wave along every axis of the world."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    p = grid.index_to_world(index)
    rest = 20 * np.sin(p[..., 2] / 9 + 2) if grid.ndim == 3 else 0
    return Image.from_array(100 + 50 * np.sin(p[..., 0] / 8) + 30 * np.cos(p[..., 1] / 7 + 1) + rest, grid)


@pytest.fixture
def fixed() -> Image:
    return waves(Grid.from_spacing((20, 18, 14), (1.2, 2.0, 3.1), (-15, 4, 60), turned(0.3, 0.2)))


@pytest.fixture
def moving(fixed) -> Image:
    """Its axes are P, L, S, turned the other way."""
    direction = turned(-0.2, 0.35) @ np.array([[0.0, -1, 0], [-1, 0, 0], [0, 0, 1]])
    grid = Grid.from_spacing((20, 18, 14), (2.2, 1.7, 3.4), direction=direction)
    return waves(Grid.from_spacing(grid.shape, grid.spacing, grid.origin + fixed.grid.centre, direction))


@pytest.fixture
def plane() -> Image:
    return waves(Grid.from_spacing((20, 18), (1.2, 2.0), (-15, 4), turned(0.3, 0)[:2, :2]))


@pytest.fixture
def labels(moving) -> Image:
    return Image((moving.data > 110).astype(np.uint8) + (moving.data > 140), moving.grid, labels=True)


@pytest.fixture
def transform(fixed) -> Composite:
    """Up to two voxels, another wave in every component, then an affine about the centre."""
    index = np.indices((20, 18, 14), dtype=np.float32)
    field = 1.2 * np.sin(np.roll(index, 1, 0) / 3 + np.array([0, 1, 2], np.float32).reshape(3, 1, 1, 1))
    linear = turned(0.05, -0.04) @ np.diag([0.95, 1.02, 0.97])
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = fixed.grid.centre - linear @ fixed.grid.centre + [1.0, -2, 0.5]
    return Composite((DisplacementField(field[None], fixed.grid), Affine(matrix)))
