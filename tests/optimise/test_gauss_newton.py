"""Dense Gauss-Newton: what it recovers, what it must not depend on, and what it writes down."""

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from learngn.features import FeatureImage
from learngn.geometry import sampling
from learngn.geometry.grid import Grid
from learngn.kernels.stencils import difference
from learngn.linearise import Analytic
from learngn.optimise import Additive, GaussNewton, StepControl, StopReason, published_gauss_newton
from learngn.regularise import Diffusion, apply_regulariser
from learngn.settings import Level, schedule
from learngn.solve import NormalSolver

LEVELS = schedule((4, 2, 1), (6, 6, 6), (0.05, 0.005))
SHAPES = [(48, 40), (32, 36, 28)]


def translation(points):
    shift = torch.tensor([2.3, -1.6, 1.1], dtype=points.dtype)[: len(points)]
    return shift.reshape(-1, *[1] * (points.ndim - 1)).expand_as(points)


def sinusoid(points):
    return torch.stack([1.8 * torch.sin(2 * torch.pi * points.flip(0)[a] / 40 + a) for a in range(len(points))])


def identity(shape):
    return np.eye(len(shape) + 1)


@pytest.mark.parametrize("truth", [translation, sinusoid])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_known_displacement_is_recovered(known_pair, inner_error, shape, truth):
    fixed, moving, u = known_pair(shape, truth)
    result = GaussNewton(LEVELS)(fixed, moving, identity(shape))
    assert result.grid.same_space(fixed.grid)
    assert inner_error(result.field, u) < 0.3 < inner_error(torch.zeros_like(u), u)


def test_thick_slices(texture, lattice):
    """The same anatomy, four times as coarse along the last axis: the displacement in mm is found all the same."""
    grid = Grid.from_spacing((36, 32, 10), (1, 1, 4))
    value, points = texture((36, 32, 40)), lattice(grid.shape)
    size = torch.tensor([1.0, 1.0, 4.0], dtype=torch.float64).reshape(-1, 1, 1, 1)
    shift = torch.tensor([2.0, -1.5, 2.5], dtype=torch.float64).reshape(-1, 1, 1, 1)
    fixed, moving = FeatureImage(value(points * size + shift), grid), FeatureImage(value(points * size), grid)
    result = GaussNewton(LEVELS)(fixed, moving, np.eye(4))
    error = (result.field * size - shift)[0, :, 9:-9, 9:-9, 3:-3].norm(dim=0)
    assert float(error.mean()) < 1  # a quarter of a slice


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_scan_with_itself_stays_where_it_is(known_pair, shape):
    fixed, _, _ = known_pair(shape, translation)
    result = GaussNewton(LEVELS)(fixed, fixed, identity(shape))
    assert not result.field.any()
    assert result.stop is StopReason.STATIONARY


def test_one_step_solves_a_quadratic_problem():
    """On linear features the residual is linear in u: a step of the exact solver is the minimum."""
    grid = Grid.from_spacing((9, 8))
    axes = torch.meshgrid(*[torch.arange(n, dtype=torch.float64) for n in grid.shape], indexing="ij")
    features = torch.stack([0.7 * axes[0] - 0.2 * axes[1], 0.4 * axes[1]])[None]
    bump = 0.3 * torch.exp(-((axes[0] - 4) ** 2 + (axes[1] - 4) ** 2) / 2)
    fixed, moving = FeatureImage(features + bump, grid), FeatureImage(features, grid)
    exact = NormalSolver(tolerance=1e-12, iterations=200)
    free = StepControl(longest=float("inf"), min_jacobian=-float("inf"), update_tolerance=0)
    method = GaussNewton(
        [Level(1, 1, 0.5)],
        lineariser=Analytic(symmetric=False),
        solver=exact,
        update=Additive(),
        control=free,
        damping=0,
    )
    result = method(fixed, moving, np.eye(3))
    u = result.field
    jacobian = torch.tensor([[0.7, -0.2], [0.0, 0.4]], dtype=torch.float64)
    residual = torch.einsum("cd,ndij->ncij", jacobian, u) - bump
    gradient = torch.einsum("cd,ncij->ndij", jacobian, residual) + 0.5 * apply_regulariser(Diffusion(), u, grid)
    assert float(gradient.abs().max()) < 1e-8


@pytest.mark.parametrize(("order", "flips"), [((0, 1, 2), (0, 2)), ((2, 0, 1), ()), ((1, 0, 2), (0, 1, 2))], ids=str)
def test_orientation_of_the_arrays_does_not_matter(known_pair, order, flips):
    """Storing either image with its axes flipped and permuted gives the same displacement in mm."""
    fixed, moving, _ = known_pair((32, 24, 16), sinusoid, (1.0, 1.5, 2.0))
    levels = schedule((4, 2), (4, 4), (0.05, 0.01))
    method = GaussNewton(levels)

    def millimetres(result):
        return torch.tensor(result.grid.affine[:-1, :-1], dtype=torch.float32) @ result.field[0].flatten(1)

    expected = method(fixed, moving, np.eye(4))
    plain = millimetres(expected).reshape(3, *expected.grid.shape)
    for turn_fixed, turn_moving in ((True, True), (True, False), (False, True)):
        result = method(
            turned(fixed, order, flips) if turn_fixed else fixed,
            turned(moving, order, flips) if turn_moving else moving,
            np.eye(4),
        )
        other = millimetres(result).reshape(3, *result.grid.shape)
        if turn_fixed:
            other = restored(other, order, flips)
        assert float((other - plain).norm(dim=0).max()) < 2e-3
    assert float(plain.norm(dim=0).mean()) > 0.3


