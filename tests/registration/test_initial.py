"""Initial transforms: where a registration starts, and that its result contains them."""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from learngn.errors import TransformError
from learngn.features import Given
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.geometry.transform import Affine, Composite, DisplacementField
from learngn.io import write_transform
from learngn.optimise import LandmarkPairs
from learngn.registration import register
from learngn.registration.initial import InitialTransform
from learngn.settings import Settings

SHAPE = (36, 32, 28)
GRID = Grid.from_spacing(SHAPE, 2.0)
RIGID = Settings("mind", affine="rigid", strides=(4, 2), iterations=(6, 4), lam=(0.3, 0.1), quality=False)
DENSE = replace(RIGID, affine="none")
STILL = replace(DENSE, iterations=(0, 0))
ORIENTATIONS = {
    "RAS": np.eye(3),
    "LPS": np.diag([-1.0, -1, 1]),
    "SRA": np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]]),
    "oblique": np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1.0]]),
}


def rotation(degrees, axis=2, shift=(0, 0, 0)):
    """Rotation about an axis, then a translation, as a homogeneous matrix."""
    matrix, (a, b) = np.eye(4), [k for k in range(3) if k != axis]
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    matrix[[a, a, b, b], [a, b, a, b]] = c, -s, s, c
    matrix[:3, 3] = shift
    return matrix


WAVES = np.random.default_rng(4).normal(0, 1 / 6, (14, 3))  # [1/mm]
PHASES = np.random.default_rng(5).uniform(0, 6, 14)


def anatomy(points):
    """Values of tissue with structures everywhere, at points in mm."""
    return 20 * np.sin(points @ WAVES.T + PHASES).sum(axis=-1)


def scan(grid, matrix=None, warp=None):
    """Scan of the body, whose anatomy at p is that of the body at T(p)."""
    points = grid.index_to_world(np.moveaxis(np.indices(grid.shape), 0, -1))
    points = points if warp is None else warp(points)
    points = points if matrix is None else points @ matrix[:3, :3].T + matrix[:3, 3]
    return Image.from_array(anatomy(points).astype(np.float32), grid)


def error(transform, matrix, grid=GRID):
    """Mean distance of the inner voxels from where a map of the world takes them [mm]."""
    index = np.moveaxis(np.indices(grid.shape), 0, -1)[8:-8, 8:-8, 8:-8].reshape(-1, 3)
    points = grid.index_to_world(index)
    expected = points @ matrix[:3, :3].T + matrix[:3, 3]
    return float(np.linalg.norm(transform.map_points(points) - expected, axis=1).mean())


def placed(matrix, codes="RAS"):
    """Moving scan to which a linear map of the world takes the fixed one, in one of the orientations."""
    grid = Grid.from_spacing((40, 36, 32), (1.8, 2.0, 2.2), direction=ORIENTATIONS[codes])
    centre = matrix[:3, 3]
    affine = grid.affine.copy()
    affine[:3, 3] += centre
    return scan(Grid(grid.shape, affine), np.linalg.inv(matrix))


FAR = rotation(
    100, shift=(310, -150, 90)
)  # beyond the reach of a search: other world, turned by more than a right angle


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_a_linear_start_is_refined_and_contained(codes):
    fixed, moving = scan(GRID), placed(FAR, codes)
    rough = rotation(94, shift=(312, -148, 89))  # 6 degrees and 3 mm from the truth
    result = register(fixed, moving, settings=RIGID, initial_transform=Affine(rough))
    assert result.affine_start == "initial"
    assert error(Affine(rough), FAR) > 2.5
    assert error(result.affine, FAR) < 0.6
    assert error(result.transform, FAR) < 0.6
    assert result.pair.moving.scan is moving
    again = result.transform.warp(moving, GRID)
    np.testing.assert_allclose(again.data, result.warped.data, atol=1e-2)


def test_a_linear_start_is_kept_without_the_linear_stage():
    fixed, moving = scan(GRID), placed(FAR)
    result = register(fixed, moving, settings=STILL, initial_transform=FAR)
    np.testing.assert_allclose(result.affine.matrix, FAR, atol=1e-12)
    assert result.affine_start == "none"
    assert result.initial.to_json("none")["description"].endswith("kept as it is")
    assert float(np.abs(result.displacement.data).max()) < 1e-6


