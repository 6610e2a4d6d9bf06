"""Rigid motion correction: known motion is found, whichever way the axes point."""

import numpy as np
import pytest

from learngn import Affine
from learngn.series import SeriesMotion, register_frames
from learngn.series.tables import motion_rows


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "ASR", "oblique"])
def test_known_rigid_motion(orientation, moved, phantom):
    frames = moved(orientation)
    motion = register_frames(frames, frame=0, transform="rigid")
    for transform, expected in zip(motion.transforms, phantom.motions, strict=True):
        assert phantom.apart(transform.matrix, expected, motion.grid) < 0.1
        linear = transform.matrix[:3, :3]
        np.testing.assert_allclose(linear @ linear.T, np.eye(3), atol=1e-9)
    assert np.array_equal(motion.transforms[0].matrix, np.eye(4))


def test_to_the_mean_no_frame_is_preferred(moved, phantom):
    frames = moved()
    motion = register_frames(frames, transform="rigid")
    relative = [t.matrix @ np.linalg.inv(motion.transforms[0].matrix) for t in motion.transforms]
    for found, expected in zip(relative, phantom.motions, strict=True):
        assert phantom.apart(found, expected, motion.grid) < 0.1
    # The mean of the logarithms is zero: the reference is in the middle of all frames.
    backwards = register_frames(frames[::-1], transform="rigid")
    for one, other in zip(motion.transforms, backwards.transforms[::-1], strict=True):
        assert phantom.apart(one.matrix, other.matrix, motion.grid) < 0.05
    # The mean of frames without motion is sharper than that of the frames.
    sharp = np.std(motion.reference.data)
    assert sharp > 1.004 * np.std(np.mean([frame.data for frame in frames], axis=0))


def test_rows_name_shift_and_angle(phantom):
    grid = phantom.grid_of()
    frame = phantom.frame_of(grid, lambda p: p)
    matrices = [np.eye(4), phantom.rigid((1, 2, 3), 5.0, (0, 0, 1))]
    affine = tuple(map(Affine, matrices))
    motion = SeriesMotion((frame, frame), frame, 0, affine, tuple(a.inverse() for a in affine), kind="rigid")
    still, row = motion_rows(motion)
    assert still["mean_mm"] == still["from_frame_before_mm"] == 0
    assert [row[f"{axis}_mm"] for axis in "xyz"] == pytest.approx([1, 2, 3])
    assert [row[f"r{axis}_deg"] for axis in "xyz"] == pytest.approx([0, 0, 5])
    assert row["mean_mm"] == row["from_frame_before_mm"] > 0
