"""Adam on the displacement: the energy of Gauss-Newton, lowered by first-order steps."""

import dataclasses

import numpy as np
import pytest
import torch

from learngn.errors import SettingsError
from learngn.features import FeatureImage
from learngn.geometry.grid import Grid
from learngn.linearise import Analytic
from learngn.optimise import AdamDisplacement, Additive, GaussNewton, StepControl, StopReason
from learngn.optimise.levels import levels_of_pair
from learngn.regularise import Diffusion, apply_regulariser
from learngn.settings import Level, schedule

LEVELS = schedule((4, 2, 1), (25, 25, 25), (0.05, 0.005))
SHAPES = [(48, 40), (32, 36, 28)]


def translation(points):
    shift = torch.tensor([2.3, -1.6, 1.1], dtype=points.dtype)[: len(points)]
    return shift.reshape(-1, *[1] * (points.ndim - 1)).expand_as(points)


def sinusoid(points):
    return torch.stack([1.8 * torch.sin(2 * torch.pi * points.flip(0)[a] / 40 + a) for a in range(len(points))])


@pytest.mark.parametrize("truth", [translation, sinusoid])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_known_displacement_is_recovered(known_pair, inner_error, shape, truth):
    fixed, moving, u = known_pair(shape, truth)
    result = AdamDisplacement(LEVELS)(fixed, moving, np.eye(len(shape) + 1))
    assert result.grid.same_space(fixed.grid)
    assert result.stop is StopReason.ITERATIONS
    assert inner_error(result.field, u) < 0.4 < inner_error(torch.zeros_like(u), u)


def test_affine_follows_the_displacement(known_pair, inner_error):
    """With the translation in the affine nothing is left for the displacement."""
    fixed, moving, u = known_pair((40, 36), translation)
    matrix = np.eye(3)
    matrix[:-1, -1] = u[0, :, 0, 0].numpy()
    result = AdamDisplacement(LEVELS)(fixed, moving, matrix)
    assert inner_error(result.field, torch.zeros_like(u)) < 0.15


def test_first_step_is_the_rate_against_the_gradient():
    """Without a memory Adam goes by the sign alone; the gradient comes from differences of the energy."""
    grid, rate, lam = Grid.from_spacing((7, 6), (1.0, 1.5)), 0.03, 0.4
    axes = torch.meshgrid(*[torch.arange(n, dtype=torch.float64) for n in grid.shape], indexing="ij")
    moving = torch.sin(axes[0] / 2 + axes[1] / 3)[None, None]
    pair = FeatureImage(moving.roll(1, 2) + 0.1, grid), FeatureImage(moving, grid)
    start = 0.4 * torch.cos(axes[0] - torch.stack([axes[1], 2 * axes[1]]))[None]
    (level,) = levels_of_pair([Level(1, 1, lam)], *pair, np.eye(3))

    def energy(u):
        residual = level.compared(u).warped - level.fixed.data
        return float((residual**2).sum() + lam * (u * apply_regulariser(Diffusion(), u, grid)).sum()) / 2

    got = AdamDisplacement([level.level], rate=rate)(*pair, np.eye(3), start).field - start
    for index in np.ndindex(*start.shape):
        nudge = torch.zeros_like(start)
        nudge[index] = 1e-6
        slope = (energy(start + nudge) - energy(start - nudge)) / 2e-6
        assert abs(slope) < 1e-4 or float(got[index]) == pytest.approx(-rate * np.sign(slope), rel=1e-3)
    assert float(got.abs().min()) > 0.9 * rate


