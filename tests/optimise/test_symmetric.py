"""Symmetric and diffeomorphic Gauss-Newton: exchanging the images inverts the result, and nothing folds."""

import numpy as np
import pytest
import torch

from learngn.features import FeatureImage
from learngn.geometry import sampling
from learngn.geometry.grid import Grid
from learngn.learning.unrolled import unrolled
from learngn.optimise import (
    Additive,
    Compositional,
    Exponential,
    GaussNewton,
    Symmetric,
    at_full_resolution,
    inverse_error,
)
from learngn.optimise.unfold import smallest_determinant
from learngn.settings import Level, schedule

LEVELS = schedule((4, 2, 1), (6, 6, 6), (0.05, 0.005))
SHAPES = [(48, 40), (28, 30, 24)]
HALVES = [Additive(), Compositional(), Exponential()]


def bump(points):
    """Smooth, up to three voxels, at rest at the border."""
    ndim = len(points)
    bell = torch.ones(points.shape[1:], dtype=points.dtype)
    for p, n in zip(points, points.shape[1:], strict=True):
        bell = bell * torch.sin(torch.pi * (p + 0.5) / n).clamp_min(0)
    return torch.stack([(3.0, -2.4, 2.0)[a] * bell * torch.cos(points[(a + 1) % ndim] / 14) for a in range(ndim)])


def identity(shape):
    return np.eye(len(shape) + 1)


@pytest.mark.parametrize("half", HALVES, ids=repr)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_known_displacement_is_recovered(known_pair, inner_error, shape, half):
    fixed, moving, u = known_pair(shape, bump)
    result = GaussNewton(LEVELS, update=Symmetric(half))(fixed, moving, identity(shape))
    forward = at_full_resolution(result, fixed.grid).forward
    assert inner_error(forward, u) < 0.3 < inner_error(torch.zeros_like(u), u)


@pytest.mark.parametrize("half", HALVES, ids=repr)
def test_exchanging_the_images_inverts(known_pair, half):
    """register(A, B) and register(B, A) are each other's inverse; one-sided they are not nearly so."""
    shape = (48, 40)
    fixed, moving, _ = known_pair(shape, bump)
    errors = []
    for update in (Symmetric(half), half):
        method = GaussNewton(LEVELS, update=update)
        there, back = method(fixed, moving, identity(shape)), method(moving, fixed, identity(shape))
        there, back = (at_full_resolution(r, fixed.grid).forward for r in (there, back))
        errors.append(inverse_error(there, back))
    assert errors[0] < 0.05
    assert errors[0] < 0.5 * errors[1]


def test_the_halves_are_exchanged_to_rounding(known_pair):
    shape = (48, 40)
    fixed, moving, _ = known_pair(shape, bump)
    method = GaussNewton(LEVELS, update=Symmetric(Exponential()), overlap=True)
    there, back = method(fixed, moving, identity(shape)), method(moving, fixed, identity(shape))
    torch.testing.assert_close(there.field, back.into_fixed, rtol=0, atol=2e-3)
    torch.testing.assert_close(there.into_fixed, back.field, rtol=0, atol=2e-3)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_forward_and_inverse_belong_together(known_pair, shape):
    fixed, moving, _ = known_pair(shape, bump)
    result = GaussNewton(LEVELS, update=Symmetric(Compositional()))(fixed, moving, identity(shape))
    fields = at_full_resolution(result, fixed.grid)
    assert fields.error == pytest.approx(inverse_error(fields.forward, fields.inverse))
    assert fields.error < 0.05
    assert inverse_error(fields.inverse, fields.forward) < 0.05
    # The inverse warps the fixed image onto the moving one.
    warped = sampling.warp(fixed.data, fields.inverse, identity(shape), shape)
    assert float((warped - moving.data).square().mean()) < 0.05 * float((fixed.data - moving.data).square().mean())


def test_a_scan_with_itself_stays_where_it_is(known_pair):
    fixed, _, _ = known_pair((48, 40), bump)
    fields = at_full_resolution(
        GaussNewton(LEVELS, update=Symmetric(Exponential()))(fixed, fixed, np.eye(3)), fixed.grid, diffeomorphic=True
    )
    assert not fields.forward.any()
    assert not fields.inverse.any()
    assert fields.error == 0


