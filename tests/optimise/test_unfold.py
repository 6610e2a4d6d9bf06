"""No folds: what counts as one, that none is left, and that nothing else is touched."""

import itertools
import math

import numpy as np
import pytest
import torch

from learngn.geometry import sampling
from learngn.optimise import inverse_error, unfolded
from learngn.optimise.unfold import smallest_determinant

SHAPES = [(7, 6), (5, 4, 6)]


def noise(shape, size, rng):
    return torch.as_tensor(rng.normal(scale=size, size=(1, len(shape), *shape)))


def affine(shape, rng, size=0.2):
    points = torch.stack(torch.meshgrid(*[torch.arange(n, dtype=torch.float64) for n in shape], indexing="ij"))
    linear = torch.as_tensor(rng.normal(scale=size, size=(len(shape), len(shape))))
    return torch.einsum("ab,b...->a...", linear, points)[None], float(torch.linalg.det(linear + torch.eye(len(shape))))


def volume_of_worst_simplex(u):
    """At every voxel, of the simplices that it spans with one neighbour along each axis: the smallest signed volume,
    in units of what it was; a plain loop."""
    shape = u.shape[2:]
    moved = np.moveaxis(u[0].numpy(), 0, -1) + np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    worst = np.full(shape, np.inf)
    for x in np.ndindex(*shape):
        for sides in itertools.product((1, -1), repeat=len(shape)):
            edges = []
            for axis, side in enumerate(sides):
                y = list(x)
                y[axis] += side
                if not 0 <= y[axis] < shape[axis]:
                    break
                edges.append(side * (moved[tuple(y)] - moved[x]))
            else:
                worst[x] = min(worst[x], np.linalg.det(np.stack(edges, 1)))
    return worst


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_folds_are_those_of_the_simplices_at_the_corners(shape, rng):
    u = noise(shape, 0.4, rng)
    expected = volume_of_worst_simplex(u)
    found = smallest_determinant(u)
    assert found.shape == (1, *shape)
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-12)
    assert 0 < (found <= 0).sum() < math.prod(shape)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_determinant_of_an_affine_field(shape, rng):
    u, determinant = affine(shape, rng)
    torch.testing.assert_close(smallest_determinant(u), torch.full((1, *shape), determinant, dtype=torch.float64))


def test_a_fold_between_two_voxels_is_seen():
    """Central differences do not see it: the voxel before has stepped over the next one, and both lie even."""
    u = torch.zeros((1, 2, 9, 8), dtype=torch.float64)
    u[0, 0, 4] = 1.5
    central = u.roll(-1, 2)[0, 0, 4, 4] - u.roll(1, 2)[0, 0, 4, 4]
    assert float(central) == 0
    assert float(smallest_determinant(u)[0, 4, 4]) == -0.5


def test_an_axis_of_one_voxel():
    u = torch.zeros((2, 3, 6, 5, 1))
    u[1, 0, 3] = 2.0
    assert (smallest_determinant(u)[0] == 1).all()
    assert float(smallest_determinant(u)[1].min()) == -1
    assert (smallest_determinant(unfolded(u[1:])) >= 0.01).all()


@pytest.mark.parametrize("kind", ["white", "smooth", "border", "swap", "huge"])
@pytest.mark.parametrize("shape", [(30, 26), (14, 12, 13), (9, 2, 8), (3, 3)], ids=str)
def test_no_fold_is_left(kind, shape, rng):
    ndim = len(shape)
    if kind == "smooth":
        u = sampling.resize(noise([max(2, n // 4) for n in shape], 3.0, rng), shape)
    elif kind == "border":
        u = torch.zeros((1, ndim, *shape), dtype=torch.float64)
        u[0, 0, 0], u[0, 1, ..., -1] = 4.0, -3.0
    elif kind == "swap":  # the first axis mirrored, which smoothing cannot mend
        u = torch.zeros((1, ndim, *shape), dtype=torch.float64)
        u[0, 0] = (shape[0] - 1 - 2 * torch.arange(shape[0])).reshape(-1, *[1] * (ndim - 1))
    else:
        u = noise(shape, {"white": 1.0, "huge": 30.0}[kind], rng)
    u = u.float()
    mended = unfolded(u)
    assert (smallest_determinant(mended) >= 0.01).all()
    assert (volume_of_worst_simplex(mended.double()) > 0).all()
    assert float(mended.abs().max()) <= float(u.abs().max()) * 1.5


@pytest.mark.parametrize("shape", [(30, 26), (14, 12, 13)], ids=str)
def test_a_field_without_folds_stays_as_it_is(shape, rng):
    u = sampling.resize(noise([n // 4 for n in shape], 0.5, rng), shape).float()
    assert (smallest_determinant(u) >= 0.01).all()
    assert torch.equal(unfolded(u), u)


def test_far_from_a_fold_nothing_changes(rng):
    """Bit by bit, and an affine field stays affine about it."""
    u, determinant = affine((40, 36), rng, 0.05)
    assert determinant > 0.5
    folded = u.clone()
    folded[0, 0, 20, 18] += 3
    mended = unfolded(folded)
    near = torch.zeros((40, 36), dtype=torch.bool)
    near[12:29, 10:27] = True
    assert torch.equal(mended[..., ~near], folded[..., ~near])
    assert float((mended - u).norm(dim=1).max()) < 1.5
    assert (smallest_determinant(mended) >= 0.01).all()


def test_a_wide_fold_at_the_border_is_mended_where_it_is():
    """It takes more than its neighbours, the border itself included; the far side of the field keeps its shift."""
    u = torch.zeros((1, 2, 64, 20))
    u[0, 1] = 1.5
    u[0, 0, :3, :3] = 12.0
    mended = unfolded(u)
    assert (smallest_determinant(mended) >= 0.01).all()
    torch.testing.assert_close(mended[..., 50:, :], u[..., 50:, :], rtol=0, atol=0.05)
    torch.testing.assert_close(mended[0, 1], u[0, 1], rtol=0, atol=1e-4)


def test_the_bound_can_be_chosen(rng):
    u = noise((12, 11), 0.5, rng)
    assert (smallest_determinant(unfolded(u, smallest=0.3)) >= 0.3).all()


class TestInverseError:
    def test_of_an_inverse(self):
        """A translation and its opposite; what leaves the grid does not count."""
        u = torch.zeros((1, 2, 12, 10))
        u[0, 0] = 3
        assert inverse_error(u, -u) == pytest.approx(0, abs=1e-6)
        assert inverse_error(u, torch.zeros_like(u)) == pytest.approx(3)

    def test_weight(self):
        u = torch.zeros((1, 2, 12, 10))
        u[0, 0, :6] = 1
        weight = torch.zeros((1, 1, 12, 10))
        weight[..., :3, :] = 1
        assert inverse_error(u, torch.zeros_like(u)) == pytest.approx(0.5)
        assert inverse_error(u, torch.zeros_like(u), weight) == pytest.approx(1)
        assert inverse_error(u, torch.zeros_like(u), 0 * weight) == 0