def test_energy_is_that_of_gauss_newton(known_pair):
    """At the same displacement both write down the same: a zero rate or step stands still."""
    fixed, moving, u = known_pair((30, 28, 24), sinusoid, (1.0, 1.0, 1.6))
    level = Level(2, 1, 0.07)
    still = StepControl(longest=1e-9, min_jacobian=-float("inf"), memory=0)
    newton = GaussNewton([level], lineariser=Analytic(), update=Additive(), control=still)
    ours = AdamDisplacement([level], rate=1e-9)(fixed, moving, np.eye(4), 0.6 * u).history[0]
    theirs = newton(fixed, moving, np.eye(4), 0.6 * u).history[0]
    for name in ("energy", "data_energy", "regularity", "min_jacobian"):
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=1e-5), name
    assert ours.regularity > 0
    assert (ours.level, ours.stride, ours.shape, ours.lam) == (theirs.level, theirs.stride, theirs.shape, theirs.lam)


def test_energy_falls(known_pair):
    fixed, moving, _ = known_pair((48, 40), sinusoid)
    result = AdamDisplacement([Level(1, 60, 0.01)], rate=0.1)(fixed, moving, np.eye(3))
    energies = [record.energy for record in result.history]
    assert np.diff(energies[:5]).max() < 0
    assert energies[-1] < 0.1 * energies[0]


def test_history_keeps_the_books(known_pair):
    fixed, moving, _ = known_pair((48, 40), sinusoid)
    seen = []
    result = AdamDisplacement(LEVELS)(fixed, moving, np.eye(3), callback=seen.append)
    assert tuple(seen) == result.history
    assert [(h.level, h.iteration) for h in seen] == [(k, i) for k in range(3) for i in range(25)]
    for record in seen:
        assert record.energy == pytest.approx(record.data_energy + record.regularity, rel=1e-9)
        assert 0 < record.update_mean <= record.update_max
        assert record.shape == fixed.grid.coarsened(record.stride).shape
        assert record.lam == LEVELS[record.level].lam
        assert record.accepted
        assert record.solver_iterations == 0


def test_gradient_mode_of_the_caller_does_not_matter(known_pair):
    fixed, moving, _ = known_pair((40, 36), translation)
    method = AdamDisplacement(schedule((4, 2), (5, 5), (0.05, 0.01)))
    free = method(fixed, moving, np.eye(3))
    with torch.no_grad():
        bound = method(fixed, moving, np.eye(3))
        assert not torch.is_grad_enabled()
    assert not free.field.requires_grad
    assert torch.equal(free.field, bound.field)


def test_same_inputs_same_bytes(known_pair):
    fixed, moving, _ = known_pair((40, 36, 32), sinusoid)
    method = AdamDisplacement(schedule((4, 2), (6, 6), (0.05, 0.01)))
    first, second = (method(fixed, moving, np.eye(4)) for _ in range(2))
    assert first.field.numpy().tobytes() == second.field.numpy().tobytes()
    assert [dataclasses.astuple(h) for h in first.history] == [dataclasses.astuple(h) for h in second.history]


def test_start_is_not_written_into(known_pair):
    fixed, moving, u = known_pair((40, 36), translation)
    start = u.clone()
    AdamDisplacement([Level(1, 3, 0.01)])(fixed, moving, np.eye(3), start)
    assert torch.equal(start, u)


def test_samples_of_a_batch():
    """Two pairs at once: each goes its own way."""
    grid = Grid.from_spacing((12, 10, 8))
    generator = torch.Generator().manual_seed(0)
    fixed, moving = (torch.randn(2, 2, *grid.shape, generator=generator).cumsum(2) / 3 for _ in range(2))
    method = AdamDisplacement([Level(1, 4, 1.0)])
    both = method(FeatureImage(fixed, grid), FeatureImage(moving, grid), np.eye(4)).field
    for i in range(2):
        alone = method(FeatureImage(fixed[i : i + 1], grid), FeatureImage(moving[i : i + 1], grid), np.eye(4)).field
        torch.testing.assert_close(both[i : i + 1], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_rate_that_leads_nowhere(rate):
    with pytest.raises(SettingsError, match="learning rate"):
        AdamDisplacement(LEVELS, rate=rate)
