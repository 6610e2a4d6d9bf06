import numpy as np
import pytest

from learngn.grid import Grid
from learngn.report.planes import choose_planes

LETTERS = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}


def oriented(codes, shape=(12, 10, 8), spacing=(1.0, 2.0, 3.0), tilt=0.0):
    """A grid whose axes point to `codes`, turned about S by `tilt`."""
    direction = np.zeros((3, 3))
    for axis, code in enumerate(codes):
        row, sign = LETTERS[code]
        direction[row, axis] = sign
    turn = np.array([[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]])
    return Grid.from_spacing(shape, spacing, direction=turn @ direction)


def brightest(page):
    row, column = np.unravel_index(page.argmax(), page.shape)
    return row / (page.shape[0] - 1), column / (page.shape[1] - 1)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "LAS", "SRP", "PIL", "ASL"])
@pytest.mark.parametrize("tilt", [0.0, 0.3])
def test_the_page_shows_every_side_where_its_mark_says(codes, tilt):
    grid = oriented(codes, tilt=tilt)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    world = grid.index_to_world(index)
    for plane in choose_planes(grid):
        for side, place in (("left", 0), ("right", 1)):
            row, sign = LETTERS[getattr(plane.marks, side)]
            assert brightest(plane.cut(sign * world[..., row]))[1] == place
        for side, place in (("top", 0), ("bottom", 1)):
            row, sign = LETTERS[getattr(plane.marks, side)]
            assert brightest(plane.cut(sign * world[..., row]))[0] == place


def test_views_are_the_radiologists():
    axial, coronal, sagittal = choose_planes(oriented("LPS"))
    assert (axial.name, axial.marks.left, axial.marks.top) == ("axial", "R", "A")
    assert (coronal.name, coronal.marks.left, coronal.marks.top) == ("coronal", "R", "S")
    assert (sagittal.name, sagittal.marks.left, sagittal.marks.top) == ("sagittal", "A", "S")


@pytest.mark.parametrize("codes", ["RAS", "SRP", "PIL"])
def test_size_in_mm_and_cut_agree(codes):
    grid = oriented(codes)
    for plane in choose_planes(grid):
        rows, columns = plane.cut(np.zeros(grid.shape)).shape
        assert (columns, rows) == (grid.shape[plane.columns], grid.shape[plane.rows])
        assert plane.size == (columns * grid.spacing[plane.columns], rows * grid.spacing[plane.rows])


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SRP", "PIL"])
def test_vectors_point_where_the_voxels_go(codes):
    """A displacement in the world by one voxel to the mark on the right is one pixel to the right."""
    grid = oriented(codes)
    for plane in choose_planes(grid):
        for letter, expected in ((plane.marks.right, (1, 0)), (plane.marks.bottom, (0, 1))):
            row, sign = LETTERS[letter]
            world = np.zeros(3)
            world[row] = sign
            voxel = np.linalg.solve(grid.direction, world)
            field = np.broadcast_to(voxel.reshape(3, 1, 1, 1), (3, *grid.shape))
            right, down = plane.cut_vectors(field)
            np.testing.assert_allclose((right.mean(), down.mean()), expected, atol=1e-12)


def test_planes_are_cut_where_most_labels_are():
    labels = np.zeros((12, 10, 8), dtype=int)
    labels[2, 3, 6], labels[2:4, 3, 6] = 1, 2
    labels[2, 3:5, 6] = 3
    indices = {plane.axis: plane.index for plane in choose_planes(oriented("RAS"), labels)}
    assert indices == {0: 2, 1: 3, 2: 6}


def test_without_labels_the_middle():
    assert {plane.index for plane in choose_planes(oriented("RAS"), np.zeros((12, 10, 8), dtype=int))} == {6, 5, 4}


def test_2d_has_one_plane_without_marks():
    """The header of a PNG, with ITK's axes: the page shows it as an image viewer does."""
    grid = Grid.from_spacing((6, 4), direction=-np.eye(2))
    (plane,) = choose_planes(grid)
    page = np.arange(24).reshape(6, 4)
    assert plane.marks is None
    np.testing.assert_array_equal(plane.cut(page), page.T)


def test_axes_at_45_degrees_get_different_letters():
    grid = oriented("RAS", tilt=np.pi / 4)
    assert len({LETTERS[code][0] for code in grid.axis_codes}) == 3
