"""Smooth synthetic pairs whose displacement is known."""

import numpy as np
import pytest
import torch

from learngn.features import FeatureImage
from learngn.geometry.grid import Grid


def _texture(shape):
    """A smooth object, D channels: waves of 12 to 26 voxels under a bell that vanishes at the border."""
    rng, ndim, waves = np.random.default_rng(0), len(shape), 24

    def channel():
        directions = rng.normal(size=(waves, ndim))
        directions *= (2 * np.pi / rng.uniform(12, 26, waves) / np.linalg.norm(directions, axis=1))[:, None]
        return directions, rng.uniform(0, 2 * np.pi, waves)

    channels = [channel() for _ in range(ndim)]

    def value(points):
        flat = points.double().flatten(1)
        made = []
        for directions, phases in channels:
            waves_at = torch.sin(torch.as_tensor(directions) @ flat + torch.as_tensor(phases)[:, None])
            made.append((1.5 + waves_at.sum(0) / np.sqrt(waves)).reshape(points.shape[1:]))
        return (torch.stack(made) * _bell(points, shape)).float()[None]

    return value


def _bell(points, shape):
    """One in the middle of a grid, next to nothing at its border."""
    bell = torch.ones(points.shape[1:], dtype=torch.float64)
    for p, n in zip(points.double(), shape, strict=True):
        bell = bell * torch.exp(-(((p - (n - 1) / 2) / (0.33 * n)) ** 4))
    return bell


def _lattice(shape):
    return torch.stack(torch.meshgrid(*[torch.arange(n, dtype=torch.float64) for n in shape], indexing="ij"))


@pytest.fixture(scope="session")
def texture():
    """The maker of a smooth function of points."""
    return _texture


@pytest.fixture(scope="session")
def lattice():
    """The maker of the points (D, *S) of a grid."""
    return _lattice


@pytest.fixture(scope="session")
def known_pair():
    """The maker of a pair (fixed, moving, u) with ``fixed(x) = moving(x + u(x))`` and u in voxels."""

    def make(shape, displacement, spacing=1.0):
        grid = Grid.from_spacing(shape, spacing)
        points, value = _lattice(shape), _texture(shape)
        u = displacement(points)
        return FeatureImage(value(points + u), grid), FeatureImage(value(points), grid), u.float()[None]

    return make


@pytest.fixture(scope="session")
def blobs():
    """The maker of an image of smooth blobs at known places in the world, through an affine of the world."""

    def make(grid, matrix=None, seed=0):
        rng = np.random.default_rng(seed)
        points = grid.index_to_world(np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), -1))
        if matrix is not None:
            points = points @ matrix[:-1, :-1].T + matrix[:-1, -1]
        value = np.zeros(grid.shape)
        for _ in range(8):
            centre, width = rng.uniform(-45, 45, grid.ndim), rng.uniform(9, 22)
            value += rng.uniform(0.4, 1) * np.exp(-((points - centre) ** 2).sum(-1) / (2 * width**2))
        return FeatureImage(torch.as_tensor(value, dtype=torch.float32)[None, None], grid)

    return make


@pytest.fixture(scope="session")
def inner_error():
    """Mean length of the difference of two fields inside the object [voxel]."""

    def error(field, truth):
        assert field.shape == truth.shape
        shape = field.shape[2:]
        return float((field - truth).norm(dim=1)[0][_bell(_lattice(shape), shape) > 0.5].mean())

    return error
