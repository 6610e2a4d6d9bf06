"""Transforms against SimpleITK and against formulas: points, images, chains, inverses, determinants."""

from collections.abc import Callable

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from learngn import Affine, Composite, DisplacementField, Grid, Image
from learngn.errors import ShapeError, TransformError
from learngn.geometry.transform import Transform, as_homogeneous, invert

LPS = np.array([-1.0, -1.0, 1.0])
CHAINS = ["affine", "field", "field affine", "affine field", "affine field affine field"]


def turned(ndim: int, angle: float) -> np.ndarray:
    direction = np.eye(ndim)
    direction[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return np.roll(direction, 1, axis=0)


GRIDS = {
    "2D": Grid.from_spacing((24, 20), (1.5, 2.0), (-12.0, 30.0), np.diag([-1.0, 1])),
    "2D oblique": Grid.from_spacing((24, 20), (1.5, 2.0), (-12.0, 30.0), turned(2, 0.4)),
    "LPS": Grid.from_spacing((13, 12, 11), (1.5, 2.0, 2.5), (-12.0, 30.0, 5.0), np.diag(LPS)),
    "oblique": Grid.from_spacing((13, 12, 11), (1.5, 2.0, 2.5), (-12.0, 30.0, 5.0), turned(3, 0.4)),
}


@pytest.fixture(params=GRIDS)
def grid(request) -> Grid:
    return GRIDS[request.param]


def indices(shape) -> np.ndarray:
    return np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1).astype(np.float64)


def field_on(grid: Grid, formula: Callable[[np.ndarray], np.ndarray]) -> DisplacementField:
    """Field, in float64, of a displacement in mm, a function of the place from the grid's centre."""
    mm = formula(grid.index_to_world(indices(grid.shape)) - grid.centre)
    voxels = mm @ np.linalg.inv(grid.affine[:-1, :-1]).T
    return DisplacementField(torch.as_tensor(np.moveaxis(voxels, -1, 0)[None].copy()), grid)


def waves(grid: Grid, amplitude: float = 1.5, length: float = 6.0) -> DisplacementField:
    return field_on(grid, lambda p: amplitude * np.sin(np.roll(p, 1, axis=-1) / length + np.arange(p.shape[-1])))


def linear_field(grid: Grid) -> DisplacementField:
    """Itself an affine map, so that its interpolation, and any chain with it, is exact."""
    matrix = 0.04 * np.cos(np.arange(grid.ndim**2).reshape(grid.ndim, -1))
    return field_on(grid, lambda p: p @ matrix.T + 0.7)


def some_affine(grid: Grid) -> Affine:
    ndim = grid.ndim
    linear = turned(ndim, 0.1) @ turned(ndim, 0.0).T @ np.diag([1.05, 0.95, 1.02][:ndim]) + 0.03 * np.eye(ndim)[::-1]
    return Affine(as_homogeneous(linear, grid.centre - linear @ grid.centre + np.array([1.0, -2, 0.5])[:ndim]))


def chain_of(names: str, grid: Grid, make: Callable[[Grid], DisplacementField]) -> Transform:
    """A chain whose second field lies on another grid than the first."""
    other = Grid.from_spacing(tuple(n + 5 for n in grid.shape), grid.spacing * 1.1, direction=turned(grid.ndim, -0.2))
    other = Grid.from_spacing(other.shape, other.spacing, other.origin + grid.centre, other.direction)
    fields = iter((grid, other))
    parts = [some_affine(grid) if name == "affine" else make(next(fields)) for name in names.split()]
    return parts[0] if len(parts) == 1 else Composite(tuple(parts))


def in_itk(transform: Transform) -> sitk.Transform:
    """The transform as ITK has it, made here from the contract alone."""
    flip = np.diag(LPS[: transform.ndim])
    if isinstance(transform, Affine):
        result = sitk.AffineTransform(transform.ndim)
        result.SetMatrix((flip @ transform.matrix[:-1, :-1] @ flip).ravel().tolist())
        result.SetTranslation((flip @ transform.matrix[:-1, -1]).tolist())
        return result
    if isinstance(transform, DisplacementField):
        grid = transform.grid
        mm = np.moveaxis(transform.data[0].double().numpy(), 0, -1) @ (flip @ grid.affine[:-1, :-1]).T
        image = sitk.GetImageFromArray(np.ascontiguousarray(mm.swapaxes(0, grid.ndim - 1)), isVector=True)
        place(image, grid)
        return sitk.DisplacementFieldTransform(image)
    return sitk.CompositeTransform([in_itk(part) for part in reversed(transform.parts)])


