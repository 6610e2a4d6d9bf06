"""Time points of one subject: nothing for a scan against itself, the inverse if exchanged, known changes of volume."""

import os
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from learngn.errors import FeatureError, GeometryError, ImageError, SettingsError
from learngn.evaluation import jacobian_of, volume_changes
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.geometry.transform import Affine, DisplacementField
from learngn.io import read_dataset, read_image
from learngn.longitudinal import SETTINGS, compare_time_points
from learngn.settings import Settings

QUICK = replace(SETTINGS, strides=(4, 2, 1), iterations=(6, 6, 4), lam=(0.02, 0.002))
GRID = Grid.from_spacing((28, 26, 24), (2.0, 2.0, 2.5), origin=(-20, -40, 5))


RADIUS, BALL = 9.0, GRID.centre + np.array([1.0, -2.0, 0.5])


def subject(radius=RADIUS, seed=0, noise=1.0, move=None):
    """A bright ball that has shrunk to a radius [mm] with what surrounds it, and the label map of the large ball."""
    world = GRID.index_to_world(np.moveaxis(np.indices(GRID.shape), 0, -1).astype(float))
    labels = np.linalg.norm(world - BALL, axis=-1) < RADIUS
    if move is not None:
        world = move.inverse().map_points(world)
    # Where the values come from: inside scaled, outside a flow without divergence.
    away = np.linalg.norm(world - BALL, axis=-1)
    outwards = np.where(away < radius, RADIUS / radius - 1, (RADIUS - radius) * RADIUS**2 / np.maximum(away, 1) ** 3)
    world = BALL + (world - BALL) * (1 + outwards[..., None])
    away = np.linalg.norm(world - BALL, axis=-1)
    waves = ([0.31, 0.11, 0.07], [-0.05, 0.27, 0.13], [0.1, -0.09, 0.3])
    texture = sum(np.sin(world @ wave) for wave in waves)
    head = np.linalg.norm((world - GRID.centre) / [27, 25, 29], axis=-1)
    scan = (300 + 40 * texture) / (1 + np.exp(20 * (head - 0.95))) + 250 / (1 + np.exp((away - RADIUS) / 0.8))
    scan += noise * np.random.default_rng(seed).normal(size=scan.shape)
    return Image.from_array(scan, GRID), Image.from_array(labels.astype(np.uint8), GRID, labels=True)


def motion(turn=4.0, shift=(2.0, -1.5, 1.0)):
    angle = np.deg2rad(turn)
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:3, 3] = GRID.centre - matrix[:3, :3] @ GRID.centre + shift
    return Affine(matrix)


@cache
def shrunk():
    """The ball shrinks to a radius of 8.7 mm, the scan moves."""
    first, labels = subject()
    second, _ = subject(8.7, seed=1, move=motion())
    return first, second, labels, compare_time_points([first, second], settings=QUICK)


def test_a_scan_against_itself():
    scan, labels = subject()
    study = compare_time_points([scan, scan], settings=QUICK)
    np.testing.assert_allclose(study.jacobian(1).determinant.data, 1, atol=1e-3)
    (change,) = study.volume_changes(labels)
    assert abs(change.change_percent) < 0.1
    np.testing.assert_allclose(study.difference(1).data, 0, atol=1e-2)
    assert study.grid.shape == scan.grid.shape


def test_known_shrinkage_is_found():
    first, second, labels, _ = shrunk()
    # Of so few tissues the fit of the brightness takes a part of the change; both scans have the same.
    study = compare_time_points([first, second], settings=QUICK, brightness="keep")
    (change,) = study.volume_changes(labels)
    # The kink of the true displacement at the surface lies between voxels, whose differences see a part of it.
    world = GRID.index_to_world(np.moveaxis(np.indices(GRID.shape), 0, -1).astype(float)) - BALL
    away = np.linalg.norm(world, axis=-1, keepdims=True)
    true = world * np.where(away < RADIUS, 8.7 / RADIUS - 1, -0.3 * RADIUS**2 / np.maximum(away, 1) ** 3)
    field = np.moveaxis(true / GRID.spacing, -1, 0)[None]
    (known,) = volume_changes(jacobian_of(DisplacementField(field, GRID), GRID), labels)
    assert -10 < known.change_percent < -7
    assert change.change_percent == pytest.approx(known.change_percent, abs=1.5)
    points = BALL + np.array([[0.0, 0, 0], [6, 3, 2], [-4, 5, -3]])
    true = motion().map_points(BALL + (points - BALL) * 8.7 / 9.0)
    assert np.linalg.norm(study.between(0, 1).map_points(points) - true, axis=1).max() < 0.15
    # The map of the mean space says the same in the ball.
    inside = study.points[0].rigid.warp(labels, study.grid).data[0, 0] > 0
    logs = study.mean_space_jacobian(1).logarithm.data[0, 0][inside]
    assert logs.mean() == pytest.approx(change.log_mean, abs=0.01)


