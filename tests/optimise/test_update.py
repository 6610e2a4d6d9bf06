"""How a step joins: the contract of every update, inverses and symmetry."""

from functools import partial

import numpy as np
import pytest
import torch

from learngn.geometry import sampling
from learngn.optimise import Additive, Compositional, Exponential, Symmetric
from learngn.testing import UPDATE_RULES, updates

inner_field = partial(updates.inner_field, device="cpu")


@pytest.mark.parametrize("shape", [(40, 36), (24, 22, 20)], ids=str)
def test_flow_there_and_back(shape):
    """exp(-δ) inverts exp(δ), to what interpolation loses: far better than id - δ inverts id + δ."""
    step = inner_field(shape, 0.9)
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
def test_exchanging_the_images_exchanges_the_halves(half):
    u = inner_field((18, 15), 2.0, samples=2).float()
    step = inner_field((18, 15), 1.0, seed=1).float()
    update = Symmetric(half)
    first, second = update(u, step).chunk(2)
    other = update(u.flip(0), -step)
    assert torch.equal(other, torch.cat([second, first]))
    assert torch.equal(update.whole(other), -update.whole(torch.cat([first, second])))


@pytest.mark.parametrize("update", [Additive(), Compositional(), Exponential(), Symmetric(Compositional()),
                                    Symmetric(Exponential()), Symmetric(Additive())], ids=repr)  # fmt: skip
@pytest.mark.parametrize("rule", UPDATE_RULES)
def test_rule(update, rule):
    UPDATE_RULES[rule](update)


def test_whole_is_the_displacement_between_the_images(rng):
    """From half-way: into the moving image minus into the fixed one; of a one-sided update, the displacement."""
    u = torch.as_tensor(rng.normal(size=(2, 3, 4, 5, 6)))
    assert torch.equal(Symmetric(Additive()).whole(u), u[:1] - u[1:])
    assert Compositional().whole(u) is u
    assert (Symmetric(Additive()).symmetric, Compositional().symmetric) == (True, False)


@pytest.mark.parametrize("half", [Compositional(), Exponential()], ids=repr)
def test_small_steps_are_shared(half):
    """Half of a step from rest goes each way."""
    step = 0.01 * inner_field((18, 15), 1.0, seed=1)
    into_moving, into_fixed = Symmetric(half)(torch.zeros((2, 2, 18, 15), dtype=torch.float64), step).chunk(2)
    np.testing.assert_allclose(into_moving.numpy(), step.numpy() / 2, atol=1e-4)
    np.testing.assert_allclose(into_fixed.numpy(), -step.numpy() / 2, atol=1e-4)
