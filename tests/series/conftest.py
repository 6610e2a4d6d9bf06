"""Series of frames whose motion is known exactly: an analytic scene, sampled where the motion takes it from."""

import numpy as np
import pytest

from learngn import Affine, Grid, Image
from learngn.geometry.grid import apply_affine

CENTRE = np.array([3.0, -5.0, 8.0])
_PLACES = np.random.default_rng(5)
# Places [mm from the centre], widths [mm] and brightness of details, as the folds of a brain give.
SPOTS = [
    (place, width, height)
    for place, width, height in zip(
        _PLACES.uniform(-13, 13, (24, 3)), _PLACES.uniform(3, 6, 24), _PLACES.choice([-70, 70, 110], 24), strict=True
    )
]
ORIENTATIONS = {
    "RAS": np.diag([1.0, 1, 1]),
    "LPS": np.diag([-1.0, -1, 1]),
    "ASR": np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]),
    "oblique": np.array([[np.cos(0.3), -np.sin(0.3), 0], [np.sin(0.3), np.cos(0.3), 0], [0, 0, -1]]),
}


def scene(points):
    """Brightness of a head-like object at points (..., 3) [mm from its centre]."""
    radius = np.linalg.norm(points / np.array([18, 20, 16]), axis=-1)
    value = 100 / (1 + np.exp((radius - 1) * 12))
    for place, width, height in SPOTS:
        value = value + height * np.exp(-(((points - place) / width) ** 2).sum(axis=-1))
    return value


def grid_of(orientation="RAS", shape=(28, 30, 24), spacing=2.0):
    linear = ORIENTATIONS[orientation] * spacing
    affine = np.eye(4)
    affine[:3, :3] = linear
    affine[:3, 3] = CENTRE - linear @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine)


def frame_of(grid, back, noise=0.0, rng=None):
    """A frame: its value at p is that of the scene at `back(p)`, a function of points in RAS mm."""
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    values = scene(back(grid.index_to_world(index)) - CENTRE)
    if noise:
        values = values + rng.normal(scale=noise, size=values.shape)
    return Image.from_array(values.astype(np.float32), grid)


def rigid(shift, degrees, axis):
    """Rotation about the scene's centre, then a shift, (4, 4) [RAS mm]."""
    axis = np.asarray(axis, float) / np.linalg.norm(axis)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    angle = np.radians(degrees)
    matrix = np.eye(4)
    matrix[:3, :3] = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    matrix[:3, 3] = CENTRE - matrix[:3, :3] @ CENTRE + shift
    return matrix


MOTIONS = [
    np.eye(4),
    rigid((1.3, -0.4, 0.6), 2.0, (1, 2, 0)),
    rigid((2.1, 0.7, -1.1), -4.0, (0, 1, 1)),
    rigid((-1.7, 1.9, 0.3), 6.0, (1, 0, 1)),
]


@pytest.fixture
def moved(rng):
    """Frames moved rigidly by MOTIONS, with noise of 4 % of the object's brightness, on a grid."""

    def frames(orientation="RAS", noise=4.0):
        grid = grid_of(orientation)
        return [frame_of(grid, Affine(m).inverse().map_points, noise, rng) for m in MOTIONS]

    return frames


def swelling(scales, grid=None):
    """Frames in which the scene swells about its centre by a factor each; noise-free."""
    grid = grid or grid_of()
    return [frame_of(grid, lambda p, s=s: CENTRE + (p - CENTRE) / s) for s in scales]


def ball(grid, radius):
    """Label map of a ball about the scene's centre [mm]."""
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    inside = np.linalg.norm(grid.index_to_world(index) - CENTRE, axis=-1) < radius
    return Image.from_array(inside.astype(np.uint8), grid, labels=True)


def apart(found, expected, grid):
    """Largest distance between two maps over points on the object's surface [voxel]."""
    points = CENTRE + np.stack(np.meshgrid(*[(-12, 0, 12)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    away = np.linalg.norm(apply_affine(found, points) - apply_affine(expected, points), axis=1)
    return away.max() / min(grid.spacing)


@pytest.fixture(scope="session")
def phantom():
    """Functions that make series of known motion."""

    class Phantom:
        pass

    for function in (grid_of, frame_of, rigid, swelling, ball, apart):
        setattr(Phantom, function.__name__, staticmethod(function))
    Phantom.motions, Phantom.centre, Phantom.orientations = MOTIONS, CENTRE, tuple(ORIENTATIONS)
    return Phantom