def turned(image, order, flips):
    """The same image in the world, its array flipped along `flips` and then permuted."""
    data, affine = image.data, image.grid.affine.copy()
    for axis in flips:
        data = data.flip(axis + 2)
        affine[:-1, -1] += affine[:-1, axis] * (image.grid.shape[axis] - 1)
        affine[:-1, axis] *= -1
    affine[:-1, :-1] = affine[:-1, list(order)]
    data = data.permute(0, 1, *[a + 2 for a in order]).contiguous()
    return FeatureImage(data, Grid(data.shape[2:], affine))


def restored(array, order, flips):
    return array.permute(0, *[1 + int(a) for a in np.argsort(order)]).flip([1 + a for a in flips])


def test_moving_image_of_another_spacing_and_shape(texture, lattice, inner_error):
    shape = (32, 36, 28)
    value, points = texture(shape), lattice(shape)
    u = sinusoid(points)
    fixed = FeatureImage(value(points + u), Grid.from_spacing(shape, 1.0, origin=(0, 0, 0)))
    grid = Grid.from_spacing((30, 30, 38), (1.3, 1.4, 0.9), origin=(-3, -3, -4))
    world = torch.as_tensor(
        np.moveaxis(grid.index_to_world(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1)), -1, 0)
    )
    result = GaussNewton(LEVELS)(fixed, FeatureImage(value(world), grid), np.eye(4))
    np.testing.assert_allclose(result.grid.spacing, (1.3, 1.4, 1.0), rtol=0.03)  # no finer than the coarser image
    assert inner_error(sampling.resize_field(result.field, shape), u[None].float()) < 0.3


def test_affine_follows_the_displacement(known_pair, inner_error):
    """With the translation in the affine nothing is left for the displacement."""
    fixed, moving, u = known_pair((40, 36), translation)
    matrix = np.eye(3)
    matrix[:-1, -1] = u[0, :, 0, 0].numpy()
    result = GaussNewton(LEVELS)(fixed, moving, matrix)
    assert inner_error(result.field, torch.zeros_like(u)) < 0.1


def test_start_is_taken_at_any_shape(known_pair, inner_error):
    fixed, moving, u = known_pair((40, 36), translation)
    coarse = u[..., ::2, ::2] / 2
    result = GaussNewton([Level(1, 1, 0.005)])(fixed, moving, np.eye(3), coarse)
    assert inner_error(result.field, u) < 0.1


def test_history_keeps_the_books(known_pair):
    fixed, moving, _ = known_pair((48, 40), sinusoid)
    seen = []
    result = GaussNewton(LEVELS)(fixed, moving, np.eye(3), callback=seen.append)
    assert tuple(seen) == result.history
    for record in seen:
        assert record.energy == pytest.approx(record.data_energy + record.regularity, rel=1e-9)
        assert record.min_jacobian > 0
        assert record.update_mean <= record.update_max <= 1.0001
        assert record.accepted == (record.step > 0)
        assert record.lam == LEVELS[record.level].lam
        assert record.shape == fixed.grid.coarsened(record.stride).shape
    # The last record is the energy of the field returned, term by term.
    u = result.field.double()
    sampled = np.stack([bilinear(channel.double().numpy(), u[0].numpy()) for channel in moving.data[0]])
    size = fixed.grid.size
    assert seen[-1].data_energy == pytest.approx(((sampled - fixed.data[0].numpy()) ** 2).sum() / 2 / size, rel=1e-3)
    elastic = float((u * apply_regulariser(Diffusion(), u, fixed.grid)).sum())
    assert seen[-1].regularity == pytest.approx(LEVELS[-1].lam / 2 * elastic / size, rel=1e-4)


def test_same_inputs_same_bytes(known_pair):
    fixed, moving, _ = known_pair((40, 36, 32), sinusoid)
    levels = schedule((4, 2), (4, 4), (0.05, 0.01))
    first, second = (GaussNewton(levels)(fixed, moving, np.eye(4)) for _ in range(2))
    assert first.field.numpy().tobytes() == second.field.numpy().tobytes()
    assert first.history == second.history


