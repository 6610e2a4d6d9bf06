"""Grids in every kind of orientation, and smooth scans and transforms on them."""

import locale

import numpy as np
import pytest

from learngn import Affine, Composite, DisplacementField, Grid, Image


@pytest.fixture(autouse=True)
def _locale():
    """ITK sets the locale of the whole process to C when it writes DICOM, which later tests would read files with."""
    before = locale.setlocale(locale.LC_ALL)
    yield
    locale.setlocale(locale.LC_ALL, before)


def _rotation(ndim: int) -> np.ndarray:
    a, b = np.cos(0.3), np.sin(0.3)
    if ndim == 2:
        return np.array([[a, -b], [b, a]])
    c, d = np.cos(0.2), np.sin(0.2)
    return np.array([[a, -b, 0], [b, a, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -d], [0, d, c]])


_SIZES, _SPACING, _ORIGIN = (14, 12, 10), (1.5, 2.0, 3.0), (-20.0, 13.0, 40.0)
GRIDS = {
    "RAS": Grid.from_spacing(_SIZES, _SPACING, _ORIGIN),
    "LAS": Grid.from_spacing(_SIZES, _SPACING, _ORIGIN, np.diag([-1.0, 1, 1])),
    "LPS": Grid.from_spacing(_SIZES, _SPACING, _ORIGIN, np.diag([-1.0, -1, 1])),
    "SRA": Grid.from_spacing(_SIZES, _SPACING, _ORIGIN, np.roll(np.eye(3), -1, axis=0)),
    "oblique": Grid.from_spacing(_SIZES, _SPACING, _ORIGIN, _rotation(3)),
    "2D": Grid.from_spacing(_SIZES[:2], _SPACING[:2], _ORIGIN[:2], np.diag([-1.0, 1])),
    "2D oblique": Grid.from_spacing(_SIZES[:2], _SPACING[:2], _ORIGIN[:2], _rotation(2)),
}


@pytest.fixture(params=GRIDS)
def grid(request) -> Grid:
    return GRIDS[request.param]


@pytest.fixture
def moving_grid(grid) -> Grid:
    """Another shape, spacing and orientation, about the same place."""
    ndim = grid.ndim
    direction = grid.direction[:, ::-1] * np.array([1, -1, 1])[:ndim]
    draft = Grid.from_spacing((16, 11, 15)[:ndim], (1.8, 2.2, 2.1)[:ndim], direction=_rotation(ndim) @ direction)
    return Grid.from_spacing(draft.shape, draft.spacing, draft.origin + grid.centre, draft.direction)


def make_scan(grid: Grid) -> Image:
    """Waves in the world, so that every axis and direction matters."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    p = grid.index_to_world(index) - grid.centre
    waves = 50 * np.sin(p[..., 0] / 5) + 30 * np.cos(p[..., 1] / 4 + 1) + (20 * np.sin(p[..., -1] / 6 + 2))
    return Image.from_array(waves + 100, grid)


@pytest.fixture
def scan(grid) -> Image:
    return make_scan(grid)


@pytest.fixture
def moving_scan(moving_grid) -> Image:
    return make_scan(moving_grid)


@pytest.fixture
def field(grid, rng) -> DisplacementField:
    """Smooth, up to about two voxels, another in every component."""
    index = np.indices(grid.shape, dtype=np.float32)
    phase = np.arange(grid.ndim, dtype=np.float32).reshape(-1, *[1] * grid.ndim)
    data = 1.5 * np.sin(np.roll(index, 1, 0) / 3 + phase) + 0.3 * phase
    return DisplacementField(data[None], grid)


@pytest.fixture
def affine(grid) -> Affine:
    """Turned, stretched, sheared and shifted, about the grid's centre."""
    ndim = grid.ndim
    linear = _rotation(ndim) @ np.diag([1.1, 0.9, 1.05][:ndim]) + 0.03 * np.eye(ndim)[::-1]
    matrix = np.eye(ndim + 1)
    matrix[:-1, :-1] = linear
    matrix[:-1, -1] = grid.centre - linear @ grid.centre + np.array([1.0, -2.0, 0.5])[:ndim]
    return Affine(matrix)


@pytest.fixture
def chain(field, affine) -> Composite:
    return field.then(affine)


@pytest.fixture
def points(grid, rng) -> np.ndarray:
    """Points within the grid, RAS mm."""
    return grid.index_to_world(rng.uniform(1, np.array(grid.shape) - 2, size=(20, grid.ndim)))
