"""Where voxels lie: every map between index and world, and every grid made of another one."""

import numpy as np
import pytest
import SimpleITK as sitk

from learngn import Grid
from learngn.errors import GeometryError
from learngn.geometry.grid import bounding_box


def rotation(ndim: int) -> np.ndarray:
    """Turned about two axes, so that no axis of the array is one of the world."""
    a, b, c, d = np.cos(0.4), np.sin(0.4), np.cos(-0.25), np.sin(-0.25)
    if ndim == 2:
        return np.array([[a, -b], [b, a]])
    return np.array([[a, -b, 0], [b, a, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -d], [0, d, c]])


DIRECTIONS = {
    "RAS": lambda ndim: np.eye(ndim),
    "LAS": lambda ndim: np.diag([-1.0, 1, 1][:ndim]),
    "LPS": lambda ndim: np.diag([-1.0, -1, 1][:ndim]),
    "permuted": lambda ndim: np.roll(np.eye(ndim), 1, axis=0),
    "oblique": rotation,
}
SHAPES = [(6, 8), (7, 5), (6, 8, 4), (7, 5, 9), (7, 8, 1)]


@pytest.fixture(params=[(name, shape) for name in DIRECTIONS for shape in SHAPES], ids=str)
def grid(request) -> Grid:
    name, shape = request.param
    ndim = len(shape)
    return Grid.from_spacing(shape, (0.8, 1.5, 3.0)[:ndim], (-31.0, 12.5, 7.0)[:ndim], DIRECTIONS[name](ndim))


def corners(grid: Grid) -> np.ndarray:
    """Outer corners of the outermost voxels [RAS mm]."""
    ends = [(-0.5, n - 0.5) for n in grid.shape]
    return grid.index_to_world(np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1))


def test_index_and_world_are_inverse(grid, rng):
    index = rng.uniform(-3, 12, size=(4, 5, grid.ndim))
    world = grid.index_to_world(index)
    assert world.shape == index.shape
    np.testing.assert_allclose(grid.world_to_index(world), index, atol=1e-12)


def test_affine_is_made_of_origin_direction_and_spacing(grid, rng):
    index = rng.uniform(-3, 12, size=(10, grid.ndim))
    expected = grid.origin + (index * grid.spacing) @ grid.direction.T
    np.testing.assert_allclose(grid.index_to_world(index), expected, atol=1e-12)
    np.testing.assert_allclose(grid.direction.T @ grid.direction, np.eye(grid.ndim), atol=1e-12)
    again = Grid.from_spacing(grid.shape, grid.spacing, grid.origin, grid.direction)
    np.testing.assert_allclose(again.affine, grid.affine, atol=1e-12)


def test_itk_has_the_same_voxels(grid, rng):
    flip = np.array([-1.0, -1.0, 1.0])[: grid.ndim]
    image = sitk.Image(grid.shape, sitk.sitkUInt8)
    image.SetSpacing(grid.spacing.tolist())
    image.SetOrigin((flip * grid.origin).tolist())
    image.SetDirection((flip[:, None] * grid.direction).ravel().tolist())
    for index in rng.uniform(0, 3, size=(5, grid.ndim)):
        theirs = flip * image.TransformContinuousIndexToPhysicalPoint(index.tolist())
        np.testing.assert_allclose(grid.index_to_world(index), theirs, atol=1e-10)


def test_voxel_zero_is_the_origin_and_the_middle_the_centre(grid):
    np.testing.assert_allclose(grid.index_to_world(np.zeros(grid.ndim)), grid.origin)
    np.testing.assert_allclose(grid.centre, corners(grid).reshape(-1, grid.ndim).mean(axis=0), atol=1e-12)


def test_without_an_origin_the_centre_is_that_of_the_world():
    np.testing.assert_allclose(Grid.from_spacing((4, 5, 6), 2.0, direction=rotation(3)).centre, 0, atol=1e-12)


