"""Dose: its grid, its mapping, and dose-volume numbers of known distributions."""

import numpy as np
import pytest
import SimpleITK as sitk

from learngn import Affine, DisplacementField, Grid, Image
from learngn.errors import SettingsError
from learngn.geometry.grid_map import GridMap
from learngn.io import to_itk, to_sitk
from learngn.radiotherapy import Solid, absorbed_energy, carry_dose, dose_volume, vector_grid, warp_dose
from learngn.radiotherapy.dose import density, grid_for_dose

LPS = np.diag([-1.0, -1.0, 1.0])
TURN = np.array([[np.cos(0.2), -np.sin(0.2), 0], [np.sin(0.2), np.cos(0.2), 0], [0, 0, 1]])


def points_of(grid):
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    return grid.index_to_world(index)


def image_of(grid, function):
    return Image(function(points_of(grid)).astype(np.float32)[None, None], grid)


def bump(points):
    return 50 * np.exp(-(points**2).sum(-1) / (2 * 12.0**2))


@pytest.fixture
def scan_grid():
    return Grid.from_spacing((44, 40, 20), (1.5, 1.6, 3.0), direction=LPS)


@pytest.fixture
def dose():
    return image_of(Grid.from_spacing((24, 22, 18), (4.0, 4.0, 3.5), direction=LPS), bump)


@pytest.fixture
def waves(scan_grid):
    """A smooth displacement of up to 3 mm."""
    index = np.indices(scan_grid.shape, dtype=np.float32)
    data = np.stack([1.5 * np.sin(np.roll(index, 1, 0)[axis] / 7 + axis) for axis in range(3)])
    return DisplacementField(data[None], scan_grid)


def affine_of(linear, shift):
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = linear, shift
    return Affine(matrix)


def test_the_identity_returns_dose_and_grid(dose, scan_grid):
    carried = warp_dose(dose, Affine.identity(3), scan_grid)
    assert carried.grid.same_space(dose.grid)
    np.testing.assert_allclose(carried.data, dose.data, atol=1e-4)
    np.testing.assert_array_equal(
        warp_dose(dose, DisplacementField.zero(scan_grid), scan_grid).data.shape, dose.data.shape
    )


def test_between_frames_the_grid_follows(dose, scan_grid):
    """Scans of other frames of reference lie anywhere: the voxels go where the tissue is."""
    transform = affine_of(TURN, [300.0, -200.0, 77.0])
    there = Grid(scan_grid.shape, transform.inverse().matrix @ scan_grid.affine)
    carried = warp_dose(dose, transform, there)
    expected = bump(transform.map_points(points_of(carried.grid)))
    np.testing.assert_allclose(carried.data[0, 0], expected, atol=1.5)  # interpolation in voxels of 4 mm
    corners = dose.grid.index_to_world([[0, 0, 0], [23, 21, 17]])
    index = carried.grid.world_to_index(transform.inverse().map_points(corners))
    assert (index > -0.5).all()
    assert (index < np.array(carried.grid.shape) - 0.5).all()


@pytest.mark.parametrize("on", ["dose", "scan"])
def test_against_simpleitk(dose, waves, scan_grid, on):
    transform = waves.then(affine_of(TURN, [2.0, 1.0, -3.0]))
    carried = warp_dose(dose, transform, scan_grid, on=on)
    theirs = sitk.Resample(to_sitk(dose), to_sitk(carried), to_itk(transform), sitk.sitkLinear, 0.0, sitk.sitkFloat32)
    ours, theirs = carried.data[0, 0], sitk.GetArrayFromImage(theirs).T
    index = dose.grid.world_to_index(transform.map_points(points_of(carried.grid)))
    inside = ((index > 0.01) & (index < np.array(dose.grid.shape) - 1.01)).all(-1)
    own = scan_grid.world_to_index(points_of(carried.grid))  # at the edge of its grid ITK ends a displacement sooner
    inside &= ((own > 0.01) & (own < np.array(scan_grid.shape) - 1.01)).all(-1)
    assert inside.sum() > 2000
    np.testing.assert_allclose(ours[inside], theirs[inside], atol=2e-3)


def water(grid, radius=18.0):
    return image_of(grid, lambda p: np.where(np.linalg.norm(p, axis=-1) < radius, 0.0, -1000.0))


def test_energy_is_kept_where_water_shrinks(dose):
    """A ball of water of 9/10 of the radius: the same energy in .729 of the mass."""
    grid = Grid.from_spacing((50, 50, 50), 1.0, direction=LPS)
    moving, fixed = water(grid), water(grid, 0.9 * 18.0)
    transform = affine_of(np.eye(3) / 0.9, [0, 0, 0])
    before = absorbed_energy(dose, moving)
    direct = carry_dose(dose, transform, fixed, moving, on="scan")
    energy = carry_dose(dose, transform, fixed, moving, on="scan", mapping="energy")
    assert absorbed_energy(energy, fixed) == pytest.approx(before, rel=0.03)
    assert absorbed_energy(direct, fixed) == pytest.approx(0.729 * before, rel=0.03)
    middle = (25, 25, 25)
    assert energy.data[0, 0][middle] == pytest.approx(direct.data[0, 0][middle] / 0.729, rel=0.01)


