"""Contours: the region that they enclose, and where they lie on another scan."""

import numpy as np
import pytest

from learngn import Affine, DisplacementField, Grid
from learngn.errors import LabelError
from learngn.io import Contour, Structure, read_structures
from learngn.radiotherapy import Solid, carry_structures

shapely = pytest.importorskip("shapely")

LPS = np.diag([-1.0, -1.0, 1.0])
A, B = np.cos(0.3), np.sin(0.3)
OBLIQUE = np.array([[A, -B, 0], [B, A, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, A, -B], [0, B, A]])
ORIENTATIONS = {
    "LPS": LPS,
    "RAS": np.eye(3),
    "sagittal": np.array([[0, 0, 1.0], [1, 0, 0], [0, 1, 0]]),
    "oblique": OBLIQUE @ LPS,
}


def circle(radius, n=90):
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return radius * np.column_stack([np.cos(angle), np.sin(angle)])


def grid_of(direction=LPS, shape=(60, 56, 12), spacing=(1.0, 1.2, 3.0)):
    return Grid.from_spacing(shape, spacing, direction=direction) if direction is not None else None


def on_planes(grid, ring, planes):
    """A ring about the middle of each plane of a grid, RAS mm."""
    middle = grid.centre @ grid.direction
    heights = [float(grid.index_to_world([0, 0, k]) @ grid.direction[:, 2]) for k in planes]
    return [np.column_stack([ring + middle[:2], np.full(len(ring), z)]) @ grid.direction.T for z in heights]


def by_plane(contours, grid):
    found = {}
    for points in contours:
        local = points @ grid.direction
        plane = int(np.rint(grid.world_to_index(points)[:, 2].mean()))
        found.setdefault(plane, []).append(shapely.LinearRing(local[:, :2]))
    return {plane: shapely.MultiLineString(rings) for plane, rings in found.items()}


def furthest(contours, others, grid):
    """Largest distance between the contours of two structures, plane by plane [mm]."""
    one, two = by_plane(contours, grid), by_plane(others, grid)
    assert one.keys() == two.keys()
    return max(shapely.hausdorff_distance(one[k], two[k], densify=0.02) for k in one)


def test_a_cylinder():
    grid = grid_of()
    solid = Solid.of(on_planes(grid, circle(10.0), range(2, 8)), grid)
    area = 90 / 2 * 10.0**2 * np.sin(2 * np.pi / 90)
    assert solid.volume == pytest.approx(6 * 3.0 * area, rel=1e-9)
    middle = grid.centre @ grid.direction
    low = float(grid.index_to_world([0, 0, 2]) @ grid.direction[:, 2])
    points = np.array([[0, 0, 3.0], [8, 0, 4.5], [12, 0, 6.0], [0, 0, -1.4], [0, 0, -1.6], [0, 0, 16.4]])
    inside = solid.inside(points + np.array([*middle[:2], low]))
    np.testing.assert_allclose(inside[:3], [4.5, 2, -2], atol=0.02)  # the end is half a plane below the first
    np.testing.assert_allclose(inside[3:], [0.1, -10, 0.1], atol=0.02)


def test_a_cone_between_its_contours():
    grid = grid_of()
    rings = [on_planes(grid, circle(r), [k])[0] for r, k in ((6.0, 3), (12.0, 4))]
    solid = Solid.of(rings, grid)
    low = float(rings[0] @ grid.direction[:, 2] @ np.full(90, 1 / 90))
    middle = grid.centre @ grid.direction
    for share in (0.25, 0.5, 0.9):
        edge = 6 + 6 * share
        points = np.array([[edge - 0.1, 0, low + 3 * share], [edge + 0.1, 0, low + 3 * share]])
        points = points + np.array([*middle[:2], 0])
        assert (solid.inside(points) > 0).tolist() == [True, False]


def test_holes_and_the_channels_to_them():
    grid = grid_of()
    ring = np.array([[-10, -10], [10, -10], [10, 10], [-10, 10]], float)
    hole = 0.4 * ring
    apart = Solid.of([*on_planes(grid, ring, [4]), *on_planes(grid, hole, [4])], grid)
    keyhole = np.vstack([ring, ring[:1], hole[:1], hole[::-1][:-1], hole[:1]])
    joined = Solid.of(on_planes(grid, keyhole, [4]), grid)
    for solid in (apart, joined):
        assert solid.volume == pytest.approx((400 - 64) * 3.0)


def test_a_structure_in_two_parts_is_not_joined():
    grid = grid_of()
    solid = Solid.of(on_planes(grid, circle(8.0), [1, 2, 3, 8, 9]), grid)
    assert [len(run.planes) for run in solid.runs] == [3, 2]
    assert solid.volume == pytest.approx(5 * 3 * 90 / 2 * 64 * np.sin(2 * np.pi / 90))


