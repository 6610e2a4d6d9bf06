"""Interpolation against SciPy and SimpleITK, averages against their definition, fields against their formula."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy.ndimage import map_coordinates

from learngn import Grid
from learngn.geometry import sampling

CASES = {
    "2D float32": ((17, 12), torch.float32),
    "2D float64": ((17, 12), torch.float64),
    "3D float32": ((11, 8, 9), torch.float32),
    "3D float64": ((11, 8, 9), torch.float64),
}


@pytest.fixture(params=CASES)
def noise(request, rng) -> torch.Tensor:
    """An image of two samples and three channels without any regularity; float32 takes the compiled kernels."""
    shape, dtype = CASES[request.param]
    return torch.as_tensor(rng.normal(size=(2, 3, *shape)), dtype=dtype)


def matrix_of(ndim: int, rng) -> np.ndarray:
    matrix = np.eye(ndim + 1)
    matrix[:-1] += rng.normal(scale=0.15, size=(ndim, ndim + 1))
    return matrix


def indices(shape) -> np.ndarray:
    return np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1).astype(np.float64)


def tolerance(image: torch.Tensor) -> float:
    return 1e-10 if image.dtype == torch.float64 else 2e-5


def field_of(formula, shape) -> torch.Tensor:
    return torch.as_tensor(np.moveaxis(formula(indices(shape)), -1, 0)[None])


class TestWarp:
    @pytest.mark.parametrize("shape", [(9, 14, 6), (20, 5, 7)])
    def test_scipy(self, noise, shape, rng):
        ndim = noise.ndim - 2
        shape = shape[:ndim]
        matrix = matrix_of(ndim, rng)
        field = torch.as_tensor(rng.normal(scale=2, size=(2, ndim, *shape)), dtype=noise.dtype)
        ours = sampling.warp(noise, field, matrix, shape)
        assert ours.shape == (2, 3, *shape)
        for n in range(2):
            moved = (indices(shape) + np.moveaxis(field[n].numpy(), 0, -1)) @ matrix[:-1, :-1].T + matrix[:-1, -1]
            for c in range(3):
                theirs = map_coordinates(noise[n, c].numpy(), np.moveaxis(moved, -1, 0), order=1, mode="nearest")
                np.testing.assert_allclose(ours[n, c].numpy(), theirs, atol=tolerance(noise))

    def test_without_a_field(self, noise, rng):
        ndim = noise.ndim - 2
        matrix, shape = matrix_of(ndim, rng), noise.shape[2:]
        zero = torch.zeros((2, ndim, *shape), dtype=noise.dtype)
        torch.testing.assert_close(
            sampling.warp(noise, None, matrix, shape), sampling.warp(noise, zero, matrix, shape), rtol=0, atol=1e-6
        )

    def test_the_identity_changes_nothing(self, noise):
        ndim, shape = noise.ndim - 2, noise.shape[2:]
        for outside in (None, -7.0):
            warped = sampling.warp(noise, None, sampling.identity_map(ndim), shape, outside=outside)
            torch.testing.assert_close(warped, noise, rtol=0, atol=tolerance(noise))

    def test_itk_on_oblique_anisotropic_grids(self, noise, rng):
        """The border too: ITK repeats the outermost voxels over their outer half, then comes `outside`."""
        ndim = noise.ndim - 2
        grids = []
        for shape, spacing, angle in (
            (tuple(noise.shape[2:]), (1.5, 2.0, 3.0), 0.4),
            ((15, 13, 12)[:ndim], (2.1, 1.3, 2.4), -0.7),
        ):
            direction = np.eye(ndim)
            direction[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
            grids.append(Grid.from_spacing(shape, spacing[:ndim], direction=np.roll(direction, 1, axis=0)))
        moving, fixed = grids
        theirs = sitk.GetArrayFromImage(
            sitk.Resample(
                in_itk(noise[0, 0].numpy(), moving),
                in_itk(np.zeros(fixed.shape), fixed),
                sitk.Transform(ndim, sitk.sitkIdentity),
                sitk.sitkLinear,
                -5.0,
            )
        ).T
        ours = sampling.warp(noise[:1, :1], None, fixed.index_map(moving), fixed.shape, outside=-5.0)[0, 0].numpy()
        assert 0.1 < (ours == -5).mean() < 0.9
        np.testing.assert_allclose(ours, theirs, atol=10 * tolerance(noise))

    def test_far_away_is_outside(self, noise):
        ndim, shape = noise.ndim - 2, noise.shape[2:]
        for far in (1e6, -1e6, 1e20):
            field = torch.full((2, ndim, *shape), far, dtype=noise.dtype)
            warped = sampling.warp(noise, field, sampling.identity_map(ndim), shape, outside=3.0)
            assert (warped == 3).all()
            assert torch.isfinite(sampling.warp(noise, field, sampling.identity_map(ndim), shape)).all()

    def test_gradients_agree_with_differences(self, rng):
        image = torch.as_tensor(rng.normal(size=(1, 2, 5, 6)), dtype=torch.float64).requires_grad_()
        field = torch.as_tensor(rng.normal(scale=0.4, size=(1, 2, 4, 7)), dtype=torch.float64).requires_grad_()
        matrix = matrix_of(2, rng)
        assert torch.autograd.gradcheck(lambda i, u: sampling.warp(i, u, matrix, (4, 7)), (image, field))


def in_itk(values: np.ndarray, grid: Grid) -> sitk.Image:
    flip = np.array([-1.0, -1.0, 1.0])[: grid.ndim]
    image = sitk.GetImageFromArray(np.ascontiguousarray(values.T))
    image.SetSpacing(grid.spacing.tolist())
    image.SetOrigin((flip * grid.origin).tolist())
    image.SetDirection((flip[:, None] * grid.direction).ravel().tolist())
    return image


class TestWarpNearest:
    @pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.float32])
    def test_the_nearest_voxel_of_any_type(self, dtype, rng):
        labels = torch.as_tensor(rng.integers(0, 14, size=(1, 1, 9, 8, 7)), dtype=dtype)
        field = torch.as_tensor(rng.normal(scale=2, size=(1, 3, 9, 8, 7)), dtype=torch.float32)
        warped = sampling.warp_nearest(labels, field, np.eye(4), (9, 8, 7), outside=99)
        assert warped.dtype == dtype
        index = np.floor(indices((9, 8, 7)) + np.moveaxis(field[0].numpy(), 0, -1) + 0.5).astype(int)
        inside = ((index >= 0) & (index < (9, 8, 7))).all(axis=-1)
        expected = np.where(inside, labels[0, 0].numpy()[tuple(np.moveaxis(index % (9, 8, 7), -1, 0))], 99)
        np.testing.assert_array_equal(warped[0, 0].numpy(), expected)

    def test_inside_is_where_the_image_is(self, rng):
        field = torch.as_tensor(rng.normal(scale=3, size=(1, 2, 9, 8)), dtype=torch.float32)
        index = indices((9, 8)) + np.moveaxis(field[0].numpy(), 0, -1)
        expected = ((index >= -0.5) & (index < np.array((9, 8)) - 0.5)).all(axis=-1)
        found = sampling.inside((9, 8), field, np.eye(3), (9, 8), field)
        np.testing.assert_array_equal(found[0, 0].numpy(), expected)


class TestPool:
    @pytest.mark.parametrize("shape", [(17, 12, 9), (8, 6, 4), (5, 5, 5), (16, 7, 1), (1, 1, 1)])
    def test_area_average(self, noise, shape):
        """Every fine voxel split into enough cells of its own value, averaged over the coarse voxels."""
        old, ndim = noise.shape[2:], noise.ndim - 2
        shape = tuple(min(a, b) for a, b in zip(shape, old, strict=False))
        expected = noise.double().numpy()
        for axis in range(ndim):
            fine = np.repeat(expected, shape[axis], axis=axis + 2)
            split = (*fine.shape[: axis + 2], shape[axis], old[axis], *fine.shape[axis + 3 :])
            expected = fine.reshape(split).mean(axis=axis + 3)
        pooled = sampling.pool(noise, shape)
        assert pooled.dtype == noise.dtype
        np.testing.assert_allclose(pooled.numpy(), expected, atol=tolerance(noise))

    def test_the_mean_is_kept(self, noise):
        pooled = sampling.pool(noise, [max(1, n * 2 // 3) for n in noise.shape[2:]])
        spatial = tuple(range(2, noise.ndim))
        torch.testing.assert_close(pooled.mean(spatial), noise.mean(spatial), rtol=0, atol=1e-6)

    def test_a_coarse_voxel_lies_where_its_grid_says(self):
        """The average of the coordinate is the coordinate of the centre (exactly so where the sizes divide)."""
        grid = Grid.from_spacing((12, 10, 7), (1.0, 2.0, 3.0), (4, 5, 6))
        coarse = grid.coarsened(4.0)
        world = torch.as_tensor(np.moveaxis(grid.index_to_world(indices(grid.shape)), -1, 0)[None])
        expected = np.moveaxis(coarse.index_to_world(indices(coarse.shape)), -1, 0)
        np.testing.assert_allclose(sampling.pool(world, coarse.shape)[0].numpy(), expected, atol=1e-12)

    def test_gradients_agree_with_differences(self, rng):
        image = torch.as_tensor(rng.normal(size=(1, 2, 7, 5)), dtype=torch.float64).requires_grad_()
        assert torch.autograd.gradcheck(lambda i: sampling.pool(i, (3, 2)), (image,))


def test_pyramid_is_the_average_on_every_grid(rng):
    image = torch.as_tensor(rng.normal(size=(1, 2, 24, 20, 13)), dtype=torch.float32)
    fine = Grid.from_spacing((24, 20, 13), 1.0)
    grids = [fine.coarsened(s) for s in (8.0, 4.0, 2.0, 1.0)]
    levels = sampling.pyramid(image, grids)
    assert [tuple(level.shape[2:]) for level in levels] == [grid.shape for grid in grids]
    for level, grid in zip(levels, grids, strict=True):
        torch.testing.assert_close(level, sampling.pool(image, grid.shape), rtol=0, atol=1e-6)
    assert torch.equal(levels[-1], image)


class TestResizeField:
    @pytest.mark.parametrize("shape", [(33, 23, 19), (34, 24, 18), (9, 7, 5), (17, 30, 4), (2, 2, 2)])
    def test_an_affine_field_survives(self, noise, shape, rng):
        """At the border too: a field of the same movement in mm, on another grid."""
        ndim = noise.ndim - 2
        old = Grid.from_spacing(noise.shape[2:], (1.0, 2.0, 1.5)[:ndim], (3.0, -2, 8)[:ndim])
        new = old.resized(shape[:ndim])
        linear, shift = rng.normal(scale=0.2, size=(ndim, ndim)), rng.normal(size=ndim)

        def on(grid: Grid) -> torch.Tensor:
            def voxels(index: np.ndarray) -> np.ndarray:
                mm = grid.index_to_world(index) @ linear.T + shift
                return np.asarray(mm @ np.linalg.inv(grid.affine[:-1, :-1]).T)

            return field_of(voxels, grid.shape).to(noise.dtype)

        resized = sampling.resize_field(on(old), new.shape)
        np.testing.assert_allclose(resized.numpy(), on(new).numpy(), atol=20 * tolerance(noise))

    def test_interpolation_inside_is_scipys(self, noise):
        shape = tuple(2 * n + 1 for n in noise.shape[2:])
        resized = sampling.resize(noise, shape)[0, 0].numpy()
        position = (indices(shape) + 0.5) * np.array(noise.shape[2:]) / shape - 0.5
        theirs = map_coordinates(noise[0, 0].numpy(), np.moveaxis(position, -1, 0), order=1)
        inner = tuple(slice(2, -2) for _ in shape)
        np.testing.assert_allclose(resized[inner], theirs[inner], atol=tolerance(noise))

    def test_an_axis_of_one_voxel(self):
        field = torch.arange(6.0).reshape(1, 2, 3, 1)
        resized = sampling.resize_field(field, (3, 4))
        torch.testing.assert_close(resized, torch.cat([field[:, :1], 4 * field[:, 1:]], dim=1).expand(1, 2, 3, 4))

    def test_the_same_shape_is_the_same_field(self, noise):
        assert sampling.resize_field(noise, noise.shape[2:]) is noise


class TestCompose:
    def test_affine_fields_compose_as_matrices(self):
        """(I + A)(I + B) - I, where the inner map stays inside the grid."""
        a, b = np.array([[0.02, 0.05], [-0.04, 0.03]]), np.array([[-0.05, 0.02], [0.03, -0.04]])
        centre = np.array([10.0, 12.0])
        outer, inner = (field_of(lambda x, m=m: (x - centre) @ m.T, (21, 25)) for m in (a, b))
        expected = field_of(lambda x: (x - centre) @ (a + b + a @ b).T, (21, 25))
        found = sampling.compose(outer, inner)
        inside = sampling.inside((21, 25), inner, np.eye(3), (21, 25), inner).expand_as(found)
        core = torch.zeros_like(inside)
        core[:, :, 2:-2, 2:-2] = True
        assert inside[core].float().mean() > 0.95
        torch.testing.assert_close(found[core & inside], expected[core & inside], rtol=0, atol=1e-10)

    def test_zero_is_neutral_on_both_sides(self, rng):
        field = torch.as_tensor(rng.normal(size=(2, 3, 6, 7, 5)), dtype=torch.float32)
        zero = torch.zeros_like(field)
        torch.testing.assert_close(sampling.compose(zero, field), field)
        torch.testing.assert_close(sampling.compose(field, zero), field)

    def test_order_matters_and_is_inner_first(self):
        """Inner shifts by one voxel along i; there, outer shifts along j by i."""
        inner = field_of(lambda x: np.stack([np.ones_like(x[..., 0]), 0 * x[..., 0]], -1), (6, 6))
        outer = field_of(lambda x: np.stack([0 * x[..., 0], x[..., 0]], -1), (6, 6))
        assert sampling.compose(outer, inner)[0, :, 2, 3].tolist() == [1, 3]
        assert sampling.compose(inner, outer)[0, :, 2, 3].tolist() == [1, 2]


class TestPoints:
    @pytest.mark.parametrize("shape", [(9, 7), (6, 5, 7), (6, 1, 4)], ids=str)
    def test_splatting_is_the_adjoint_of_sampling(self, shape, rng):
        """``<sample(image), values> = <image, splat(values)>``, beyond the border too."""
        index = torch.as_tensor(rng.uniform(-3, np.array(shape) + 2, size=(60, len(shape))))
        index[:4] = index[:4].round()
        index[4] = torch.as_tensor(shape) - 1.0
        image = torch.as_tensor(rng.normal(size=(1, 2, *shape)))
        values = torch.as_tensor(rng.normal(size=(60, 2)))
        sampled = (sampling.sample_points(image, index) * values).sum()
        splatted = (sampling.splat_points(values, index, shape) * image).sum()
        torch.testing.assert_close(sampled, splatted, rtol=1e-12, atol=1e-12)

    def test_nothing_is_lost(self, rng):
        """What is spread adds up, and what lies beyond the border counts at it."""
        index = torch.tensor([[1.25, 2.5], [-4.0, 3.0], [99.0, 99.0]], dtype=torch.float64)
        spread = sampling.splat_points(torch.ones(3, 1, dtype=torch.float64), index, (5, 6))
        expected = torch.zeros(5, 6, dtype=torch.float64)
        expected[1, 2:4], expected[2, 2:4] = 0.375, 0.125
        expected[0, 3] = expected[4, 5] = 1
        torch.testing.assert_close(spread[0, 0], expected)