def place(image: sitk.Image, grid: Grid) -> sitk.Image:
    flip = LPS[: grid.ndim]
    image.SetSpacing(grid.spacing.tolist())
    image.SetOrigin((flip * grid.origin).tolist())
    image.SetDirection((flip[:, None] * grid.direction).ravel().tolist())
    return image


def itk_points(transform: Transform, points: np.ndarray) -> np.ndarray:
    itk, flip = in_itk(transform), LPS[: transform.ndim]
    return np.array([itk.TransformPoint((flip * p).tolist()) for p in points]) * flip


def interior(grid: Grid, rng, count: int = 30) -> np.ndarray:
    """Points well inside the grid [RAS mm]."""
    return grid.index_to_world(rng.uniform(4, np.array(grid.shape) - 5, size=(count, grid.ndim)))


@pytest.mark.parametrize("names", CHAINS)
def test_points_are_mapped_as_in_itk(names, grid, rng):
    transform = chain_of(names, grid, waves)
    everywhere = grid.index_to_world(rng.uniform(-6, np.array(grid.shape) + 5, size=(60, grid.ndim)))
    np.testing.assert_allclose(transform.map_points(everywhere), itk_points(transform, everywhere), atol=1e-9)


@pytest.mark.parametrize("names", CHAINS)
def test_images_are_warped_as_in_itk(names, grid, rng):
    """Another moving grid; whole chains, border included."""
    transform = chain_of(names, grid, waves)
    moving_grid = Grid.from_spacing((17, 15, 13)[: grid.ndim], 2.2, direction=turned(grid.ndim, 0.9))
    moving_grid = Grid.from_spacing(moving_grid.shape, 2.2, moving_grid.origin + grid.centre, moving_grid.direction)
    scan = Image(torch.as_tensor(rng.normal(size=(1, 1, *moving_grid.shape))), moving_grid)
    itk = place(sitk.GetImageFromArray(np.ascontiguousarray(scan.data[0, 0].numpy().T)), moving_grid)
    reference = place(sitk.Image(grid.shape, sitk.sitkFloat64), grid)
    theirs = sitk.GetArrayFromImage(sitk.Resample(itk, reference, in_itk(transform), sitk.sitkLinear, -9.0)).T
    ours = transform.warp(scan, grid, background=-9.0)
    assert ours.grid == grid
    assert (theirs != -9).mean() > 0.3
    np.testing.assert_allclose(ours.data[0, 0].numpy(), theirs, atol=1e-9)


@pytest.mark.parametrize("names", CHAINS)
def test_labels_take_the_nearest_voxel(names, grid, rng):
    transform = chain_of(names, grid, waves)
    labels = Image(torch.as_tensor(rng.integers(1, 9, size=(1, 1, *grid.shape)), dtype=torch.uint8), grid, labels=True)
    warped = transform.warp(labels, grid)
    assert warped.labels
    assert warped.data.dtype == torch.uint8
    points = transform.map_points(grid.index_to_world(indices(grid.shape)).reshape(-1, grid.ndim))
    index = np.floor(grid.world_to_index(points) + 0.5).astype(int)
    inside = ((index >= 0) & (index < grid.shape)).all(axis=1)
    values = labels.data[0, 0].numpy()[tuple((index % grid.shape).T)]
    agree = warped.data.flatten().numpy() == np.where(inside, values, 0)
    assert agree.mean() > 0.999  # a halfway place may round either way


@pytest.mark.parametrize("names", CHAINS)
def test_images_are_interpolated_once(names, grid, rng):
    """Of white noise, which a second interpolation would blur, and at any order of the parts."""
    transform = chain_of(names, grid, linear_field)
    noise = Image(torch.as_tensor(rng.normal(size=(1, 1, *grid.shape))), grid)
    points = transform.map_points(grid.index_to_world(indices(grid.shape)).reshape(-1, grid.ndim))
    at_once = torch.as_tensor((grid.world_to_index(points) - indices(grid.shape).reshape(-1, grid.ndim)).T)
    single = DisplacementField(at_once.reshape(1, grid.ndim, *grid.shape), grid)
    np.testing.assert_allclose(transform.warp(noise, grid).data, single.warp(noise, grid).data, atol=1e-9)


