"""The unrolled steps: the same numbers as a registration, true derivatives, bounded memory."""

import numpy as np
import pytest
import torch

from learngn.features import FeatureImage
from learngn.geometry.grid import Grid
from learngn.learning.unrolled import unrolled
from learngn.linearise import Analytic, LearnedLinearisation
from learngn.optimise import Additive, Compositional, GaussNewton, StepControl
from learngn.settings import Level
from learngn.solve import BlockJacobi, NormalSolver

EXACT = NormalSolver(tolerance=1e-10, backward_tolerance=1e-10, iterations=500, preconditioner=BlockJacobi)
FREE = StepControl(min_jacobian=-float("inf"), memory=0, update_tolerance=0.0)
SHAPES = [(8, 6), (5, 3, 4)]


def pair(shape, channels=2, seed=0):
    """Smooth random features in float64, the moving ones a little aside, on grids of unequal voxels."""
    grid = Grid.from_spacing(shape, [1.0, 1.3, 0.8][: len(shape)])
    points = torch.stack(torch.meshgrid(*[torch.arange(n, dtype=torch.float64) for n in shape], indexing="ij"))
    random = np.random.default_rng(seed)
    frequency = torch.from_numpy(random.uniform(0.3, 0.7, (channels, len(shape))))
    phase = torch.from_numpy(random.uniform(0, 6, channels)).reshape(-1, *[1] * len(shape))

    def waves(at):
        return torch.sin(torch.einsum("ca,a...->c...", frequency, at) + phase)[None]

    return FeatureImage(waves(points + 0.4), grid), FeatureImage(waves(points), grid)


def method(update, lineariser=None, solver=EXACT, control=FREE, momentum=0.0):
    return GaussNewton(
        [Level(2, 1, 0.5), Level(1, 2, 0.2)],
        lineariser=lineariser or Analytic(),
        update=update,
        solver=solver,
        control=control,
        momentum=momentum,
        log_lam=torch.zeros(2, dtype=torch.float64),
    )


def learned(shape, channels=2):
    """A learned linearisation that is no longer the analytic one."""
    torch.manual_seed(0)
    lineariser = LearnedLinearisation(channels, len(shape), hidden=3).double()
    with torch.no_grad():
        lineariser.last.weight.normal_(0, 0.05)
    return lineariser


def weighted_sum(ends, seed=1):
    """A scalar to which every component of every level's displacement counts differently."""
    generator = torch.Generator().manual_seed(seed)
    return sum((torch.randn(u.shape, dtype=u.dtype, generator=generator) * u).sum() for u, _ in ends)


def assert_derivative(value, *parameters, step=1e-5):
    """Compare the derivatives of `value()` along a random direction of each tensor with central differences."""
    gradients = torch.autograd.grad(value(), parameters)
    generator = torch.Generator().manual_seed(2)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        direction = torch.randn(parameter.shape, dtype=parameter.dtype, generator=generator)
        direction /= direction.norm()
        ends = []
        with torch.no_grad():
            for sign in (1, -1):
                parameter += sign * step * direction
                ends.append(float(value()))
                parameter -= sign * step * direction
        expected = (ends[0] - ends[1]) / (2 * step)
        assert abs(expected) > 1e-4  # there is something to compare
        assert float((gradient * direction).sum()) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("update", "momentum"), [(Additive(), 0.5), (Compositional(), 0.0)], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_same_as_a_registration_that_rejects_nothing(shape, update, momentum):
    fixed, moving = pair(shape)
    gauss_newton = method(update, momentum=momentum)
    identity = np.eye(len(shape) + 1)
    expected = gauss_newton(fixed, moving, identity)
    assert [step.iteration for step in expected.history] == [0, 0, 1]
    ends = unrolled(gauss_newton, fixed, moving, identity)
    assert [grid for _, grid in ends] == [
        gauss_newton(fixed, moving, identity).grid.resized(u.shape[2:]) for u, _ in ends
    ]
    assert torch.equal(ends[-1][0], expected.field)
    assert float(expected.field.norm(dim=1).mean()) > 0.1


def test_same_without_gradients():
    fixed, moving = pair((10, 8))
    gauss_newton = method(Compositional(), learned((10, 8)))
    with_gradients = unrolled(gauss_newton, fixed, moving, np.eye(3))[-1][0]
    with torch.no_grad():
        without = unrolled(gauss_newton, fixed, moving, np.eye(3))[-1][0]
    assert with_gradients.requires_grad
    gauss_newton.log_lam.requires_grad_()  # a registration of a model may be differentiated, too, without a warning
    assert gauss_newton(fixed, moving, np.eye(3)).field.requires_grad
    torch.testing.assert_close(without, with_gradients.detach(), rtol=1e-12, atol=1e-12)