def test_exchanged_scans_give_the_inverse():
    first, second, _, study = shrunk()
    exchanged = compare_time_points([second, first], settings=QUICK)
    points = GRID.index_to_world(np.argwhere(np.ones(GRID.shape))[::37])
    points = points[np.linalg.norm(points - GRID.centre, axis=1) < 20]
    there, back = study.between(0, 1).map_points(points), exchanged.between(1, 0).map_points(points)
    assert (np.linalg.norm(there - back, axis=1) / 2.0).max() < 0.05
    again = exchanged.between(0, 1).map_points(there)
    assert (np.linalg.norm(again - points, axis=1) / 2.0).mean() < 0.05


def test_intervals_of_two_scans():
    first, second, labels, _ = shrunk()
    study = compare_time_points([first, second], settings=replace(QUICK, uncertainty=True))
    (change,) = study.volume_changes(labels)
    assert change.low_percent < change.change_percent < change.high_percent
    assert change.high_percent - change.low_percent < 20


def test_other_orientations_give_the_same():
    first, second, labels, study = shrunk()
    expected = study.volume_changes(labels)[0].change_percent
    for codes in (
        (slice(None, None, -1), slice(None), slice(None)),
        (slice(None), slice(None, None, -1), slice(None, None, -1)),
    ):
        flipped = [_flipped(image, codes) for image in (first, second, labels)]
        (change,) = compare_time_points(flipped[:2], settings=QUICK).volume_changes(flipped[2])
        assert change.change_percent == pytest.approx(expected, abs=0.05)


def _flipped(image, parts):
    matrix = np.eye(4)
    for axis, part in enumerate(parts):
        if part.step == -1:
            matrix[axis, axis], matrix[axis, 3] = -1, image.grid.shape[axis] - 1
    data = np.ascontiguousarray(image.data[(slice(None), slice(None), *parts)])
    return Image(data, Grid(image.grid.shape, image.grid.affine @ matrix), image.labels)


@pytest.mark.slow
def test_three_time_points():
    first, labels = subject()
    radii = (9.0, 8.85, 8.7)
    scans = [first, subject(8.85, seed=1, move=motion(-3.0, (1, 1, 0)))[0], subject(8.7, seed=2, move=motion())[0]]
    study = compare_time_points(scans, settings=QUICK)
    for index in (1, 2):
        (change,) = study.volume_changes(labels, index)
        assert change.change_percent == pytest.approx(100 * ((radii[index] / 9) ** 3 - 1), abs=3.0)
    total = sum(np.asarray(point.displacement.data) for point in study.points)
    assert np.abs(total / 3).mean() < 0.02  # the mean space is in the middle


def test_mask_and_mind():
    first, second, labels, _ = shrunk()
    mask = Image.from_array(np.ones(GRID.shape, np.float32), GRID)
    settings = Settings("mind", strides=(4, 2), iterations=(3, 2))
    study = compare_time_points([first, second], settings=settings, mask=mask, brightness="gain")
    assert study.settings.symmetric
    assert study.volume_changes(labels)[0].change_percent < -1


def test_bad_input():
    scan, _ = subject()
    flat = Image.from_array(np.ones((8, 8), np.float32) * np.arange(8), Grid.from_spacing((8, 8)))
    with pytest.raises(ImageError, match="two or more"):
        compare_time_points([scan])
    with pytest.raises(GeometryError, match="3D and 2D"):
        compare_time_points([scan, flat])
    with pytest.raises(FeatureError, match="features of scans"):
        compare_time_points([scan, scan], settings=Settings("labels"))
    with pytest.raises(SettingsError, match="update"):
        compare_time_points([scan, scan], settings=Settings("mind", update="adam"))


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.skipif("LEARNGN_TEST_DATA" not in os.environ, reason="LEARNGN_TEST_DATA is not set")
@pytest.mark.parametrize("amount", [0.0, 0.1])
def test_atrophy_of_a_hippocampus(amount, monkeypatch):
    """Simulated by benchmarks/atrophy.py: found within one per cent of the volume."""
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[2] / "benchmarks"), *sys.path])
    from atrophy import simulate

    path = Path(os.environ["LEARNGN_TEST_DATA"]) / "HippocampusMR" / "HippocampusMR_dataset.json"
    one = read_dataset(path).training[0]
    made = simulate(read_image(one.image), read_image(one.labels, labels=True), amount, seed=7)
    changes = compare_time_points(made.scans).volume_changes(made.labels)
    before, after = (sum(getattr(change, side) for change in changes) for side in ("before", "after"))
    assert 100 * (after / before - 1) == pytest.approx(made.change[0], abs=1.0)
