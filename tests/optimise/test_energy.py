"""The energy of a level by itself: its value, and its quadratic model where that is exact."""

import numpy as np
import pytest
import torch

from learngn.features import FeatureImage
from learngn.geometry.grid import Grid
from learngn.linearise import Linearisation
from learngn.optimise import Additive, Descent, Energy, StepControl, StopReason, Symmetric
from learngn.optimise.levels import levels_of_pair
from learngn.regularise import Diffusion
from learngn.settings import Level
from learngn.solve import BlockJacobi, NormalSolver, SolveStatus

SHAPES = [(14, 12), (11, 12, 10)]
UPDATES = [Additive(), Symmetric(Additive())]
LAM = 0.3
MARGIN = 3  # voxels at the border: shorter displacements further in stay inside the image, where ramps go on


class Exact:
    """The linearisation of images whose slope is known, (C, D)."""

    refinement = 1

    def __init__(self, slope):
        self.slope = slope

    def normal_equations(self, fixed, warped, weight=None):
        shape = fixed.shape[2:]
        jacobian = self.slope.reshape(1, *self.slope.shape, *[1] * len(shape)).expand(1, *self.slope.shape, *shape)
        return Linearisation(warped - fixed, jacobian, weight).normal_equations()


def inner(shape):
    return (..., *[slice(MARGIN, -MARGIN)] * len(shape))


def ramps(shape, update, *, masked=False):
    """Energy of two ramps in float64, quadratic in the displacement; if masked, the margin does not count."""
    ndim = len(shape)
    random = torch.Generator().manual_seed(0)
    identity = torch.eye(ndim, dtype=torch.float64)
    # As many channels as axes determine the displacement in every direction, and it is of the order of a voxel.
    theirs = identity + 0.2 * torch.randn(ndim, ndim, generator=random, dtype=torch.float64)
    ours = theirs @ (identity + 0.05 * torch.randn(ndim, ndim, generator=random, dtype=torch.float64))
    points = torch.stack(torch.meshgrid(*[torch.arange(n, dtype=torch.float64) for n in shape], indexing="ij"))
    points = points - points.flatten(1).mean(1).reshape(-1, *[1] * ndim)
    grid = Grid.from_spacing(shape)
    fixed, moving = (FeatureImage(torch.einsum("cd,d...->c...", slope, points)[None], grid) for slope in (ours, theirs))
    if masked:
        weight = torch.zeros(1, 1, *shape, dtype=torch.float64)
        weight[inner(shape)] = 1
        fixed = FeatureImage(fixed.data, grid, weight)
    pair = levels_of_pair([Level(1, 3, LAM)], fixed, moving, np.eye(ndim + 1), symmetric=update.symmetric)[0]
    slope = (ours + theirs) / 2 if update.symmetric else theirs
    stiffness = Diffusion().stiffness(grid, fixed.data)
    return Energy(pair, Exact(slope), stiffness, torch.tensor(LAM, dtype=torch.float64), update)


def displacement(shape, seed):
    """Random, at most half a voxel, and zero in the margin."""
    random = torch.Generator().manual_seed(seed)
    u = torch.zeros(1, len(shape), *shape, dtype=torch.float64)
    u[inner(shape)] = (torch.rand(u.shape, generator=random, dtype=torch.float64) - 0.5)[inner(shape)]
    return u


def start(shape, update):
    u = displacement(shape, 1)
    return torch.cat([u, -u / 2]) if update.symmetric else u


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_value_is_data_and_regularity(shape):
    energy = ramps(shape, Additive(), masked=True)
    u = displacement(shape, 1)
    state = energy(u)
    seen = energy.pair.compared(u)
    data = 0.5 * (seen.weight * (seen.warped - seen.fixed).square()).sum() / u[0, 0].numel()
    regularity = LAM / 2 * (u * energy.stiffness(u)).sum() / u[0, 0].numel()
    assert state.data == pytest.approx(float(data), rel=1e-12)
    assert state.regularity == pytest.approx(float(regularity), rel=1e-12)
    assert state.total == state.data + state.regularity


def change(energy, u, step):
    """Change of the energy with a step, and what the quadratic model says of it."""
    state = energy(u)
    model = energy.quadratic(state)
    found = energy(energy.update(u, step), state.covered).total - state.total
    pairs = [(a, b) for a in range(step.shape[1]) for b in range(a, step.shape[1])]
    data = sum((1 if a == b else 2) * model.blocks[:, k] * step[:, a] * step[:, b] for k, (a, b) in enumerate(pairs))
    elastic = model.lam * (step * model.stiffness(step)).sum()
    told = (data.sum() + elastic) / 2 - (model.rhs * step).sum()
    return found, float(told) / energy.pair.voxels


@pytest.mark.parametrize("update", UPDATES, ids=repr)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_quadratic_model_of_ramps_is_exact(shape, update):
    found, told = change(ramps(shape, update), start(shape, update), displacement(shape, 2))
    assert found == pytest.approx(told, rel=1e-9)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_descent_reaches_the_minimum_of_a_quadratic_energy_in_one_step(shape):
    """Undamped and solved exactly; then the gradient is zero but for rounding."""
    energy = ramps(shape, Additive(), masked=True)
    solver = NormalSolver(tolerance=1e-12, iterations=1000, preconditioner=BlockJacobi)
    free = StepControl(longest=float("inf"), min_jacobian=-float("inf"), update_tolerance=0.0)
    descent = Descent(solver, free, damping=0.0, momentum=0.0)
    rest = torch.zeros(1, len(shape), *shape, dtype=torch.float64)
    step, info = descent.step(energy, energy(rest))
    assert info.status is SolveStatus.CONVERGED
    before, after = energy.quadratic(energy(rest)).rhs, energy.quadratic(energy(rest + step)).rhs
    assert float(step[inner(shape)].abs().max()) < MARGIN  # else ramps would end
    assert float(after.abs().max()) < 1e-8 * float(before.abs().max())


@pytest.mark.parametrize("update", UPDATES, ids=repr)
def test_advance_is_the_first_step_of_run_where_nothing_controls(update):
    shape = SHAPES[0]
    energy = ramps(shape, update)
    free = StepControl(min_jacobian=-float("inf"), memory=0, update_tolerance=0.0)
    descent = Descent(NormalSolver(), free, damping=1e-3, momentum=0.5)
    u = start(shape, update)
    stepped, velocity = u, torch.zeros(1, 2, *shape, dtype=torch.float64)
    for _ in range(energy.pair.level.iterations):
        stepped, velocity = descent.advance(energy, stepped, velocity)
    records = []
    found, stop = descent.run(energy, u, 2, records.append)
    torch.testing.assert_close(found, stepped, rtol=0, atol=1e-12)
    assert stop is StopReason.ITERATIONS
    assert [(r.level, r.iteration) for r in records] == [(2, 0), (2, 1), (2, 2)]