def test_numbers_of_iterations():
    """Other counts than the schedule's; a level without steps hands its displacement on."""
    fixed, moving = pair((10, 8))
    gauss_newton = method(Compositional())
    ends = unrolled(gauss_newton, fixed, moving, np.eye(3), iterations=(3, 0))
    (coarse, _), (fine, grid) = ends
    assert grid == fixed.grid
    expected = unrolled(gauss_newton, fixed, moving, np.eye(3), iterations=(3, 1))[0][0]
    assert torch.equal(coarse, expected)
    assert fine.shape[2:] == (10, 8)
    assert float(fine.norm(dim=1).mean()) == pytest.approx(2 * float(coarse.norm(dim=1).mean()), rel=0.2)


def test_starts_from_a_displacement():
    fixed, moving = pair((10, 8))
    gauss_newton = method(Additive())
    start = 0.3 * torch.ones(1, 2, 10, 8, dtype=torch.float64)
    ends = unrolled(gauss_newton, fixed, moving, np.eye(3), start, iterations=(0, 0))
    torch.testing.assert_close(ends[-1][0], start)


@pytest.mark.parametrize("update", [Additive(), Compositional()], ids=str)
@pytest.mark.parametrize(
    ("shape", "trained"), [(SHAPES[0], False), (SHAPES[0], True), (SHAPES[1], True)], ids=["analytic", "2D", "3D"]
)
@pytest.mark.slow
def test_derivative_by_features_lambda_and_weights(shape, update, trained):
    fixed, moving = pair(shape)
    lineariser = learned(shape) if trained else None
    gauss_newton = method(update, lineariser)
    assert_derivative(
        lambda: weighted_sum(unrolled(gauss_newton, fixed, moving, np.eye(len(shape) + 1))),
        fixed.data.requires_grad_(),
        moving.data.requires_grad_(),
        gauss_newton.log_lam.requires_grad_(),
        *([lineariser.trunk[0].weight, lineariser.last.weight] if trained else []),
    )


def test_derivative_with_the_cap_and_momentum():
    fixed, moving = pair((10, 8))
    short = StepControl(longest=0.1, min_jacobian=-float("inf"), memory=0, update_tolerance=0.0)
    gauss_newton = method(Compositional(), control=short, momentum=0.5)
    moving.data.requires_grad_()
    assert_derivative(lambda: weighted_sum(unrolled(gauss_newton, fixed, moving, np.eye(3))), moving.data)


@pytest.mark.slow
def test_last_steps_alone():
    """The numbers stay; the derivative is that of so many steps from where the others have ended."""
    fixed, moving = pair((8, 6))
    gauss_newton = method(Compositional())
    identity, data = np.eye(3), moving.data.requires_grad_()

    def gradient(field):
        return torch.autograd.grad(field.square().sum(), data)[0]

    whole = unrolled(gauss_newton, fixed, moving, identity, iterations=(2, 3))
    for last in (1, 2):
        ends = unrolled(gauss_newton, fixed, moving, identity, iterations=(2, 3), last=last)
        assert all(torch.equal(u, v) for (u, _), (v, _) in zip(ends, whole, strict=True))
        with torch.no_grad():
            start = unrolled(gauss_newton, fixed, moving, identity, iterations=(2, 3 - last))[-1][0]
        fine = GaussNewton(gauss_newton.levels[1:], update=Compositional(), solver=EXACT, control=FREE)
        alone = unrolled(fine, fixed, moving, identity, start, iterations=(last,))[-1][0]
        torch.testing.assert_close(gradient(ends[-1][0]), gradient(alone), rtol=1e-6, atol=1e-9)
    part, full = gradient(unrolled(gauss_newton, fixed, moving, identity, last=1)[-1][0]), gradient(whole[-1][0])
    assert 0.05 < float((part - full).norm() / full.norm()) < 1  # an approximation, of the right direction


def saved_bytes(gauss_newton, fixed, moving, iterations):
    """Bytes that the forward pass keeps for the backward one, every storage counted once."""
    storages = {}

    def pack(tensor):
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        ends = unrolled(gauss_newton, fixed, moving, np.eye(len(fixed.grid.shape) + 1), iterations=iterations)
    assert ends[-1][0].requires_grad
    return sum(storage.nbytes() for storage in storages.values())


def test_memory_grows_by_no_more_than_a_displacement_a_step():
    """What a step saves besides (features, blocks, hidden layers) is computed again: 2 steps against 6."""
    shape, channels = (24, 20), 8
    fixed, moving = pair(shape, channels)
    gauss_newton = method(Compositional(), learned(shape, channels), NormalSolver())
    two, six = (saved_bytes(gauss_newton, fixed, moving, (0, count)) for count in (2, 6))
    displacement = 2 * 24 * 20 * 8
    assert 0 < (six - two) / 4 <= 2 * displacement + 64  # u and its velocity
