"""Smoothing in time by its known response."""

import numpy as np
import pytest

from learngn.series.smoothing import smoothed_fields, smoothed_matrices, smoother


def test_uniform_motion_is_kept():
    matrix = smoother(9, 5.0)
    time = np.arange(9.0)
    np.testing.assert_allclose(matrix @ (2 - 0.7 * time), 2 - 0.7 * time, atol=1e-9)


@pytest.mark.parametrize("period", [3.0, 4.0, 8.0])
def test_half_of_an_oscillation_is_kept(period):
    count = 241
    wave = np.cos(2 * np.pi * np.arange(count) / period)
    inner = slice(80, 161)
    found = (smoother(count, period) @ wave)[inner]
    np.testing.assert_allclose(found, wave[inner] / 2, atol=1e-6)


def test_the_reference_does_not_move():
    matrix = smoother(7, 4.0, still=3)
    values = np.array([3.0, 1, 2, 0, -1, 4, 2])
    assert abs((matrix @ values)[3]) < 1e-6
    fields = smoothed_fields([np.full((1, 2, 3, 3), v, np.float32) for v in values], matrix)
    np.testing.assert_allclose([f[0, 0, 0, 0] for f in fields], matrix @ values, rtol=1e-5, atol=1e-6)


def test_two_frames_have_nothing_to_smooth():
    np.testing.assert_array_equal(smoother(2, 4.0), np.eye(2))


def test_rigid_maps_stay_rigid(phantom):
    matrices = [phantom.rigid((k, 0, 0.3 * k), 3.0 * (-1) ** k, (0, 1, 1)) for k in range(6)]
    for matrix in smoothed_matrices(matrices, smoother(6, 6.0)):
        np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-9)
