"""The analytic linearisation: a true derivative, and the same normal equations fused and unfused."""

from itertools import pairwise

import pytest
import torch

from learngn.linearise import Analytic, Linearisation

SHAPES = [(9, 8), (7, 8, 6)]


def quadratic(points):
    """A quadratic polynomial of points (D, *S), two channels: central differences are exact on it."""
    p = points.double()
    first = 0.3 * p[0] - 0.2 * p[1] + 0.05 * p[0] * p[-1] + 0.02 * p[1] ** 2
    return torch.stack([first, 0.1 * p[0] ** 2 - 0.4 * p[-1]])[None]


def lattice(shape):
    return torch.stack(torch.meshgrid(*[torch.arange(n, dtype=torch.float64) for n in shape], indexing="ij"))


def interior(x):
    return x[(Ellipsis, *[slice(1, -1)] * (x.ndim - 2))]


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fused_normal_equations(shape, weighted, symmetric, dtype):
    fixed, warped = torch.randn(2, 2, 3, *shape, dtype=dtype)
    weight = torch.rand(2, 1, *shape, dtype=dtype) if weighted else None
    lineariser = Analytic(symmetric)
    fused = lineariser.normal_equations(fixed, warped, weight)
    plain = lineariser.linearise(fixed, warped, weight).normal_equations()
    for name in ("blocks", "gradient", "energy"):
        got, expected = getattr(fused, name), getattr(plain, name)
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5, check_stride=False)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_taylor(shape):
    """The error of ``f + h J d`` falls with the square of h."""
    x = lattice(shape)
    direction = torch.sin(x.flip(0) / 3) + 0.5
    fixed = torch.zeros_like(quadratic(x))
    at = Analytic(symmetric=False).linearise(fixed, quadratic(x))
    slope = torch.einsum("ncd...,d...->nc...", at.jacobian, direction)
    steps = [1.0, 0.5, 0.25, 0.125]
    errors = [float(interior(quadratic(x + h * direction) - fixed - at.residual - h * slope).norm()) for h in steps]
    for one, half in pairwise(errors):
        assert one / half == pytest.approx(4, rel=1e-6)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_symmetric_linearisation_is_of_second_order(shape):
    """Of a shifted quadratic the mean of both derivatives predicts the whole residual, one of them alone does not."""
    x = lattice(shape)
    shift = torch.tensor([0.8, -0.6, 0.5], dtype=torch.float64)[: len(shape)].reshape(-1, *[1] * len(shape))
    fixed, warped = quadratic(x + shift), quadratic(x)
    errors = []
    for symmetric in (True, False):
        at = Analytic(symmetric).linearise(fixed, warped)
        predicted = at.residual + torch.einsum("ncd...,d...->nc...", at.jacobian, shift)
        errors.append(float(interior(predicted).abs().max()))
    assert errors[0] < 1e-12
    assert errors[1] > 1e-2


def test_weight_scales_its_voxel():
    fixed, warped = torch.randn(2, 1, 2, 5, 4, dtype=torch.float64)
    weight = torch.ones(1, 1, 5, 4, dtype=torch.float64)
    weight[0, 0, 2, 2], weight[0, 0, 1, 1] = 0, 3
    plain, weighted = (Analytic().normal_equations(fixed, warped, w) for w in (None, weight))
    assert not weighted.blocks[..., 2, 2].any()
    assert not weighted.gradient[..., 2, 2].any()
    torch.testing.assert_close(weighted.gradient[..., 1, 1], 3 * plain.gradient[..., 1, 1])
    torch.testing.assert_close(weighted.blocks, plain.blocks * weight)


def test_energy_is_half_the_weighted_square():
    residual = torch.tensor([[[[1.0, 2.0]], [[3.0, 0.0]]]])
    normal = Linearisation(residual, torch.zeros(1, 2, 2, 1, 2), torch.tensor([[[[1.0, 0.5]]]])).normal_equations()
    assert float(normal.energy) == pytest.approx((1 + 9 + 0.5 * 4) / 2)
