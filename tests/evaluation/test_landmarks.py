from __future__ import annotations

import numpy as np
import pytest

from learngn.errors import LandmarkError
from learngn.evaluation.landmarks import tre


def test_constant_displacement_in_moving_millimetres():
    displacement = np.broadcast_to(np.array([1.0, -2.0, 0.5]).reshape(3, 1, 1, 1), (3, 8, 9, 10))
    fixed = np.array([[2.0, 3, 4], [4, 4.5, 5]])
    moved = fixed + np.array([1, -2, 0.5])
    assert tre(displacement, fixed, moved, [1, 2, 3]) == pytest.approx([0, 0], abs=1e-9)
    assert tre(displacement, fixed, fixed, [1, 2, 3]) == pytest.approx([np.sqrt(1 + 16 + 2.25)] * 2)


@pytest.mark.parametrize("shape", [(12, 14), (10, 11, 12)])
def test_agrees_with_an_independent_cubic_spline(shape):
    """SimpleITK's cubic B-spline interpolator, at points far from the border, where both treat the outside alike."""
    sitk = pytest.importorskip("SimpleITK")
    rng = np.random.default_rng(3)
    ndim = len(shape)
    displacement = rng.normal(size=(ndim, *shape))
    fixed = rng.uniform(4, 7, size=(20, ndim))
    moving = fixed + rng.normal(size=fixed.shape)
    moved = np.empty_like(fixed)
    for axis in range(ndim):
        image = sitk.GetImageFromArray(displacement[axis])
        for row, point in enumerate(fixed):
            moved[row, axis] = image.EvaluateAtContinuousIndex(point[::-1].tolist(), sitk.sitkBSpline)
    spacing = np.arange(1, ndim + 1)
    expected = np.linalg.norm((fixed + moved - moving) * spacing, axis=1)
    assert tre(displacement, fixed, moving, spacing) == pytest.approx(expected, rel=1e-6)


def test_single_precision_field_is_interpolated_in_double():
    displacement = np.random.default_rng(4).normal(size=(2, 12, 12)).astype(np.float32)
    points = np.array([[3.3, 4.4], [6.1, 5.2]])
    single = tre(displacement, points, points, [1, 1])
    assert single.dtype == np.float64
    assert single == pytest.approx(tre(displacement.astype(np.float64), points, points, [1, 1]), rel=1e-12)


def test_landmarks_must_correspond():
    with pytest.raises(LandmarkError, match="belong together"):
        tre(np.zeros((2, 8, 8)), np.zeros((3, 2)), np.zeros((4, 2)), [1, 1])
    with pytest.raises(LandmarkError):
        tre(np.zeros((2, 8, 8)), np.zeros((3, 3)), np.zeros((3, 3)), [1, 1])