@pytest.mark.parametrize("names", CHAINS)
def test_a_ramp_stays_a_ramp(names, grid):
    """An image that is its own coordinate shows where every voxel came from."""
    transform = chain_of(names, grid, linear_field)
    moving = Grid.from_spacing(tuple(2 * n for n in grid.shape), grid.spacing * 0.9, direction=grid.direction)
    moving = Grid.from_spacing(moving.shape, moving.spacing, moving.origin + grid.centre, moving.direction)
    world = moving.index_to_world(indices(moving.shape))
    core = tuple(slice(4, -4) for _ in grid.shape)
    places = grid.index_to_world(indices(grid.shape)[core])
    expected = transform.map_points(places.reshape(-1, grid.ndim)).reshape(places.shape)
    for axis in range(grid.ndim):
        ramp = Image(torch.as_tensor(world[None, None, ..., axis]), moving)
        warped = transform.warp(ramp, grid, background="border").data[0, 0].numpy()
        np.testing.assert_allclose(warped[core], expected[..., axis], atol=1e-9)


@pytest.mark.parametrize("names", CHAINS)
def test_displacement_holds_the_whole_chain(names, grid):
    transform = chain_of(names, grid, waves)
    index = indices(grid.shape).reshape(-1, grid.ndim)
    there = transform.map_points(grid.index_to_world(index))
    moving = Grid.from_spacing((9, 8, 7)[: grid.ndim], 3.0, direction=turned(grid.ndim, 0.3))
    for target in (None, moving):
        displacement = np.asarray(transform.on(grid).displacement(target))[0].reshape(grid.ndim, -1).T
        np.testing.assert_allclose(index + displacement, (target or grid).world_to_index(there), atol=1e-4)


def test_displacement_of_a_field_is_the_field(grid):
    field = waves(grid)
    assert torch.equal(field.on(grid).displacement(), field.data)
    assert torch.equal(field.on(grid).displacement(grid), field.data)


def test_then_is_flat_and_in_order(grid, rng):
    field, affine = waves(grid), some_affine(grid)
    chain = field.then(affine).then(field.then(affine))
    assert chain.parts == (field, affine, field, affine)
    points = interior(grid, rng)
    expected = points
    for part in chain.parts:
        expected = part.map_points(expected)
    np.testing.assert_array_equal(chain.map_points(points), expected)


def test_a_field_that_is_trained_maps_points(grid, rng):
    field = waves(grid)
    points = interior(grid, rng)
    trained = DisplacementField(field.data.clone().requires_grad_(), grid)
    np.testing.assert_array_equal(trained.map_points(points), field.map_points(points))