@pytest.mark.parametrize("factor", [0.4, 1, 1.7])
def test_resized_covers_the_same_extent(grid, factor):
    shape = tuple(max(1, round(n * factor)) for n in grid.shape)
    other = grid.resized(shape)
    assert other.shape == shape
    np.testing.assert_allclose(other.extent, grid.extent, rtol=1e-13)
    np.testing.assert_allclose(corners(other), corners(grid), atol=1e-11)
    np.testing.assert_allclose(other.direction, grid.direction, atol=1e-13)
    np.testing.assert_allclose(other.resized(grid.shape).affine, grid.affine, atol=1e-12)


@pytest.mark.parametrize("spacing", [0.1, 1.6, 2.5, 6.0, 1000.0])
def test_coarsened_covers_the_same_extent(grid, spacing):
    coarse = grid.coarsened(spacing)
    np.testing.assert_allclose(corners(coarse), corners(grid), atol=1e-11)
    assert all(a <= b for a, b in zip(coarse.shape, grid.shape, strict=True))


def test_thick_slices_wait_until_the_others_have_come_up():
    grid = Grid.from_spacing((64, 64, 16), (1.0, 1.0, 4.0))
    assert grid.coarsened(2.0).shape == (32, 32, 16)
    assert grid.coarsened(4.0).shape == (16, 16, 16)
    np.testing.assert_allclose(grid.coarsened(4.0).spacing, 4.0)
    assert grid.coarsened(8.0).shape == (8, 8, 8)


def test_odd_sizes_stay_near_the_spacing_asked_for():
    np.testing.assert_allclose(Grid.from_spacing((101, 75, 33), 1.0).coarsened(4.0).spacing, 4.0, rtol=0.05)


def test_index_map_goes_through_the_world(grid, rng):
    ndim = grid.ndim
    other = Grid.from_spacing((9, 4, 6)[:ndim], (2.0, 0.7, 1.1)[:ndim], (3.0, -4, 5)[:ndim], rotation(ndim).T)
    world = np.eye(ndim + 1)
    world[:-1] += rng.normal(scale=0.1, size=(ndim, ndim + 1))
    index = rng.uniform(0, 5, size=(6, ndim))
    for matrix, moved in (
        (grid.index_map(other), grid.index_to_world(index)),
        (grid.index_map(other, world), grid.index_to_world(index) @ world[:-1, :-1].T + world[:-1, -1]),
    ):
        mapped = index @ matrix[:-1, :-1].T + matrix[:-1, -1]
        np.testing.assert_allclose(other.index_to_world(mapped), moved, atol=1e-11)


def test_index_map_of_two_dimensions_is_refused():
    with pytest.raises(GeometryError, match="2D and 3D"):
        Grid((4, 5), np.eye(3)).index_map(Grid((4, 5, 6), np.eye(4)))


def shifted(grid: Grid, voxels: float) -> Grid:
    affine = np.array(grid.affine)
    affine[:-1, -1] += affine[:-1, 0] * voxels
    return Grid(grid.shape, affine)


def test_overlap(grid):
    n = grid.shape[0]
    assert grid.overlap(grid) == 1
    assert grid.overlap(shifted(grid, 10 * n)) == 0
    assert grid.overlap(shifted(grid, n / 2)) == pytest.approx(0.5, abs=0.1)
    back = np.eye(grid.ndim + 1)
    back[:-1, -1] = 10 * n * grid.affine[:-1, 0]
    assert grid.overlap(shifted(grid, 10 * n), back) == 1


def test_a_small_grid_lies_in_a_large_one_but_not_the_reverse():
    small, large = Grid.from_spacing((8, 8, 8), 1.0), Grid.from_spacing((8, 8, 8), 4.0)
    assert small.overlap(large) == 1
    assert large.overlap(small) == pytest.approx(1 / 64, abs=0.03)


@pytest.mark.parametrize(
    ("direction", "codes"),
    [
        (np.eye(3), "RAS"),
        (np.diag([-1.0, -1, 1]), "LPS"),
        (np.diag([-1.0, 1, -1]), "LAI"),
        (np.roll(np.eye(3), 1, axis=0), "ASR"),
        (rotation(3), "RAS"),
        (np.eye(2), "RA"),
        (np.array([[0.0, -1], [1, 0]]), "AL"),
    ],
)
def test_axis_codes(direction, codes):
    assert Grid.from_spacing((2,) * len(direction), direction=direction).axis_codes == codes