@pytest.mark.parametrize("direction", ORIENTATIONS.values(), ids=ORIENTATIONS)
def test_the_identity_returns_the_contours(direction):
    grid = grid_of(direction)
    square = np.array([[-9.3, -7.1], [8.2, -7.1], [8.2, 9.9], [-9.3, 9.9]])  # with sharp corners between voxels
    drawn = [*on_planes(grid, square, range(1, 10)), *on_planes(grid, circle(3.0), range(3, 7))]
    structure = Structure(3, "square with a hole", (1, 2, 3), "PTV", tuple(Contour(p) for p in drawn))
    (result,) = carry_structures([structure], Affine.identity(3), grid, grid).structures
    assert (result.number, result.name, result.colour, result.kind) == (3, "square with a hole", (1, 2, 3), "PTV")
    assert furthest(drawn, result.regions, grid) < 0.1
    for points in result.regions:
        heights = points @ grid.direction[:, 2]
        assert np.ptp(heights) < 1e-9


def test_the_contours_of_a_plan_return(study, scan):
    found = read_structures(study.structures[0], study.frame).structures
    result = carry_structures(found, Affine.identity(3), scan.grid, scan.grid)
    assert result.notes == ("never_drawn has no contours",)
    for before, after in zip(found[:3], result.structures[:3], strict=True):
        assert furthest(before.regions, after.regions, scan.grid) < 0.1
    assert result.structures[3].contours == ()


@pytest.mark.parametrize("direction", ORIENTATIONS.values(), ids=ORIENTATIONS)
def test_a_moved_sphere_lies_where_the_inverse_says(direction):
    """Contours of a sphere, turned and shifted: those of the sphere about the moved centre."""
    moving, fixed = grid_of(direction, (70, 70, 70), 1.0), grid_of(LPS, (50, 52, 24), (1.5, 1.4, 2.5))
    radius, centre = 15.0, moving.centre
    heights = np.arange(-14, 15)
    rings = [
        np.column_stack([circle(np.sqrt(radius**2 - z**2)), np.full(90, z)]) @ moving.direction.T + centre
        for z in heights
    ]
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = OBLIQUE, [2.0, -3.0, 4.0]
    transform = Affine(matrix)
    structure = Structure(1, "sphere", contours=tuple(Contour(ring) for ring in rings))
    (result,) = carry_structures([structure], transform, fixed, moving).structures
    points = np.concatenate(result.regions)
    there = transform.inverse().map_points(centre)
    off = np.linalg.norm(points - there, axis=1) - radius
    poles = np.abs((points - there) @ (OBLIQUE.T @ moving.direction)[:, 2]) > 12  # caps: half a plane is added
    assert np.abs(off[~poles]).max() < 0.15
    volume = Solid.of(result.regions, fixed).volume
    assert volume == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.02)


def test_a_displacement_moves_the_contours():
    grid = grid_of()
    u = np.zeros((1, 3, *grid.shape), np.float32)
    u[:, 0] = 4.0  # voxels of 1 mm along i: the tissue of i is found at i + 4, so it moves back by 4
    drawn = on_planes(grid, circle(9.0), range(2, 9))
    structure = Structure(1, "tube", contours=tuple(Contour(p) for p in drawn))
    (result,) = carry_structures([structure], DisplacementField(u, grid), grid, grid).structures
    moved = [points - 4 * grid.affine[:3, 0] for points in drawn]
    assert furthest(moved, result.regions, grid) < 0.1


def test_points_go_the_other_way():
    grid = grid_of()
    matrix = np.eye(4)
    matrix[:3, 3] = [5, 6, 7]
    point = grid.centre
    structure = Structure(1, "isocentre", contours=(Contour(point[None], "point"),))
    (result,) = carry_structures([structure], Affine(matrix), grid, grid).structures
    np.testing.assert_allclose(result.contours[0].points, point[None] - [5, 6, 7])


def test_a_structure_at_the_edge_of_the_scan_is_closed_there():
    moving, fixed = grid_of(shape=(60, 56, 12)), grid_of(shape=(20, 56, 12))
    drawn = on_planes(moving, circle(14.0), [5, 6])
    structure = Structure(1, "wide", contours=tuple(Contour(p) for p in drawn))
    (result,) = carry_structures([structure], Affine.identity(3), fixed, moving).structures
    x = (np.concatenate(result.regions) @ fixed.direction)[:, 0]
    edges = np.sort((fixed.index_to_world([[0, 0, 0], [19, 0, 0]]) @ fixed.direction)[:, 0])
    assert edges[0] - 0.26 <= x.min() < edges[0] + 0.01
    assert edges[1] - 0.01 < x.max() <= edges[1] + 0.26


def test_what_cannot_be_carried_is_said():
    grid = grid_of()
    (ring,) = on_planes(grid, circle(9.0), [4])
    tilted = ring + np.linspace(0, 8, 90)[:, None] * grid.direction[:, 2]
    structures = [
        Structure(1, "tilted", contours=(Contour(tilted),)),
        Structure(2, "line", contours=(Contour(ring, "line"),)),
        Structure(3, "far", contours=(Contour(ring + np.array([500.0, 0, 0])),)),
    ]
    result = carry_structures(structures, Affine.identity(3), grid, grid)
    assert [structure.contours for structure in result.structures] == [(), (), ()]
    assert result.notes == (
        "tilted is not carried: a contour that extends 8.00 mm across the slices",
        "open lines of line are not carried",
        "far lies outside the fixed scan",
    )
    with pytest.raises(LabelError, match="structure nothing: got no contour that encloses an area"):
        Solid.of([ring[:2]], grid, "nothing")