class TestInverse:
    def test_affine(self, grid, rng):
        affine, points = some_affine(grid), interior(grid, rng)
        np.testing.assert_allclose(affine.inverse().map_points(affine.map_points(points)), points, atol=1e-10)
        np.testing.assert_allclose(affine.inverse().inverse().matrix, affine.matrix, atol=1e-12)

    def test_field_that_is_affine(self, grid, rng):
        """The inverse of p + A p + b is known: (I + A)^-1 (q - b)."""
        matrix = 0.08 * np.cos(np.arange(grid.ndim**2).reshape(grid.ndim, -1))
        field = field_on(grid, lambda p: p @ matrix.T + 0.3)
        result = invert(field, tolerance=1e-7)
        assert result.error_mean <= 1e-7
        points = interior(grid, rng)
        expected = (points - grid.centre - 0.3) @ np.linalg.inv(np.eye(grid.ndim) + matrix).T + grid.centre
        np.testing.assert_allclose(result.field.map_points(points), expected, atol=1e-4)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_smooth_waves(self, grid, rng, dtype):
        field = DisplacementField(waves(grid).data.to(dtype), grid)
        result = invert(field)
        assert result.field.data.dtype == dtype
        assert result.error_mean <= 1e-3
        centres = grid.index_to_world(np.round(grid.world_to_index(interior(grid, rng))))
        there = result.field.map_points(centres)
        assert np.abs(there - centres).max() > 1
        np.testing.assert_allclose(field.map_points(there), centres, atol=0.05)

    def test_the_error_is_that_of_the_result(self, grid):
        """Whether it has converged or run out of iterations."""
        field = waves(grid)
        size = torch.tensor(grid.shape).reshape(-1, *[1] * grid.ndim)
        index = torch.as_tensor(np.moveaxis(indices(grid.shape), -1, 0))
        for iterations in (1, 2, 50):
            result = invert(field, iterations=iterations)
            v = result.field.data[0]
            there = grid.index_to_world(np.moveaxis((index + v).numpy(), 0, -1)).reshape(-1, grid.ndim)
            back = grid.world_to_index(field.map_points(there)).reshape(*grid.shape, grid.ndim)
            error = np.linalg.norm(back - indices(grid.shape), axis=-1)
            inside = ((index + v >= -0.5) & (index + v < size - 0.5)).all(dim=0).numpy()
            assert result.error_mean == pytest.approx(error[inside].mean(), rel=1e-6)
            assert result.error_max == pytest.approx(error[inside].max(), rel=1e-6)
            assert result.iterations <= iterations

    def test_steep_fields_are_damped(self):
        """A stretch by 2.5 makes the plain iteration diverge."""
        grid = Grid.from_spacing((41, 41))
        field = field_on(grid, lambda p: 1.5 * p * np.exp(-(p**2).sum(-1, keepdims=True) / 60))
        result = invert(field)
        assert result.error_mean <= 1e-3

    def test_a_fold_is_not_hidden(self):
        grid = Grid.from_spacing((41, 41))
        field = field_on(grid, lambda p: -2.5 * p * np.exp(-(p**2).sum(-1, keepdims=True) / 60))
        assert field.jacobian_determinant().min() < 0
        assert invert(field).error_max > 0.5

    def test_what_has_no_inverse_at_all_is_an_error(self):
        """All is mapped onto one point."""
        grid = Grid.from_spacing((21, 21))
        with pytest.raises(TransformError, match="inver"):
            field_on(grid, lambda p: -p).inverse()

    @pytest.mark.parametrize("names", [n for n in CHAINS if n.count("field") < 2])
    def test_chain(self, names, grid, rng):
        transform = chain_of(names, grid, lambda g: waves(g, 1.0, 8.0))
        points = interior(grid, rng)
        np.testing.assert_allclose(transform.inverse().map_points(transform.map_points(points)), points, atol=0.1)

    def test_zero(self, grid):
        result = invert(DisplacementField.zero(grid))
        assert (result.error_mean, result.error_max, result.iterations) == (0, 0, 1)
        assert not result.field.data.any()


class TestJacobianDeterminant:
    def test_of_an_affine_map(self, grid):
        affine = some_affine(grid)
        found = affine.on(grid).jacobian_determinant()
        assert found.shape == (1, *grid.shape)
        np.testing.assert_allclose(found, np.linalg.det(affine.matrix), rtol=1e-6)

    def test_of_an_affine_field(self, grid):
        matrix = 0.1 * np.cos(np.arange(grid.ndim**2).reshape(grid.ndim, -1))
        found = field_on(grid, lambda p: p @ matrix.T).jacobian_determinant()
        np.testing.assert_allclose(found, np.linalg.det(np.eye(grid.ndim) + matrix), rtol=1e-10)

    def test_of_a_shear_wave_and_of_a_stretching_wave(self):
        grid = Grid.from_spacing((200, 12), (0.2, 3.0))
        shear = field_on(grid, lambda p: np.stack([0 * p[..., 0], np.sin(p[..., 0])], -1))
        np.testing.assert_allclose(shear.jacobian_determinant(), 1, atol=1e-12)
        stretch = field_on(grid, lambda p: np.stack([0.5 * np.sin(p[..., 0]), 0 * p[..., 0]], -1))
        x = (grid.index_to_world(indices(grid.shape)) - grid.centre)[..., 0]
        found = stretch.jacobian_determinant()[0].numpy()
        np.testing.assert_allclose(found[1:-1], 1 + 0.5 * np.cos(x[1:-1]), atol=0.005)

    def test_of_a_chain_is_the_product(self, grid):
        field, affine = linear_field(grid), some_affine(grid)
        expected = np.linalg.det(affine.matrix) * field.jacobian_determinant().numpy()
        for chain in (field.then(affine), affine.then(linear_field(chain_grid(grid)))):
            np.testing.assert_allclose(chain.on(grid).jacobian_determinant().numpy(), expected, rtol=1e-9)

    def test_a_reflection_of_one_axis_folds_everywhere(self, grid):
        matrix = np.eye(grid.ndim + 1)
        matrix[0, 0] = -1
        assert (Affine(matrix).on(grid).jacobian_determinant() < 0).all()