@pytest.mark.parametrize("degrees", [44.999, 45.0, 45.001])
def test_axis_codes_name_every_direction_once(degrees):
    a, b = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    grid = Grid.from_spacing((2, 2, 2), direction=np.array([[a, a, 0], [b, -b, 0], [0, 0, 1]]))
    assert grid.axis_codes in ("RPS", "ARS")


def test_sheared_axes_are_legal():
    grid = Grid((4, 5, 6), np.eye(4) + 0.3 * np.eye(4, k=1))
    np.testing.assert_allclose(grid.world_to_index(grid.index_to_world([1, 2, 3])), [1, 2, 3])


def test_equality_and_hash(grid):
    twin = Grid(list(grid.shape), np.array(grid.affine))
    assert twin == grid
    assert hash(twin) == hash(grid)
    assert grid != shifted(grid, 1e-9)
    assert grid != grid.resized((*grid.shape[:-1], grid.shape[-1] + 1))
    assert grid != "a grid"


def test_same_space_has_a_tolerance_in_voxels(grid):
    assert grid.same_space(shifted(grid, 5e-4))
    assert not grid.same_space(shifted(grid, 5e-3))
    assert grid.same_space(shifted(grid, 5e-3), tolerance=0.01)
    assert not grid.same_space(grid.resized((*grid.shape[:-1], grid.shape[-1] + 1)))


def test_grids_of_two_and_three_dimensions_share_no_space():
    assert not Grid((4, 5), np.eye(3)).same_space(Grid((4, 5, 6), np.eye(4)))


def test_a_grid_does_not_change():
    affine = np.eye(4)
    grid = Grid((4, 5, 6), affine)
    affine[0, 0] = 7
    assert grid.affine[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        grid.affine[0, 0] = 2
    with pytest.raises(ValueError, match="read-only"):
        grid.origin[0] = 2


def test_a_grid_says_what_it_is():
    grid = Grid.from_spacing((192, 160, 256), (2, 2, 2.5), direction=np.diag([-1, -1, 1]))
    assert str(grid) == "192x160x256 voxels of 2x2x2.5 mm, LPS"
    assert (grid.size, grid.ndim) == (192 * 160 * 256, 3)


@pytest.mark.parametrize(
    ("shape", "affine", "message"),
    [
        ((4,), np.eye(2), "shape"),
        ((4, 5, 6, 7), np.eye(5), "shape"),
        ((4, 0, 6), np.eye(4), "shape"),
        ((4, 5, 6), np.eye(3), r"\(4, 4\)"),
        ((4, 5), np.eye(4), r"\(3, 3\)"),
        ((4, 5, 6), np.diag([1.0, 0, 1, 1]), "singular"),
        ((4, 5, 6), np.diag([1.0, np.nan, 1, 1]), "singular"),
        ((4, 5, 6), np.diag([1.0, np.inf, 1, 1]), "singular"),
        ((4, 5), np.array([[1.0, 2, 0], [1, 2, 0], [0, 0, 1]]), "singular"),
        ((4, 5), np.array([[1.0, 0, 0], [0, 1, 0], [0, 1, 1]]), "last row"),
    ],
)
def test_what_is_no_grid(shape, affine, message):
    with pytest.raises(GeometryError, match=message):
        Grid(shape, affine)


def test_tiny_voxels_are_not_singular():
    assert Grid.from_spacing((4, 5, 6), 1e-4).spacing == pytest.approx(1e-4)


@pytest.mark.parametrize("shape", [(9, 8), (7, 9, 8)], ids=str)
def test_bounding_box_of_a_mask(shape):
    mask = np.zeros(shape, dtype=bool)
    assert bounding_box(mask) is None
    mask[(2,) * len(shape)] = mask[(5, *[3] * (len(shape) - 1))] = True
    assert bounding_box(mask) == (slice(2, 6), *[slice(2, 4)] * (len(shape) - 1))
    assert bounding_box(np.ones(shape, dtype=bool)) == tuple(slice(0, n) for n in shape)