@pytest.mark.parametrize("half", HALVES, ids=repr)
def test_a_start_is_split_in_halves(known_pair, inner_error, half):
    """A known displacement to begin with, at another shape: no step is needed."""
    shape = (48, 40)
    fixed, moving, u = known_pair(shape, bump)
    start = sampling.resize_field(u, (24, 20))
    method = GaussNewton([Level(1, 0, 0.005)], update=Symmetric(half))
    result = method(fixed, moving, np.eye(3), start)
    assert torch.equal(result.into_fixed, -result.field)
    assert inner_error(at_full_resolution(result, fixed.grid).forward, u) < 0.1


def test_affine_follows(known_pair, texture, lattice, inner_error):
    """The moving image is seen through the affine from half-way too."""
    shape = (48, 40)
    value, points = texture(shape), lattice(shape)
    fixed = FeatureImage(value(points + bump(points)), Grid.from_spacing(shape, origin=(0, 0)))
    moving = FeatureImage(value(points), Grid.from_spacing(shape, origin=(7, -3)))
    matrix = np.eye(3)
    matrix[:-1, -1] = 7, -3
    result = GaussNewton(LEVELS, update=Symmetric(Exponential()))(fixed, moving, matrix)
    assert inner_error(at_full_resolution(result, fixed.grid).forward, bump(points)[None].float()) < 0.3


def torn_pair(shape=(32, 32)):
    """A disc and a half onto two discs: what folds when hardly anything holds it."""
    grid = Grid.from_spacing(shape)
    axes = torch.meshgrid(*[torch.arange(float(n)) for n in shape], indexing="ij")

    def disc(i, j, radius):
        return torch.sigmoid(radius - ((axes[0] - i) ** 2 + (axes[1] - j) ** 2).sqrt())

    fixed = FeatureImage((disc(9, 16, 4) + disc(23, 16, 4))[None, None], grid)
    return fixed, FeatureImage((disc(16, 12, 6) + 0.5 * disc(16, 23, 4))[None, None], grid)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("factor", [1, 2])
def test_diffeomorphic_has_no_folds_there_and_back(symmetric, factor):
    """At every corner of every cell; on the image's grid, which may be finer than the finest level's."""
    fixed, moving = torn_pair()
    update = Symmetric(Exponential()) if symmetric else Exponential()
    method = GaussNewton(schedule((2, 1), (8, 8), (0.03, 0.003)), update=update)
    result = method(fixed, moving, np.eye(3))
    grid = fixed.grid.resized([factor * n for n in fixed.grid.shape])
    fields = at_full_resolution(result, grid, diffeomorphic=True)
    for field in (fields.forward, fields.inverse):
        assert tuple(field.shape[2:]) == grid.shape
        assert float(smallest_determinant(field).min()) >= 0.01
    assert fields.error < 0.3 * factor


def test_one_sided_has_no_inverse_unless_asked_for(known_pair):
    fixed, moving, _ = known_pair((32, 28), bump)
    result = GaussNewton(schedule((4, 2), (3, 3), (0.05, 0.01)))(fixed, moving, np.eye(3))
    assert result.into_fixed is None
    fields = at_full_resolution(result, fixed.grid)
    assert (fields.inverse, fields.error) == (None, None)
    assert at_full_resolution(result, fixed.grid, diffeomorphic=True).inverse is not None


def test_energy_falls_and_steps_are_guarded(known_pair):
    fixed, moving, _ = known_pair((48, 40), bump)
    history = GaussNewton([Level(1, 10, 0.01)], update=Symmetric(Compositional()))(fixed, moving, np.eye(3)).history
    assert history[-1].energy < 0.2 * history[0].energy or history[-1].energy < 1e-3
    assert all(record.min_jacobian > 0 for record in history)
    torn = GaussNewton(schedule((2, 1), (8, 8), (0.03, 0.003)), update=Symmetric(Compositional()))
    assert min(record.min_jacobian for record in torn(*torn_pair(), np.eye(3)).history) > 0


def test_unroll_is_differentiable(known_pair):
    fixed, moving, _ = known_pair((24, 20), bump)
    features = moving.data.clone().requires_grad_()
    method = GaussNewton(schedule((2, 1), (2, 2), (0.05, 0.01)), update=Symmetric(Exponential()))
    ends = unrolled(method, fixed, FeatureImage(features, moving.grid), np.eye(3))
    assert [tuple(u.shape) for u, _ in ends] == [(2, 2, 12, 10), (2, 2, 24, 20)]
    method.update.whole(ends[-1][0]).square().sum().backward()
    assert torch.isfinite(features.grad).all()
    assert features.grad.any()