def test_energy_mapping_is_direct_where_mass_is_kept(dose):
    """Denser by as much as it is smaller."""
    grid = Grid.from_spacing((40, 40, 40), 1.0, direction=LPS)
    moving = image_of(grid, lambda p: np.where(np.linalg.norm(p, axis=-1) < 17, -500.0, -1000.0))
    smaller = (float(density(moving).data.max()) / 1.0174) ** (1 / 3)  # 0 HU: between the table's -98 and 14
    fixed = image_of(grid, lambda p: np.where(np.linalg.norm(p, axis=-1) < 17 * smaller, 0.0, -1000.0))
    transform = affine_of(np.eye(3) / smaller, [0, 0, 0])
    direct = carry_dose(dose, transform, fixed, moving, on="scan")
    energy = carry_dose(dose, transform, fixed, moving, on="scan", mapping="energy")
    inner = np.linalg.norm(points_of(grid), axis=-1) < 17 * smaller - 2
    np.testing.assert_allclose(energy.data[0, 0][inner], direct.data[0, 0][inner], rtol=0.01)


def test_energy_mapping_needs_ct(dose, scan_grid):
    scan = image_of(scan_grid, lambda p: p[..., 0])
    with pytest.raises(SettingsError, match=r"fixed scan: got values without air.*choose the direct mapping"):
        carry_dose(dose, Affine.identity(3), scan, scan, mapping="energy")
    with pytest.raises(SettingsError, match="dose mapping: got 'mass'"):
        carry_dose(dose, Affine.identity(3), scan, scan, mapping="mass")


def box_of(grid, size, planes):
    ring = size * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], float)
    heights = [float((grid.affine[:3, 2] * (k - (grid.shape[2] - 1) / 2)) @ grid.direction[:, 2]) for k in planes]
    return Solid.of([np.column_stack([ring, np.full(4, z)]) @ grid.direction.T for z in heights], grid)


@pytest.mark.parametrize("direction", [LPS, np.eye(3), TURN @ LPS], ids=["LPS", "RAS", "turned"])
def test_dose_volume_of_a_ramp(direction):
    """Dose that rises from 0 to 40 Gy across a box: every number is known."""
    scan = Grid.from_spacing((40, 40, 20), (1.0, 1.0, 3.0), direction=direction)
    across = direction[:, 0]
    grid = Grid.from_spacing((30, 30, 30), 2.5, direction=LPS)
    dose = image_of(grid, lambda p: 20 + 2 * (p @ across))
    found = dose_volume(box_of(scan, 10.0, range(6, 14)), dose, (10.0, 20.0, 35.0, 50.0))
    assert found.volume == pytest.approx(20 * 20 * 24 / 1000)
    assert found.mean == pytest.approx(20, abs=0.02)
    assert (found.minimum, found.maximum) == (pytest.approx(0, abs=1.5), pytest.approx(40, abs=1.5))
    for percent, expected in {98: 0.8, 95: 2, 50: 20, 2: 39.2}.items():
        assert found.at_percent[percent] == pytest.approx(expected, abs=0.15)
    for level, expected in {10: 75, 20: 50, 35: 12.5, 50: 0}.items():
        assert found.above[level] == pytest.approx(expected, abs=0.5)
    assert found.curve[1, 0] == 100
    assert (np.diff(found.curve[1]) <= 0).all()
    assert found.outside == 0


def test_outside_the_dose():
    scan = Grid.from_spacing((40, 40, 20), (1.0, 1.0, 3.0), direction=LPS)
    half = Grid.from_spacing((10, 20, 30), 2.0, origin=(-19.0, -19.0, -29.0))  # x < 0
    found = dose_volume(box_of(scan, 10.0, range(6, 14)), image_of(half, lambda p: np.full(p.shape[:-1], 30.0)))
    assert found.outside == pytest.approx(50, abs=1)
    assert found.mean == pytest.approx(15, abs=0.3)


def test_vectors_are_as_sparse_as_they_may_be(waves, scan_grid):
    smooth = DisplacementField(0.02 * waves.data, scan_grid)
    for field in (smooth, waves):
        grid = vector_grid(field, scan_grid)
        again = DisplacementField(field.on(grid).field, grid).on(scan_grid).field
        error = np.linalg.norm(((again - field.data)[0].T * scan_grid.spacing), axis=-1)
        assert error.max() < 0.02
    assert vector_grid(smooth, scan_grid).size < scan_grid.size / 5
    assert vector_grid(waves, scan_grid) == scan_grid
    assert vector_grid(Affine.identity(3), scan_grid) == scan_grid


def test_the_grid_of_a_dose_grows_with_the_displacement(dose, scan_grid):
    u = np.zeros((1, 3, *scan_grid.shape), np.float32)
    u[:, 2] = 2.0  # 6 mm
    grid = grid_for_dose(dose.grid, GridMap(scan_grid, u, np.eye(4)))
    assert np.subtract(grid.shape, dose.grid.shape).tolist() == [0, 0, 4]