def test_guard_prevents_folds():
    """A disc and a half onto two discs, with hardly a regulariser, tears without the guard."""
    grid = Grid.from_spacing((32, 32))
    axes = torch.meshgrid(*[torch.arange(32.0)] * 2, indexing="ij")

    def disc(i, j, radius):
        return torch.sigmoid(radius - ((axes[0] - i) ** 2 + (axes[1] - j) ** 2).sqrt())

    fixed = FeatureImage((disc(9, 16, 4) + disc(23, 16, 4))[None, None], grid)
    moving = FeatureImage((disc(16, 12, 6) + 0.5 * disc(16, 23, 4))[None, None], grid)
    levels = schedule((2, 1), (8, 8), (0.03, 0.003))
    free = GaussNewton(levels, control=StepControl(min_jacobian=-float("inf")))
    assert free(fixed, moving, np.eye(3)).history[-1].min_jacobian < 0
    result = GaussNewton(levels)(fixed, moving, np.eye(3))
    u = result.field
    gradient = [[difference(u[:, a], b + 1) + float(a == b) for b in range(2)] for a in range(2)]
    determinant = gradient[0][0] * gradient[1][1] - gradient[0][1] * gradient[1][0]
    assert float(determinant.min()) > 0
    assert result.history[-1].min_jacobian == pytest.approx(float(determinant.min()), abs=1e-4)


def test_energy_falls(known_pair):
    fixed, moving, _ = known_pair((48, 40), sinusoid)
    history = GaussNewton([Level(1, 10, 0.01)])(fixed, moving, np.eye(3)).history
    control = StepControl()
    energies = [h.energy for h in history]
    for index in range(1, len(energies)):
        assert energies[index] <= control.ceiling(energies[:index])
    assert energies[-1] < 0.2 * energies[0]


def test_samples_of_a_batch():
    """Two pairs at once, without control: each goes its own way."""
    grid = Grid.from_spacing((12, 10, 8))
    fixed, moving = (torch.randn(2, 2, *grid.shape).cumsum(2).cumsum(3) / 10 for _ in range(2))
    free = StepControl(min_jacobian=-float("inf"), memory=0, update_tolerance=0)
    method = GaussNewton([Level(1, 3, 1.0)], control=free, solver=NormalSolver(tolerance=1e-6, iterations=100))
    both = method(FeatureImage(fixed, grid), FeatureImage(moving, grid), np.eye(4)).field
    for i in range(2):
        alone = method(FeatureImage(fixed[i : i + 1], grid), FeatureImage(moving[i : i + 1], grid), np.eye(4)).field
        torch.testing.assert_close(both[i : i + 1], alone, rtol=1e-3, atol=1e-3)


class TestPublished:
    """The variant of the published code."""

    @pytest.mark.slow
    def test_differs_and_works(self, known_pair, inner_error):
        fixed, moving, u = known_pair((48, 40), sinusoid)
        levels = schedule((4, 2, 1), (6, 6, 6), (1.0, 0.2))  # softer, it has nothing to keep it from running away
        ours = GaussNewton(levels)(fixed, moving, np.eye(3)).field
        published = published_gauss_newton(levels)(fixed, moving, np.eye(3)).field
        assert float((ours - published).abs().max()) > 1e-3
        assert inner_error(published, u) < 0.6

    def test_is_one_component_at_a_time(self):
        """Two steps against dense matrices: ``(λ L + J_d²) δ_d = -(J_d f + λ L u_d)``, momentum 0.5."""
        shape, lam = (8, 7), 0.6
        grid = Grid.from_spacing(shape)
        axes = torch.meshgrid(*[torch.arange(n, dtype=torch.float64) for n in shape], indexing="ij")
        moving = torch.sin(axes[0] / 2 + 0.3) * torch.cos(axes[1] / 3)
        fixed = torch.sin(axes[0] / 2 + 0.1) * torch.cos(axes[1] / 3 + 0.2)
        method = published_gauss_newton([Level(1, 2, lam)]).replaced(
            solver=NormalSolver(tolerance=1e-13, iterations=500, preconditioner=None, coupled=False)
        )
        got = method(FeatureImage(fixed[None, None], grid), FeatureImage(moving[None, None], grid), np.eye(3)).field

        path = [np.diff(np.eye(n), axis=0) for n in shape]
        laplacian = np.kron(path[0].T @ path[0], np.eye(shape[1])) + np.kron(np.eye(shape[0]), path[1].T @ path[1])
        u, velocity = np.zeros((2, grid.size)), np.zeros((2, grid.size))
        for _ in range(2):
            warped = bilinear(moving.numpy(), u.reshape(2, *shape))
            residual = (warped - fixed.numpy()).ravel()
            for d, slope in enumerate(np.gradient(warped)):
                j = slope.ravel()
                right = -(j * residual + lam * laplacian @ u[d])
                velocity[d] = np.linalg.solve(lam * laplacian + np.diag(j**2), right) + 0.5 * velocity[d]
            u = u + velocity
        np.testing.assert_allclose(got.numpy().reshape(2, -1), u, atol=1e-8)


def bilinear(image, u):
    index = np.stack(np.meshgrid(*map(np.arange, image.shape), indexing="ij")) + u
    return map_coordinates(image, index, order=1, mode="nearest")
