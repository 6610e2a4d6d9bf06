"""The learned linearisations: where they start, what holds whatever the weights, and what they can be trained by."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from learngn.errors import ShapeError
from learngn.features import FeatureImage
from learngn.geometry.grid import Grid
from learngn.kernels.stencils import block_index, difference
from learngn.learning.unrolled import unrolled
from learngn.linearise import Analytic, LearnedLinearisation, PublishedLinearisation
from learngn.optimise import GaussNewton
from learngn.settings import Level

SHAPES = [(9, 8), (7, 8, 6)]
PARTS = ("blocks", "gradient", "energy")


def randomised(module, scale=0.3):
    """The module with weights far from where it starts."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, scale)
    return module


def smooth(shape, shift=0.0, dtype=torch.float32):
    """Slow waves, one channel, on a grid; `shift` moves them [voxel]."""
    points = torch.meshgrid(*[torch.arange(n, dtype=torch.float64) for n in shape], indexing="ij")
    waves = sum(torch.sin(2 * torch.pi * (p + shift) / (40 + 7 * a) + a) for a, p in enumerate(points))
    return waves[None, None].to(dtype)


def pooled(x):
    return (F.avg_pool2d if x.ndim == 4 else F.avg_pool3d)(x, 4)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_untrained_is_the_analytic_one(shape, symmetric, weighted, rng):
    fixed, warped = torch.randn(2, 2, 3, *shape)
    weight = torch.rand(2, 1, *shape) if weighted else None
    learned = LearnedLinearisation(3, len(shape), hidden=8, symmetric=symmetric)
    got = learned.linearise(fixed, warped, weight)
    expected = Analytic(symmetric).linearise(fixed, warped, weight)
    assert torch.equal(got.residual, expected.residual)
    assert torch.equal(got.jacobian, expected.jacobian)
    normal = learned.normal_equations(fixed, warped, weight)
    for name in PARTS:
        assert torch.equal(getattr(normal, name), getattr(expected.normal_equations(), name)), name


@pytest.mark.parametrize("confidence", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_blocks_are_positive_semidefinite_whatever_the_weights(shape, confidence, rng):
    ndim = len(shape)
    learned = randomised(LearnedLinearisation(2, ndim, hidden=8, weight=confidence)).double()
    fixed, warped = 3 * torch.randn(2, 2, 2, *shape, dtype=torch.float64)
    blocks = learned.normal_equations(fixed, warped).blocks.detach()
    analytic = Analytic().normal_equations(fixed, warped).blocks
    assert float((blocks - analytic).abs().mean()) > 0.1  # the weights have an effect
    matrix = blocks.new_zeros(2, *shape, ndim, ndim)
    for k, (a, b) in enumerate(block_index(ndim)):
        matrix[..., a, b] = matrix[..., b, a] = blocks[:, k]
    eigenvalues = torch.linalg.eigvalsh(matrix)
    assert float(eigenvalues.min()) > -1e-10 * float(eigenvalues.max())


def test_confidence_is_positive_bounded_and_multiplies_the_weight(rng):
    learned = randomised(LearnedLinearisation(2, 2, hidden=8), scale=3.0)
    fixed, warped = torch.randn(2, 1, 2, 9, 8)
    weight = torch.rand(1, 1, 9, 8)
    own = learned.linearise(fixed, warped).weight.detach()
    assert float(own.min()) >= np.exp(-4.01)
    assert float(own.max()) <= np.exp(4.01)
    assert float(own.std()) > 0
    torch.testing.assert_close(learned.linearise(fixed, warped, weight).weight.detach(), weight * own)


@pytest.mark.parametrize("make", [LearnedLinearisation, PublishedLinearisation])
@pytest.mark.parametrize("shape", [(8, 4), (4, 4, 4)], ids=str)
def test_gradcheck_by_the_features(shape, make, rng):
    learned = randomised(make(2, len(shape), hidden=2)).double()
    fixed, warped = torch.randn(2, 1, 2, *shape, dtype=torch.float64)

    def normal(a, b):
        found = learned.normal_equations(a, b)
        return found.blocks, found.gradient, found.energy

    arguments = fixed.clone().requires_grad_(), warped.clone().requires_grad_()
    assert torch.autograd.gradcheck(normal, arguments, atol=1e-6, rtol=1e-5, fast_mode=True)


@pytest.mark.parametrize("shape", [(64, 48), (40, 32, 32)], ids=str)
def test_published_starts_near_the_analytic_one_of_averages(shape):
    """On slow waves its output, a quarter of the features' grid, is f and J of the features' averages."""
    ndim = len(shape)
    torch.manual_seed(0)
    published = PublishedLinearisation(1, ndim)
    fixed, warped = smooth(shape), smooth(shape, 1.7)
    with torch.no_grad():
        got = published.linearise(fixed, warped)
    assert got.residual.shape == (1, 1, *[n // 4 for n in shape])
    assert got.jacobian.shape == (1, 1, ndim, *[n // 4 for n in shape])
    coarse_fixed, coarse_warped = pooled(fixed), pooled(warped)
    inner = (Ellipsis, *[slice(1, -1)] * ndim)  # padding with zeros spoils the border
    residual = coarse_warped - coarse_fixed
    jacobian = torch.stack([difference((coarse_fixed + coarse_warped) / 2, a + 2) for a in range(ndim)], dim=2)
    for mine, theirs in ((got.residual, residual), (got.jacobian, jacobian)):
        square = theirs[inner].square().sum()
        assert float((mine * theirs)[inner].sum() / square) == pytest.approx(1, abs=0.08)  # their size
        assert (
            float((mine - theirs)[inner].square().sum() / square) < 0.3**2
        )  # a centre elsewhere, small random numbers


def test_published_within_gauss_newton():
    """Features of one channel, four times finer than the displacement: a shift is found, and the derivative arrives."""
    torch.manual_seed(0)
    grid = Grid.from_spacing((64, 48))
    fixed, moving = FeatureImage(smooth(grid.shape, 2.5), grid), FeatureImage(smooth(grid.shape), grid)
    lineariser = PublishedLinearisation(1, 2)
    method = GaussNewton([Level(8, 4, 0.02), Level(4, 4, 0.01)], lineariser=lineariser)
    with torch.no_grad():
        result = method(fixed, moving, np.eye(3))
    assert result.grid.shape == (16, 12)
    inner = 4 * result.field[0, :, 3:-3, 3:-3].mean(dim=(1, 2))  # [voxel of the features]
    assert inner.numpy() == pytest.approx([2.5, 2.5], abs=0.8)
    unrolled(method, fixed, moving, np.eye(3))[-1][0].square().sum().backward()
    assert all(bool(p.grad.abs().sum() > 0) for p in lineariser.parameters() if p.ndim > 1)


@pytest.mark.parametrize("make", [LearnedLinearisation, PublishedLinearisation])
def test_other_channels_are_refused(make):
    with pytest.raises(ShapeError, match=r"3 channels.*the 2 of"):
        make(2, 2).linearise(*torch.randn(2, 1, 3, 8, 8))