def chain_grid(grid: Grid) -> Grid:
    """The same place and centre, twice as wide: the affine map of the grid stays inside."""
    wide = Grid.from_spacing(grid.shape, 2 * grid.spacing, direction=grid.direction)
    return Grid.from_spacing(wide.shape, wide.spacing, wide.origin + grid.centre, wide.direction)


def test_identities(grid, rng):
    points = interior(grid, rng)
    noise = Image(torch.as_tensor(rng.normal(size=(1, 1, *grid.shape)), dtype=torch.float32), grid)
    for identity in (Affine.identity(grid.ndim), DisplacementField.zero(grid)):
        np.testing.assert_allclose(identity.map_points(points), points, atol=1e-12)
        torch.testing.assert_close(identity.warp(noise, grid).data, noise.data, rtol=0, atol=1e-5)
        assert (identity.on(grid).jacobian_determinant() == 1).all()


@pytest.mark.parametrize(
    "matrix",
    [
        np.eye(2),
        np.eye(5),
        np.ones((3, 4)),
        np.zeros(4),
        np.diag([1.0, 0, 1, 1]),
        np.diag([1.0, np.nan, 1, 1]),
        np.eye(4) + 3 * np.eye(4, k=-3),
    ],
)
def test_what_is_no_affine_map(matrix):
    with pytest.raises(TransformError, match="affine"):
        Affine(matrix)


def test_an_affine_map_does_not_change():
    matrix = np.eye(3)
    affine = Affine(matrix)
    matrix[0, 0] = 5
    assert affine.matrix[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        affine.matrix[0, 0] = 5


@pytest.mark.parametrize("shape", [(1, 3, 24, 20), (2, 2, 24, 20), (1, 2, 20, 24), (2, 24, 20)])
def test_a_field_has_the_shape_of_its_grid(shape):
    with pytest.raises(TransformError, match="shape"):
        DisplacementField(torch.zeros(shape), GRIDS["2D"])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_field_is_finite(value):
    with pytest.raises(TransformError, match="NaN"):
        DisplacementField(torch.full((1, 2, 24, 20), value), GRIDS["2D"])


def test_chains_of_nothing_or_of_two_dimensions():
    with pytest.raises(TransformError, match="composite"):
        Composite(())
    with pytest.raises(TransformError, match=r"\[2, 3\]"):
        Affine.identity(2).then(Affine.identity(3))


def test_a_transform_of_another_dimension():
    with pytest.raises(TransformError, match="a 2D one"):
        Affine.identity(2).on(GRIDS["LPS"])


def of_each_kind(grid: Grid) -> list[Transform]:
    field = DisplacementField.zero(grid)
    return [Affine.identity(grid.ndim), field, Composite((field, Affine.identity(grid.ndim)))]


def test_points_keep_their_shape(grid):
    points = np.stack([grid.centre, grid.origin]).reshape(2, 1, grid.ndim)
    for transform in of_each_kind(grid):
        np.testing.assert_allclose(transform.map_points(points), points)
        np.testing.assert_allclose(transform.map_points(grid.centre), grid.centre)


@pytest.mark.parametrize("points", [np.zeros((6, 1)), np.zeros((6, 4)), 3.0, np.zeros((0,))], ids=str)
def test_points_of_another_dimension(points, grid):
    other = np.zeros((6, 5 - grid.ndim))  # their number would do
    for transform in of_each_kind(grid):
        for wrong in (points, other):
            with pytest.raises(ShapeError, match=rf"points: got shape .*expected \(\.\.\., {grid.ndim}\) for a"):
                transform.map_points(wrong)


def test_a_line_says_what_a_transform_is(grid):
    for transform in of_each_kind(grid):
        assert "\n" not in repr(transform)
        assert len(repr(transform)) < 200
    assert repr(Affine.identity(2)) == "Affine(2D, translation (0, 0) mm, volume x 1)"
    assert repr(DisplacementField.zero(grid)) == f"DisplacementField({grid})"
    assert repr(grid) == f"Grid({grid})"
