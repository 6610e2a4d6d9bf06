"""Landmarks that guide the registration: energy, derivative and bound, units, and registration by landmarks only."""

import numpy as np
import pytest
import torch

from learngn.errors import LandmarkError
from learngn.features import FeatureImage
from learngn.geometry import sampling
from learngn.geometry.grid import Grid, apply_affine
from learngn.kernels.stencils import full_blocks
from learngn.linearise import NormalEquations
from learngn.optimise import (
    AdamDisplacement,
    Compositional,
    Exponential,
    GaussNewton,
    LandmarkPairs,
    Symmetric,
    at_full_resolution,
)
from learngn.optimise.landmarks import LandmarkTerm
from learngn.settings import Level, schedule

GRIDS = [Grid.from_spacing((9, 8), (1.5, 2.0), (3, -2)), Grid.from_spacing((7, 6, 5), (1.0, 1.5, 4.0), (3, -2, 7))]


def pairs_on(grid, rng, count=12, **options):
    """Random points of a grid, and where they lie a few mm away."""
    index = rng.uniform(0, np.array(grid.shape) - 1, size=(count, grid.ndim))
    fixed = grid.index_to_world(index)
    return LandmarkPairs(fixed, fixed + rng.normal(scale=2, size=fixed.shape), **options)


def nothing(grid, like):
    """Normal equations of features without content."""
    ndim = grid.ndim
    blocks = like.new_zeros((1, ndim * (ndim + 1) // 2, *grid.shape))
    return NormalEquations(blocks, like.new_zeros((1, ndim, *grid.shape)), torch.zeros(1, dtype=torch.float64))


def term_at(pairs, grid, u, world=None):
    world = np.eye(grid.ndim + 1) if world is None else world
    return LandmarkTerm(pairs, grid, world, u).add_to(nothing(grid, u), u)


@pytest.mark.parametrize("scale", [float("inf"), 3.0])
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_energy_is_the_formula(grid, scale, rng):
    pairs = pairs_on(grid, rng, weight=0.7, confidence=rng.uniform(0, 2, 12), scale=scale)
    u = torch.as_tensor(rng.normal(size=(1, grid.ndim, *grid.shape)))
    world = np.eye(grid.ndim + 1)
    world[:-1] += rng.normal(scale=0.1, size=(grid.ndim, grid.ndim + 1))
    index = grid.world_to_index(pairs.fixed)
    there = grid.index_to_world(index + sampling.sample_points(u, torch.as_tensor(index)).numpy())
    squared = ((there - apply_affine(np.linalg.inv(world), pairs.moving)) ** 2).sum(1)
    robust = squared / (1 + squared / scale**2)
    expected = 0.7 / 2 * grid.size * (pairs.confidence * robust).sum() / pairs.confidence.sum()
    assert float(term_at(pairs, grid, u, world).energy) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("scale", [float("inf"), 3.0])
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_gradient_agrees_with_differences(grid, scale, rng):
    pairs = pairs_on(grid, rng, weight=0.7, confidence=rng.uniform(0, 2, 12), scale=scale)
    u, direction = (torch.as_tensor(rng.normal(size=(1, grid.ndim, *grid.shape))) for _ in range(2))
    h = 1e-5
    slope = float(term_at(pairs, grid, u + h * direction).energy - term_at(pairs, grid, u - h * direction).energy)
    predicted = float((term_at(pairs, grid, u).gradient * direction).sum())
    assert predicted == pytest.approx(slope / (2 * h), rel=1e-6)


def test_gradient_by_a_symmetric_step(rng):
    """Half of a step into each image, of smooth displacements: to first order the step moves the landmark."""
    grid = Grid.from_spacing((20, 18), (1.5, 2.0))
    inner = grid.index_to_world(rng.uniform(5, 12, size=(12, 2)))
    pairs = LandmarkPairs(inner, inner + rng.normal(scale=2, size=inner.shape), scale=4.0)
    u = sampling.resize(torch.as_tensor(rng.normal(scale=0.2, size=(2, 2, 3, 3))), grid.shape)
    step = sampling.resize(torch.as_tensor(rng.normal(size=(1, 2, 3, 3))), grid.shape)
    update, h = Symmetric(Exponential()), 1e-4
    slope = float(term_at(pairs, grid, update(u, h * step)).energy - term_at(pairs, grid, update(u, -h * step)).energy)
    predicted = float((term_at(pairs, grid, u).gradient * step).sum())
    assert predicted == pytest.approx(slope / (2 * h), rel=0.1)


@pytest.mark.parametrize("scale", [float("inf"), 3.0])
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_the_blocks_are_an_upper_bound(grid, scale, rng):
    """``E(u + δ) ≤ E(u) + <g, δ> + ½ <δ, B δ>`` for every δ: a step of the lumped system never raises the energy."""
    pairs = pairs_on(grid, rng, scale=scale)
    u = torch.as_tensor(rng.normal(size=(1, grid.ndim, *grid.shape)))
    at = term_at(pairs, grid, u)
    blocks = full_blocks(at.blocks, grid.ndim)
    for size in (0.01, 0.3, 3.0):
        for _ in range(5):
            step = torch.as_tensor(rng.normal(scale=size, size=u.shape))
            moved = step.movedim(1, -1)
            bound = (at.gradient * step).sum() + (moved * (blocks @ moved[..., None])[..., 0]).sum() / 2
            assert float(term_at(pairs, grid, u + step).energy) <= float(at.energy + bound) + 1e-9


def test_a_constant_step_meets_the_bound():
    """Where all voxels about a landmark move alike nothing is lost by lumping: one step is the minimum."""
    grid = Grid.from_spacing((9, 8), (1.5, 2.0))
    pairs = LandmarkPairs(np.array([[4.2, 7.1]]), np.array([[6.0, 5.0]]))
    at = term_at(pairs, grid, torch.zeros((1, 2, 9, 8), dtype=torch.float64))
    total = full_blocks(at.blocks, 2).sum(dim=(0, 1, 2))
    step = torch.linalg.solve(total, -at.gradient.sum(dim=(0, 2, 3)))
    np.testing.assert_allclose(step.numpy() * grid.spacing, [1.8, -2.1], atol=1e-9)


@pytest.mark.parametrize(
    "grid",
    [Grid.from_spacing((12, 10, 8), (2.0, 2.0, 6.0)), Grid.from_spacing((48, 40, 16), (0.5, 0.5, 3.0)),
     Grid.from_spacing((6, 10, 48), (4.0, 2.0, 1.0))], ids=str,
)  # fmt: skip
def test_the_same_pull_on_every_grid(grid, rng):
    """Mean energy and mean force in mm do not know the voxels."""
    fixed = rng.uniform((3, 3, 4), (20, 16, 40), size=(9, 3))
    pairs = LandmarkPairs(fixed, fixed + np.array([1.5, -1.0, 3.0]), weight=2.0)
    u = torch.zeros((1, 3, *grid.shape), dtype=torch.float64)
    at = term_at(pairs, grid, u)
    assert float(at.energy) / grid.size == pytest.approx(2 / 2 * (1.5**2 + 1 + 9))
    force = at.gradient.sum(dim=(0, 2, 3, 4)).numpy() / grid.spacing / grid.size
    np.testing.assert_allclose(force, [-3.0, 2.0, -6.0], rtol=1e-9)
    stiffness = torch.diagonal(full_blocks(at.blocks, 3).sum(dim=(0, 1, 2, 3))).numpy() / grid.spacing**2 / grid.size
    np.testing.assert_allclose(stiffness, 2.0, rtol=1e-9)


def test_features_keep_their_part(rng):
    grid = GRIDS[0]
    u = torch.as_tensor(rng.normal(size=(1, 2, *grid.shape)))
    own = NormalEquations(torch.rand(1, 3, *grid.shape).double(), torch.rand(1, 2, *grid.shape).double(),
                          torch.ones(1, dtype=torch.float64))  # fmt: skip
    term = LandmarkTerm(pairs_on(grid, rng), grid, np.eye(3), u)
    alone, both = term.add_to(nothing(grid, u), u), term.add_to(own, u)
    for name in ("blocks", "gradient", "energy"):
        torch.testing.assert_close(getattr(both, name), getattr(own, name) + getattr(alone, name))
    assert not alone.blocks[:, 1].any()  # the components do not couple


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("ndim", [2, 3])
def test_landmarks_alone_register(ndim, symmetric, rng):
    """Features without content, points that follow a smooth map: the points are met, and what lies between follows."""
    grid = Grid.from_spacing((32, 28, 24)[:ndim], (1.0, 1.5, 2.0)[:ndim])
    index = rng.uniform(5, np.array(grid.shape) - 6, size=(60, ndim))
    fixed = grid.index_to_world(index)
    displacement = np.stack([3 * np.sin(fixed[:, -1 - a] / 12) for a in range(ndim)], axis=1)
    held_out = slice(0, 15)
    pairs = LandmarkPairs(fixed[15:], fixed[15:] + displacement[15:])
    blank = FeatureImage(torch.zeros(1, 1, *grid.shape), grid)
    update = Symmetric(Exponential()) if symmetric else Compositional()
    method = GaussNewton(schedule((4, 2), (6, 8), (0.01, 0.003)), update=update)
    result = method(blank, blank, np.eye(ndim + 1), landmarks=pairs)
    field = result.field
    if symmetric:
        field = at_full_resolution(result, grid).forward
    field = sampling.resize_field(field, grid.shape)
    moved = sampling.sample_points(field.double(), torch.as_tensor(index)).numpy() * grid.spacing
    error = np.linalg.norm(moved - displacement, axis=1)
    before = np.linalg.norm(displacement, axis=1)
    assert error[15:].mean() < 0.15 * before[15:].mean()
    assert error[held_out].mean() < 0.4 * before[held_out].mean()


def test_an_outlier_does_not_pull_with_a_scale(rng):
    grid = Grid.from_spacing((40, 36))
    fixed = rng.uniform(8, 28, size=(30, 2))
    moving = fixed + np.array([2.0, -1.0])
    moving[0] += (-25, 25)
    blank = FeatureImage(torch.zeros(1, 1, *grid.shape), grid)
    errors = []
    for scale in (float("inf"), 3.0):
        pairs = LandmarkPairs(fixed, moving, scale=scale)
        field = GaussNewton(schedule((4, 2), (10, 10), (0.1, 0.03)))(blank, blank, np.eye(3), landmarks=pairs).field
        found = sampling.sample_points(sampling.resize_field(field, grid.shape), torch.as_tensor(fixed).float())
        errors.append((found - torch.tensor([2.0, -1.0])).norm(dim=1)[1:].mean())
    assert errors[1] < 0.3 < errors[0]


def test_no_confidence_no_pull(rng):
    grid = GRIDS[0]
    pairs = pairs_on(grid, rng, count=2)
    sure = LandmarkPairs(pairs.fixed, pairs.moving, confidence=np.array([1.0, 0.0]))
    first = LandmarkPairs(pairs.fixed[:1], pairs.moving[:1])
    u = torch.zeros((1, 2, *grid.shape), dtype=torch.float64)
    for name in ("blocks", "gradient", "energy"):
        torch.testing.assert_close(getattr(term_at(sure, grid, u), name), getattr(term_at(first, grid, u), name))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"moving": np.zeros((3, 3))}, "2, 3.* and .*3, 3"),
        ({"fixed": np.zeros((0, 3)), "moving": np.zeros((0, 3))}, "as many points in both"),
        ({"fixed": np.zeros((2, 4)), "moving": np.zeros((2, 4))}, "as many points in both"),
        ({"fixed": np.zeros(3), "moving": np.zeros(3)}, "as many points in both"),
        ({"moving": np.full((2, 3), np.nan)}, "NaN or infinity"),
        ({"fixed": np.full((2, 3), np.inf)}, "NaN or infinity"),
        ({"weight": 0.0}, "weight 0"),
        ({"weight": -1.0}, "weight -1"),
        ({"weight": float("nan")}, "weight nan"),
        ({"weight": float("inf")}, "weight inf"),
        ({"scale": 0.0}, "scale 0"),
        ({"scale": float("nan")}, "scale nan"),
        ({"confidence": np.ones(3)}, r"confidence.*\(3,\)"),
        ({"confidence": np.array([-1.0, 1.0])}, "confidence"),
        ({"confidence": np.zeros(2)}, "one above 0"),
        ({"confidence": np.array([np.nan, 1.0])}, "confidence"),
        ({"confidence": np.array([np.inf, 1.0])}, "confidence"),
    ],
)
def test_refusals(change, message):
    good = {"fixed": np.zeros((2, 3)), "moving": np.ones((2, 3))}
    LandmarkPairs(**good)
    with pytest.raises(LandmarkError, match=message):
        LandmarkPairs(**(good | change))


def test_landmarks_of_another_dimension_or_a_batch_are_refused(rng):
    flat, solid = GRIDS
    blank = FeatureImage(torch.zeros(1, 1, *flat.shape), flat)
    two = FeatureImage(torch.zeros(2, 1, *flat.shape), flat)
    method = GaussNewton([Level(1, 1, 1.0)])
    with pytest.raises(LandmarkError, match="3D"):
        method(blank, blank, np.eye(3), landmarks=pairs_on(solid, rng))
    with pytest.raises(LandmarkError, match="2 samples"):
        method(two, two, np.eye(3), landmarks=pairs_on(flat, rng))
    with pytest.raises(LandmarkError, match="Adam"):
        AdamDisplacement([Level(1, 1, 1.0)])(blank, blank, np.eye(3), landmarks=pairs_on(flat, rng))
