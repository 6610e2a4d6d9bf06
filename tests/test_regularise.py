"""The diffusion energy: what it is zero on, what it measures, and that it does not depend on the grid."""

import numpy as np
import pytest
import torch

from learngn import sampling
from learngn.grid import Grid
from learngn.regularise import Diffusion, apply_regulariser

GRIDS = [Grid.from_spacing((8, 6), (1.0, 2.5)), Grid.from_spacing((6, 5, 7), (1.0, 1.5, 4.0))]


@pytest.fixture(params=GRIDS, ids=str)
def grid(request):
    return request.param


def energy(u, grid):
    """½ <u, R u>."""
    return float((u * apply_regulariser(Diffusion(), u, grid)).sum()) / 2


def linear_field(grid, gradient):
    """``u(p) = gradient @ p`` [mm], in voxels of the grid (whose axes are the world's)."""
    axes = [np.arange(n) * s for n, s in zip(grid.shape, grid.spacing, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"))
    millimetres = np.einsum("ab,b...->a...", gradient, points)
    return torch.as_tensor(millimetres / grid.spacing.reshape(-1, *[1] * grid.ndim))[None]


def test_constants_cost_nothing(grid):
    u = torch.ones(1, grid.ndim, *grid.shape, dtype=torch.float64)
    assert not apply_regulariser(Diffusion(), u, grid).any()


def test_linear_field_costs_its_squared_gradient(grid):
    gradient = np.arange(1.0, grid.ndim**2 + 1).reshape(grid.ndim, grid.ndim)
    # A grid of n voxels has n - 1 differences along an axis.
    differences = [grid.size * (n - 1) / n for n in grid.shape]
    expected = 0.5 * sum((gradient[:, b] ** 2).sum() * differences[b] for b in range(grid.ndim))
    assert energy(linear_field(grid, gradient), grid) == pytest.approx(expected, rel=1e-12)


def test_inside_a_linear_field_there_is_no_force(grid):
    inner = (slice(None), slice(None), *[slice(1, -1)] * grid.ndim)
    force = apply_regulariser(Diffusion(), linear_field(grid, np.ones((grid.ndim, grid.ndim))), grid)
    assert float(force[inner].abs().max()) < 1e-10
    assert float(force.abs().max()) > 1e-3


def test_unit_of_length_does_not_matter(grid):
    u = torch.randn(1, grid.ndim, *grid.shape, dtype=torch.float64)
    metres = Grid.from_spacing(grid.shape, grid.spacing / 1000)
    assert energy(u, metres) == pytest.approx(energy(u, grid), rel=1e-10)


def test_anisotropic_resampling_keeps_the_mean_energy():
    fine = Grid.from_spacing((48, 40, 44), 1.0)
    axes = torch.meshgrid(*[(torch.arange(n, dtype=torch.float64) + 0.5) / n for n in fine.shape], indexing="ij")
    wave = torch.cos(torch.pi * axes[0]) * torch.cos(torch.pi * axes[1]) * torch.cos(2 * torch.pi * axes[2])
    u = torch.stack([wave, 2 * wave, -wave])[None]
    coarse = fine.resized((48, 40, 22))
    resampled = sampling.resize_field(u, coarse.shape)
    assert energy(resampled, coarse) / coarse.size == pytest.approx(energy(u, fine) / fine.size, rel=0.05)


def test_dot_test(grid):
    u, v = torch.randn(2, 1, grid.ndim, *grid.shape, dtype=torch.float64)
    forward = (apply_regulariser(Diffusion(), u, grid) * v).sum()
    torch.testing.assert_close(forward, (u * apply_regulariser(Diffusion(), v, grid)).sum())
    assert energy(u, grid) > 0
