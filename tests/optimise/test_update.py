"""How a step joins: inverses, symmetry, and the gradient that the regulariser hands to the step."""

import numpy as np
import pytest
import torch

from learngn import sampling
from learngn.grid import Grid
from learngn.optimise import Additive, Compositional, Exponential, Symmetric
from learngn.regularise import Diffusion, apply_regulariser

SHAPES = [(18, 15), (11, 10, 9)]


def inner_field(shape, size, rng):
    """A smooth random displacement that vanishes at the border, float64."""
    u = torch.as_tensor(rng.normal(size=(1, len(shape), *[max(n // 6, 2) for n in shape])))
    u = sampling.resize(u, shape)
    bell = torch.ones(shape, dtype=torch.float64)
    for axis, n in enumerate(shape):
        line = torch.sin(torch.linspace(0, torch.pi, n, dtype=torch.float64)) ** 2
        bell = bell * line.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return size * u * bell


@pytest.mark.parametrize("shape", [(40, 36), (24, 22, 20)], ids=str)
def test_flow_there_and_back(shape, rng):
    """exp(-δ) inverts exp(δ), to what interpolation loses: far better than id - δ inverts id + δ."""
    step = inner_field(shape, 1.0, rng)
    zero = torch.zeros_like(step)
    assert float(step.norm(dim=1).max()) > 0.7
    flow, backwards = Exponential(squarings=5)(zero, step), Exponential(squarings=5)(zero, -step)
    error = sampling.compose(flow, backwards).norm(dim=1)
    plain = sampling.compose(step, -step).norm(dim=1)
    assert float(error.mean()) < 0.3 * float(plain.mean())
    assert float(error.max()) < 0.1


def test_flow_of_a_linear_velocity_is_the_matrix_exponential():
    """``exp(A x)`` about the centre, where it stays inside the grid."""
    axes = torch.meshgrid(*[torch.arange(21, dtype=torch.float64) - 10] * 2, indexing="ij")
    linear = torch.tensor([[-0.10, 0.08], [-0.05, -0.12]], dtype=torch.float64)
    points = torch.stack(axes)
    step = torch.einsum("ab,bij->aij", linear, points)[None]
    found = Exponential(squarings=12)(torch.zeros_like(step), step)
    expected = torch.einsum("ab,bij->aij", torch.linalg.matrix_exp(linear) - torch.eye(2), points)[None]
    inner = (..., slice(3, -3), slice(3, -3))
    torch.testing.assert_close(found[inner], expected[inner], rtol=0, atol=1e-3)


@pytest.mark.parametrize("half", [Additive(), Compositional(), Exponential()], ids=repr)
def test_exchanging_the_images_exchanges_the_halves(half, rng):
    u = torch.cat([inner_field((18, 15), 2.0, rng), inner_field((18, 15), 2.0, rng)]).float()
    step = inner_field((18, 15), 1.0, rng).float()
    update = Symmetric(half)
    first, second = update(u, step).chunk(2)
    other = update(u.flip(0), -step)
    assert torch.equal(other, torch.cat([second, first]))
    assert torch.equal(update.whole(other), -update.whole(torch.cat([first, second])))


@pytest.mark.parametrize("update", [Additive(), Compositional(), Exponential(), Symmetric(Compositional()),
                                    Symmetric(Exponential()), Symmetric(Additive())], ids=repr)  # fmt: skip
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_pull_back_is_the_derivative_of_the_regularity(update, shape, rng):
    """``½ <whole, R whole>`` along a step inside the grid, by central differences, on anisotropic voxels."""
    grid = Grid.from_spacing(shape, (1.0, 2.0, 1.5)[: len(shape)])
    u = inner_field(shape, 2.0, rng)
    if update.symmetric:
        u = torch.cat([u, inner_field(shape, 1.5, rng)])
    step = inner_field(shape, 1.0, rng)

    def regularity(scale):
        whole = update.whole(update(u, scale * step))
        return float((whole * apply_regulariser(Diffusion(), whole, grid)).sum()) / 2

    h = 1e-5
    elastic = apply_regulariser(Diffusion(), update.whole(u), grid)
    predicted = float((update.pull_back(u, elastic) * step).sum())
    assert predicted == pytest.approx((regularity(h) - regularity(-h)) / (2 * h), rel=1e-4)


def test_whole_is_the_displacement_between_the_images(rng):
    """From half-way: into the moving image minus into the fixed one; of a one-sided update, the displacement."""
    u = torch.as_tensor(rng.normal(size=(2, 3, 4, 5, 6)))
    assert torch.equal(Symmetric(Additive()).whole(u), u[:1] - u[1:])
    assert Compositional().whole(u) is u
    assert (Symmetric(Additive()).symmetric, Compositional().symmetric) == (True, False)


@pytest.mark.parametrize("half", [Compositional(), Exponential()], ids=repr)
def test_small_steps_are_shared(half, rng):
    """Half of a step from rest goes each way."""
    step = 0.01 * inner_field((18, 15), 1.0, rng)
    into_moving, into_fixed = Symmetric(half)(torch.zeros((2, 2, 18, 15), dtype=torch.float64), step).chunk(2)
    np.testing.assert_allclose(into_moving.numpy(), step.numpy() / 2, atol=1e-4)
    np.testing.assert_allclose(into_fixed.numpy(), -step.numpy() / 2, atol=1e-4)