def bump(points):
    """A smooth displacement of at most 6 mm, around the body's centre."""
    weight = np.exp(-(np.linalg.norm(points, axis=-1, keepdims=True) ** 2) / (2 * 14.0**2))
    return points + weight * np.array([6.0, -4.0, 3.0])


def as_field(function, grid=GRID):
    points = grid.index_to_world(np.moveaxis(np.indices(grid.shape), 0, -1))
    voxels = (function(points) - points) @ np.linalg.inv(grid.affine[:3, :3]).T
    return DisplacementField(np.ascontiguousarray(np.moveaxis(voxels, -1, 0)[None], dtype=np.float32), grid)


def test_a_displacement_is_contained_with_its_detail():
    """Without steps the result is the initial transform, apart from what the finest level cannot hold."""
    initial = Composite((as_field(bump), Affine(FAR)))
    fixed, moving = scan(GRID), placed(FAR)
    result = register(fixed, moving, settings=replace(STILL, strides=(8, 1)), initial_transform=initial)
    points = np.random.default_rng(0).uniform(-25, 25, (200, 3))
    np.testing.assert_allclose(result.transform.map_points(points), initial.map_points(points), atol=1e-3)
    coarse = register(fixed, moving, settings=replace(STILL, strides=(8, 2)), initial_transform=initial)
    apart = coarse.transform.map_points(points) - initial.map_points(points)
    assert np.abs(apart).max() < 0.2


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_displacement_starts_the_optimisation(symmetric):
    moving, fixed = scan(GRID), scan(GRID, warp=bump)
    settings = replace(
        DENSE, features="intensity", strides=(4, 1), iterations=(0, 2), symmetric=symmetric, lam=(1e-4, 1e-4)
    )
    cold = register(fixed, moving, settings=settings)
    warm = register(fixed, moving, settings=settings, initial_transform=as_field(bump))
    truth = as_field(bump)
    index = np.moveaxis(np.indices(SHAPE), 0, -1)[8:-8:2, 8:-8:2, 8:-8:2].reshape(-1, 3)
    points = GRID.index_to_world(index)

    def distance(transform):
        return float(np.linalg.norm(transform.map_points(points) - truth.map_points(points), axis=1).mean())

    assert distance(warm.transform) < 0.65 * distance(cold.transform)
    if symmetric:
        there = warm.transform.map_points(points)
        assert float(np.linalg.norm(warm.inverse.map_points(there) - points, axis=1).mean()) < 0.2


def test_the_linear_part_of_a_displacement_is_split_off():
    whole = as_field(lambda p: bump(p) @ FAR[:3, :3].T + FAR[:3, 3])
    initial = InitialTransform.of(whole, GRID, placed(FAR).grid)
    points = np.random.default_rng(1).uniform(-25, 25, (50, 3))
    both = Composite((initial.displacement, Affine(initial.matrix)))
    np.testing.assert_allclose(both.map_points(points), whole.map_points(points), atol=2e-3)
    assert np.abs(initial.matrix - FAR)[:3, :3].max() < 0.1
    lengths = np.linalg.norm(initial.displacement.data[0], axis=0) * 2.0
    assert lengths.max() < 8  # that of the bump, not the 360 mm of the linear map
    exact = InitialTransform.of(as_field(lambda p: p @ FAR[:3, :3].T + FAR[:3, 3]), GRID, placed(FAR).grid)
    np.testing.assert_allclose(exact.matrix, FAR, atol=1e-3)


def test_in_2d():
    grid = Grid.from_spacing((40, 36), 2.0)
    axes = np.indices(grid.shape).astype(float)
    image = np.exp(-(((axes[0] - 20) / 8) ** 2 + ((axes[1] - 16) / 5) ** 2)).astype(np.float32) * 100
    fixed = Image.from_array(image, grid)
    shifted = np.eye(3)
    shifted[:2, 2] = 500, -70
    moving = Image.from_array(image, Grid(grid.shape, shifted @ grid.affine))
    settings = Settings("mind", affine="rigid", strides=(4, 2), iterations=(2, 2), lam=(0.3, 0.1), quality=False)
    shifted[:2, 2] += 2
    result = register(fixed, moving, settings=settings, initial_transform=shifted)
    np.testing.assert_allclose(result.transform.map_points([[0, 0]]), [[500, -70]], atol=0.5)


