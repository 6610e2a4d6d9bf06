"""Deformable motion of a swelling object: volumes, points, means and smoothing."""

import numpy as np
import pytest

from learngn import Grid, Image
from learngn.errors import ImageError, SettingsError
from learngn.registration import Request
from learngn.series import ejection_fraction, label_volumes, register_frames

SCALES = [1.0, 1.06, 1.12, 1.04]
FAST = Request(changes={"strides": (4, 2), "iterations": (8, 8), "lam": (0.1, 0.01), "quality": False})


@pytest.fixture(scope="module")
def beat(phantom):
    """Registered once for all tests of this file."""
    return register_frames(phantom.swelling(SCALES), frame=0, request=FAST)


def test_volumes_follow(beat, phantom):
    labels = phantom.ball(beat.grid, 14.0)
    carried = list(beat.labels(labels, 0))
    assert carried[0] is labels
    volumes = [one.volume for one in label_volumes(beat, labels, 0)]
    assert volumes[0] == pytest.approx(labels.data.sum() * 0.008)
    expected = volumes[0] * np.array(SCALES) ** 3
    np.testing.assert_allclose(volumes, expected, rtol=0.05)
    assert ejection_fraction(volumes) == pytest.approx(100 * (1 - 1 / 1.12**3), abs=3)
    # The voxels of the carried label maps, which follow in steps.
    np.testing.assert_allclose([one.data.sum() * 0.008 for one in carried], expected, rtol=0.12)


def test_points_follow(beat, phantom):
    points = phantom.centre + np.array([[10.0, 0, 0], [0, -12, 4], [-6, 6, 6]])
    ways = beat.trajectories(points, 0)
    for scale, places in zip(SCALES, ways, strict=True):
        expected = phantom.centre + scale * (points - phantom.centre)
        assert np.linalg.norm(places - expected, axis=1).max() < 0.5  # of a voxel of 2 mm
    # From another frame: there and back.
    again = beat.trajectories(ways[2], 2)
    assert np.linalg.norm(again - ways, axis=-1).max() < 0.1
    np.testing.assert_array_equal(again[2], ways[2])


def test_frames_without_motion_agree(beat):
    before = np.std([frame.data for frame in beat.frames], axis=0).mean()
    after = np.std([frame.data for frame in beat.warped()], axis=0).mean()
    assert after < 0.3 * before


@pytest.mark.slow
def test_the_mean_has_the_mean_shape(phantom):
    frames = phantom.swelling(SCALES)
    motion = register_frames(frames, request=FAST)
    assert motion.frame is None
    mean = np.mean([t.on(motion.grid).displacement() for t in motion.transforms], axis=0)
    assert np.abs(mean).mean() < 0.02  # voxel
    backwards = register_frames(frames[::-1], request=FAST)
    points = phantom.centre + np.array([[10.0, 0, 0], [0, -12, 4], [-6, 6, 6]])
    for one, other in zip(motion.transforms, backwards.transforms[::-1], strict=True):
        assert np.linalg.norm(one.map_points(points) - other.map_points(points), axis=1).max() < 0.3
    # Between frames by way of the mean: the same as directly.
    for number, scale in enumerate(SCALES):
        expected = phantom.centre + scale / SCALES[0] * (points - phantom.centre)
        found = motion.between(0, number).map_points(points)
        assert np.linalg.norm(found - expected, axis=1).max() < 0.6


@pytest.mark.slow
def test_smoothing_in_time_reduces_noise(phantom, rng):
    scales = 1 + 0.12 * np.sin(np.linspace(0, np.pi, 9))
    grid = phantom.grid_of()
    frames = [
        phantom.frame_of(grid, lambda p, s=s: phantom.centre + (p - phantom.centre) / s, 25.0, rng) for s in scales
    ]
    points = phantom.centre + rng.uniform(-10, 10, (40, 3))
    expected = phantom.centre + (points - phantom.centre)[None] * (scales / scales[0])[:, None, None]
    errors = []
    for smooth in (None, 4.0):
        motion = register_frames(frames, frame=0, request=FAST, smooth=smooth)
        errors.append(np.linalg.norm(motion.trajectories(points, 0) - expected, axis=-1).mean())
        np.testing.assert_allclose(motion.trajectories(points, 0)[0], points, atol=1e-3)
    assert errors[1] < 0.9 * errors[0]


def test_in_the_plane():
    """2D frames, as of a cine: files of their own, since NIfTI has no series of planes."""
    grid = Grid.from_spacing((40, 36), 1.5)
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    away = grid.index_to_world(index) - grid.centre
    radii = 14 + np.array([0.0, 2.0, 1.0])
    frames = [
        Image.from_array((100 / (1 + np.exp(np.linalg.norm(away, axis=-1) - r))).astype(np.float32), grid)
        for r in radii
    ]
    motion = register_frames(frames, frame=0, request=FAST)
    edge = grid.centre + np.array([[14.0, 0], [0, -14]])
    found = np.linalg.norm(motion.trajectories(edge, 0) - grid.centre, axis=-1)
    np.testing.assert_allclose(found, np.repeat(radii[:, None], 2, axis=1), atol=0.6)


def test_what_is_no_series(phantom):
    frames = phantom.swelling([1.0, 1.1])
    with pytest.raises(ImageError, match="1 frame, expected two frames"):
        register_frames(frames[:1])
    shifted = phantom.swelling([1.0], phantom.grid_of(shape=(28, 30, 25)))
    with pytest.raises(ImageError, match="frame 1 of the series: got another grid"):
        register_frames([frames[0], *shifted])
    with pytest.raises(SettingsError, match="from 0 to 1"):
        register_frames(frames, frame=2)
    with pytest.raises(SettingsError, match="'elastic', expected one of deformable, affine"):
        register_frames(frames, transform="elastic")
    with pytest.raises(SettingsError, match="period of 2 frames"):
        register_frames(frames, smooth=1.0)
    with pytest.raises(SettingsError, match="features of scans"):
        register_frames(frames, request=Request(features="labels"))
