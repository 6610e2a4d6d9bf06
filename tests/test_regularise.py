"""The contract of every regulariser, inherited by each of them, and what each is for."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from learngn.errors import ImageError, SettingsError
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.regularise import Adaptive, Curvature, Diffusion, apply_regulariser
from learngn.solve import NormalSolver
from learngn.testing import REGULARISER_RULES

GRIDS = [
    Grid.from_spacing((8, 6), (1.0, 2.5)),
    Grid.from_spacing((7, 5, 9), (1.0, 1.5, 4.0)),
    Grid.from_spacing((6, 1, 5), (2.0, 1.0, 3.0)),
]

ONE = np.ones(1, np.float32)


def field(grid, seed=0):
    return np.random.default_rng(seed).standard_normal((2, grid.ndim, *grid.shape))


def energy(regulariser, u, grid):
    """½ <u, R u>."""
    return float((u * apply_regulariser(regulariser, u, grid)).sum()) / 2


def in_voxels(millimetres, grid):
    return millimetres / grid.spacing.reshape(-1, *[1] * grid.ndim)


def linear_field(grid, gradient):
    """``u(p) = gradient @ p`` [mm], in voxels of the grid (whose axes are the world's)."""
    axes = [np.arange(n) * s for n, s in zip(grid.shape, grid.spacing, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"))
    millimetres = np.einsum("ab,b...->a...", gradient, points)
    return in_voxels(millimetres, grid)[None]


def smooth_image(grid, labels=False):
    """An image that varies, on another grid over the same extent."""
    finer = grid.resized([2 * n for n in grid.shape])
    axes = np.meshgrid(*[np.linspace(0, 1, n, dtype=np.float32) for n in finer.shape], indexing="ij")
    value = 0.2 + axes[0] + axes[-1] ** 2
    return Image((value > 0.9).astype(np.uint8)[None, None] if labels else value[None, None], finer, labels=labels)


def path_gradient(grid, axis):
    """Differences along an axis [1/mm], a SciPy sparse matrix: (n - 1) / n of the voxels long."""
    factors = [
        sp.diags([-np.ones(n), np.ones(n - 1)], [0, 1], shape=(n - 1, n)) / s if other == axis else sp.identity(n)
        for other, (n, s) in enumerate(zip(grid.shape, grid.spacing, strict=True))
    ]
    whole = factors[0]
    for factor in factors[1:]:
        whole = sp.kron(whole, factor)
    return whole.tocsr()


class Contract:
    """What a regulariser promises. A subclass makes one for a grid, and its matrix on one component."""

    def make(self, grid):
        raise NotImplementedError

    def matrix(self, grid):
        """For one component of the displacement in mm."""
        raise NotImplementedError

    @pytest.mark.parametrize("rule", REGULARISER_RULES)
    def test_rule(self, rule):
        REGULARISER_RULES[rule](self.make)

    @pytest.fixture(params=GRIDS, ids=str)
    def grid(self, request):
        return request.param

    def test_matrix_of_scipy(self, grid):
        u = field(grid)
        got = apply_regulariser(self.make(grid), u, grid)
        for a, spacing in enumerate(grid.spacing):
            flat = u[:, a].reshape(2, -1)
            expected = (self.matrix(grid) @ flat.T).T * spacing**2
            np.testing.assert_allclose(got[:, a].reshape(2, -1), expected, rtol=1e-9, atol=1e-9)


class TestDiffusion(Contract):
    def make(self, grid):
        return Diffusion()

    def matrix(self, grid):
        gradients = [path_gradient(grid, axis) for axis in range(grid.ndim)]
        return sum(g.T @ g for g in gradients)

    def test_linear_field_costs_its_squared_gradient(self, grid):
        gradient = np.arange(1.0, grid.ndim**2 + 1).reshape(grid.ndim, grid.ndim)
        # A grid of n voxels has n - 1 differences along an axis.
        differences = [grid.size * (n - 1) / n for n in grid.shape]
        expected = 0.5 * sum((gradient[:, b] ** 2).sum() * differences[b] for b in range(grid.ndim))
        assert energy(Diffusion(), linear_field(grid, gradient), grid) == pytest.approx(expected, rel=1e-12)

    def test_unit_of_length_does_not_matter(self, grid):
        u = field(grid)
        metres = Grid.from_spacing(grid.shape, grid.spacing / 1000)
        assert energy(Diffusion(), u, metres) == pytest.approx(energy(Diffusion(), u, grid), rel=1e-10)


class TestCurvature(Contract):
    def make(self, grid):
        return Curvature(1.5)

    def matrix(self, grid):
        laplacian = TestDiffusion().matrix(grid)
        return 1.5**2 * laplacian @ laplacian

    def test_inside_a_linear_field_there_is_no_force(self):
        grid = Grid.from_spacing((9, 8, 7), (1.0, 1.5, 4.0))
        inner = (slice(None), slice(None), *[slice(2, -2)] * 3)
        force = apply_regulariser(Curvature(1.5), linear_field(grid, np.ones((3, 3))), grid)
        assert np.abs(force[inner]).max() < 1e-9
        assert np.abs(force).max() > 1e-3

    def test_costs_what_diffusion_does_at_its_own_wavelength(self):
        grid = Grid.from_spacing((64, 8), (2.0, 2.0))
        half_waves, extent = 2, 128.0
        x = (np.arange(64) + 0.5) * 2.0
        u = np.zeros((1, 2, 64, 8))
        u[0, 0] = np.cos(half_waves * np.pi * x / extent)[:, None]
        same = Curvature(extent / (half_waves * np.pi))
        assert energy(same, u, grid) == pytest.approx(energy(Diffusion(), u, grid), rel=0.01)

    def test_length_must_be_positive(self):
        with pytest.raises(SettingsError, match="length"):
            Curvature(0.0)


class AdaptiveContract(Contract):
    def matrix(self, grid):
        faces = self.make(grid).stiffness(grid, field(grid)).faces
        total = 0
        for axis, n in enumerate(grid.shape):
            gradient = path_gradient(grid, axis)
            conducts = np.take(faces[0, axis], range(n - 1), axis=axis).flatten()
            total = total + gradient.T @ sp.diags(conducts) @ gradient
        return total.tocsr()


class TestOfWeights(AdaptiveContract):
    def make(self, grid):
        return Adaptive.of_weights(smooth_image(grid))

    @pytest.mark.parametrize("shape", [(8, 6), (4, 3), (5, 5)], ids=str)
    def test_weight_one_is_diffusion(self, shape):
        fine = Grid.from_spacing((8, 6), (1.0, 2.5))
        grid, ones = fine.resized(shape) if shape != (5, 5) else fine, Image(np.ones((1, 1, 8, 6), np.float32), fine)
        u = field(grid)
        got, expected = (apply_regulariser(r, u, grid) for r in (Adaptive.of_weights(ones), Diffusion()))
        np.testing.assert_allclose(got, expected, rtol=1e-7, atol=1e-7)

    def test_resistances_in_series_add_up_and_rows_side_by_side_average(self):
        fine = Grid.from_spacing((8, 4), 1.0)
        weights = np.ones((1, 1, 8, 4))
        weights[..., 3:5, :2] = 0.25  # faces 2|3 and 4|5: 0.4, 3|4: 0.25, elsewhere 1
        stiffness = Adaptive.of_weights(Image(weights, fine)).stiffness(fine.resized((4, 4)), weights)
        # From cell 1 (voxels 2, 3) to cell 2 (4, 5): half a face 2|3, the face 3|4, half a face 4|5.
        through = 2 / (0.5 / 0.4 + 1 / 0.25 + 0.5 / 0.4)
        np.testing.assert_allclose(stiffness.faces[0, 0, 1], [through, through, 1, 1], rtol=1e-6)
        # Along the other axis: the mean of two rows, one of them weak between its first two voxels.
        np.testing.assert_allclose(stiffness.faces[0, 1, 1, 0], 0.625, rtol=1e-6)

    def test_weights_must_not_be_negative(self):
        grid = GRIDS[0]
        with pytest.raises(ImageError, match="none below zero"):
            Adaptive.of_weights(Image(-np.ones((1, 1, *grid.shape)), grid))


class TestAcrossLabels(AdaptiveContract):
    def make(self, grid):
        return Adaptive.across_labels(smooth_image(grid, labels=True), 0.05)

    def test_only_what_crosses_a_boundary_is_weak(self):
        grid = Grid.from_spacing((6, 4), 1.0)
        mask = np.zeros((1, 1, 6, 4), np.uint8)
        mask[..., 3:, :] = 2
        faces = Adaptive.across_labels(Image(mask, grid, labels=True), 0.05).stiffness(grid, ONE).faces
        assert faces[0, 0, :5, 0].tolist() == pytest.approx([1, 1, 0.05, 1, 1])
        assert (faces[0, 1, :, :3] == 1).all()

    def test_a_grid_in_another_orientation(self):
        grid = Grid.from_spacing((6, 4), 1.0)
        mask = np.zeros((1, 1, 6, 4), np.uint8)
        mask[..., 2:, :] = 1
        flipped = Grid(grid.shape, grid.affine @ np.array([[-1.0, 0, 5], [0, 1, 0], [0, 0, 1]]))
        faces = Adaptive.across_labels(Image(mask, grid, labels=True), 0.05).stiffness(flipped, ONE).faces
        assert faces[0, 0, :5, 0].tolist() == pytest.approx([1, 1, 1, 0.05, 1])

    def test_beyond_the_labels_there_is_no_boundary(self):
        grid = Grid.from_spacing((8, 4), 1.0)
        inner = Grid(grid.shape, grid.affine @ np.array([[1.0, 0, 4], [0, 1, 0], [0, 0, 1]]))
        mask = Image(np.ones((1, 1, 8, 4), np.uint8), inner, labels=True)
        faces = Adaptive.across_labels(mask, 0.05).stiffness(grid, ONE).faces
        assert (faces[0, 0, :-1] == 1).all()

    def test_a_part_slides_past_another(self):
        """Pushed apart in the middle, the two halves move further than under plain diffusion."""
        grid = Grid.from_spacing((16, 12), 1.0)
        mask = np.zeros((1, 1, 16, 12), np.uint8)
        mask[..., 8:, :] = 1
        rhs = np.zeros((1, 2, 16, 12), np.float32)
        rhs[0, 1, :8], rhs[0, 1, 8:] = 1, -1
        blocks, jumps = np.zeros((1, 3, 16, 12), np.float32), []
        for regulariser in (Diffusion(), Adaptive.across_labels(Image(mask, grid, labels=True), 0.02)):
            stiffness = regulariser.stiffness(grid, rhs)
            x, _ = NormalSolver(tolerance=1e-4).solve(blocks, stiffness, rhs, ONE, 0.01 * ONE)
            jumps.append(float(x[0, 1, 7, 6] - x[0, 1, 8, 6]))
        assert jumps[1] > 3 * jumps[0]

    @pytest.mark.parametrize("across", [-0.1, 1.5])
    def test_weight_is_a_fraction(self, across):
        with pytest.raises(SettingsError, match="across"):
            Adaptive.across_labels(smooth_image(GRIDS[0], labels=True), across)


class TestAcrossEdges(AdaptiveContract):
    def make(self, grid):
        return Adaptive.across_edges(smooth_image(grid), spacing=0.5)

    def test_an_edge_is_weak_and_what_runs_along_it_is_not(self):
        grid = Grid.from_spacing((6, 4), 2.0)
        image = np.zeros((1, 1, 6, 4), np.float32)
        image[..., 3:, :] = 100.0
        adaptive = Adaptive.across_edges(Image(image, grid), contrast=50.0, least=0.1, spacing=2.0)
        faces = adaptive.stiffness(grid, image).faces
        # 50 per mm across the edge: g = κ.
        assert faces[0, 0, :5, 0].tolist() == pytest.approx([1, 1, 0.55, 1, 1])
        assert (faces[0, 1, :, :3] == 1).all()

    @pytest.mark.parametrize("given", [{"contrast": 0.0}, {"least": 2.0}])
    def test_bad_numbers(self, given):
        with pytest.raises(SettingsError):
            Adaptive.across_edges(smooth_image(GRIDS[0]), **given)


@pytest.mark.parametrize(
    "regulariser",
    [
        Diffusion(),
        Curvature(3.0),
        Adaptive.of_weights(smooth_image(GRIDS[1])),
        Adaptive.across_labels(smooth_image(GRIDS[1], labels=True)),
        Adaptive.across_edges(smooth_image(GRIDS[1]), spacing=0.5),
    ],
    ids=lambda r: type(r).__name__,
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tensors_have_the_same_operator(regulariser, dtype):
    """Of an image of NumPy, too: it becomes a tensor where the displacement is one."""
    grid, u = GRIDS[1], field(GRIDS[1]).astype(dtype)
    expected, got = (regulariser.stiffness(grid, x) for x in (u, torch.as_tensor(u)))
    scaled = [
        r.scaled(x) for r, x in ((expected, u[:, 0, 0, 0, 0] ** 2), (got, torch.as_tensor(u)[:, 0, 0, 0, 0] ** 2))
    ]
    coarse = [r.coarsened(grid.shape, (4, 3, 5)) for r in (expected, got)]
    small = u[:, :, :4, :3, :5]
    for plain, tensor in (
        (expected(u), got(torch.as_tensor(u))),
        (scaled[0](u), scaled[1](torch.as_tensor(u))),
        (coarse[0](small), coarse[1](torch.as_tensor(small))),
        (expected.diagonal(grid.shape), got.diagonal(grid.shape)),
    ):
        assert plain.dtype == dtype
        assert tensor.dtype == getattr(torch, dtype)
        np.testing.assert_allclose(tensor.numpy(), plain, rtol=1e-4, atol=1e-4 * np.abs(plain).max())