def test_what_belongs_to_the_moving_scan_is_placed_with_it():
    fixed, moving = scan(GRID), placed(FAR)
    points = np.array([[0.0, 0, 0], [9, 2, -4], [-8, 6, 5]])
    mapped = points @ FAR[:3, :3].T + FAR[:3, 3]
    lifted = np.array([0.0, 0, 4])
    guided = LandmarkPairs(points, mapped + lifted, weight=100.0)
    result = register(
        fixed, moving, settings=replace(DENSE, features="none"), initial_transform=FAR, keypoints=guided,
        moving_landmarks=mapped, fixed_landmarks=points,
    )  # fmt: skip
    np.testing.assert_allclose(result.transform.map_points(points), mapped + lifted, atol=1.0)
    assert result.scores.tre_before > 300
    whole = Image.from_array(np.ones(moving.grid.shape, np.float32), moving.grid)
    own = Image(fixed.data / 100, fixed.grid), Image(moving.data / 100, moving.grid)
    masked = register(
        fixed, moving, features=Given(*own), settings=replace(DENSE, features="intensity"), moving_mask=whole,
        initial_transform=FAR,
    )  # fmt: skip
    assert error(masked.transform, FAR) < 0.5


def test_the_verdict_is_that_of_the_start_if_the_result_is_worse():
    fixed, moving = scan(GRID, warp=bump), scan(GRID)
    settings = replace(DENSE, lam=(1e-7, 1e-7), iterations=(10, 10), features="intensity", quality=True)
    noise = Image(moving.data + np.random.default_rng(2).normal(0, 60, moving.data.shape).astype(np.float32), GRID)
    result = register(fixed, noise, settings=settings, initial_transform=as_field(bump))
    points = np.random.default_rng(0).uniform(-20, 20, (100, 3))
    kept = np.allclose(result.transform.map_points(points), as_field(bump).map_points(points), atol=1e-3)
    assert kept == any("initial displacement is kept" in reason.text for reason in result.verdict.reasons)


def test_of_other_libraries_and_files(tmp_path):
    fixed, moving = scan(GRID), placed(FAR)
    write_transform(Affine(FAR), tmp_path / "far.tfm")
    np.savetxt(tmp_path / "far.mat", FAR)
    flip = np.diag([-1.0, -1, 1, 1])
    itk = sitk.AffineTransform(3)
    itk.SetMatrix((flip @ FAR @ flip)[:3, :3].ravel().tolist())
    itk.SetTranslation((flip @ FAR @ flip)[:3, 3].tolist())
    shift = rotation(0, shift=(5, 0, 0))
    for given in (
        str(tmp_path / "far.tfm"),
        tmp_path / "far.tfm",
        f"greedy:{tmp_path / 'far.mat'}",
        itk,
        [shift, Affine(FAR @ np.linalg.inv(shift))],
    ):
        result = register(fixed, moving, settings=STILL, initial_transform=given)
        np.testing.assert_allclose(result.affine.matrix, FAR, atol=1e-6)
    assert register(fixed, moving, settings=STILL, initial_transform=[tmp_path / "far.tfm"]).pair.files == {
        "initial_transform": tmp_path / "far.tfm"
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.diag([1.0, 1, 0, 1]), "singular or non-finite"),
        (np.eye(3), "a 2D one, expected a 3D one"),
        (np.full((4, 4), np.nan), "singular or non-finite"),
        (np.linalg.inv(FAR), r"out of each other's view.*its inverse does: .*--inverse"),
        (rotation(0, shift=(0, 0, 9000)), "out of each other's view.*check that it belongs"),
        (42, "a builtins.int, expected a path, a Transform"),
        ("missing.tfm", "no such file"),
        ([], "a builtins.list, expected"),
    ],
)
def test_errors(given, message):
    with pytest.raises(TransformError, match=message):
        register(scan(GRID), placed(FAR), settings=STILL, initial_transform=given)


def test_displacements_elsewhere_are_refused():
    away = as_field(bump, Grid.from_spacing((8, 8, 8), 2.0, origin=(900, 0, 0)))
    with pytest.raises(TransformError, match="outside the fixed scan"):
        register(scan(GRID), placed(FAR), settings=STILL, initial_transform=away)
    out = as_field(lambda p: p + np.array([900.0, 0, 0]))
    with pytest.raises(TransformError, match="out of each other's view"):
        register(scan(GRID), scan(GRID), settings=STILL, initial_transform=out)
