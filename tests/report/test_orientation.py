"""Every view shows every side of the patient where its letter says, whatever the order of the scan's axes."""

import numpy as np
import pytest

from learngn.geometry.grid import Grid
from learngn.report.orientation import VIEWS, Orientation

LETTERS = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}


def oriented(codes, shape=(12, 10, 8), spacing=(1.0, 2.0, 3.0), tilt=0.0):
    """A grid whose axes point to `codes`, turned about S by `tilt`."""
    direction = np.zeros((3, 3))
    for axis, code in enumerate(codes):
        row, sign = LETTERS[code]
        direction[row, axis] = sign
    turn = np.array([[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]])
    return Grid.from_spacing(shape, spacing, direction=turn @ direction)


def index_of(grid):
    return np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "LAS", "SRP", "PIL", "ASL"])
@pytest.mark.parametrize("tilt", [0.0, 0.3])
def test_every_side_where_its_letter_says(codes, tilt):
    grid = oriented(codes, tilt=tilt)
    turn = Orientation.of(grid)
    world = np.moveaxis(grid.index_to_world(index_of(grid)), -1, 0)
    for view in VIEWS[3]:
        for letter, axis, last in zip(view.marks, (view.across,) * 2 + (view.down,) * 2, (0, 1, 0, 1), strict=True):
            row, sign = LETTERS[letter]
            towards = sign * turn.volume(world[row])
            place = np.unravel_index(towards.argmax(), towards.shape)[2 - axis]
            assert place == last * (towards.shape[2 - axis] - 1)


def test_views_are_the_radiologists():
    assert [(view.name, view.marks) for view in VIEWS[3]] == [
        ("axial", "RLAP"),
        ("coronal", "RLSI"),
        ("sagittal", "APSI"),
    ]


@pytest.mark.parametrize("codes", ["RAS", "SRP", "PIL"])
def test_sizes_and_places_in_mm(codes):
    grid = oriented(codes)
    turn = Orientation.of(grid)
    shape = turn.volume(np.zeros(grid.shape)).shape
    extent = [n * s for n, s in zip(shape[::-1], turn.spacing(grid), strict=True)]
    assert sorted(extent) == sorted(grid.extent)
    # The voxel at an index of the page lies where the affine of the page says.
    world = np.stack([turn.volume(part) for part in np.moveaxis(grid.index_to_world(index_of(grid)), -1, 0)], axis=-1)
    z, y, x = 1, 2, 3
    np.testing.assert_allclose((turn.affine(grid) @ (x, y, z, 1))[:3], world[z, y, x], atol=1e-12)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SRP", "PIL"])
def test_vectors_point_where_the_voxels_go(codes):
    """A displacement in the world by one voxel to the side on the right is one voxel along x of the page."""
    grid = oriented(codes)
    turn = Orientation.of(grid)
    for axis, letter in enumerate("LPI"):
        row, sign = LETTERS[letter]
        world = np.zeros(3)
        world[row] = sign
        voxel = np.linalg.solve(grid.direction, world)
        field = np.broadcast_to(voxel.reshape(3, 1, 1, 1), (3, *grid.shape))
        np.testing.assert_allclose(turn.vectors(field).mean(axis=(1, 2, 3)), np.eye(3)[axis], atol=1e-12)


def test_2d_as_an_image_viewer_shows_it():
    """The header of a PNG, with ITK's axes: no letters, since a 2D header does not know the body."""
    grid = Grid.from_spacing((6, 4), direction=-np.eye(2))
    page = np.arange(24).reshape(6, 4)
    np.testing.assert_array_equal(Orientation.of(grid).volume(page)[0], page.T)
    assert [view.marks for view in VIEWS[2]] == [""]


def test_axes_at_45_degrees():
    grid = oriented("RAS", tilt=np.pi / 4)
    assert sorted(Orientation.of(grid).order) == [0, 1, 2]
