from __future__ import annotations

import numpy as np
import pytest
import torch

from learngn.errors import ShapeError
from learngn.evaluation.deformation import folds_percent, sdlogj, slabs, smoothness, std_log_jacobian
from learngn.geometry.grid import Grid
from learngn.geometry.transform import Affine, DisplacementField
from learngn.quality.inside import Body


def slow_sdlogj(displacement: np.ndarray, mask: np.ndarray | None = None) -> float:
    """The challenge's definition, voxel by voxel."""
    ndim, *shape = displacement.shape
    logs = []
    for inner in np.ndindex(*[n - 4 for n in shape]):
        x = tuple(i + 2 for i in inner)
        if mask is not None and not mask[x]:
            continue
        jacobian = np.eye(ndim)
        for axis in range(ndim):
            ahead, behind = list(x), list(x)
            ahead[axis] += 1
            behind[axis] -= 1
            slope = displacement[(slice(None), *ahead)] - displacement[(slice(None), *behind)]
            jacobian[:, axis] += slope / 2
        logs.append(np.log(np.clip(np.linalg.det(jacobian) + 3, 1e-9, 1e9)))
    return float(np.std(logs))


@pytest.mark.parametrize("shape", [(11, 12), (9, 8, 10)])
@pytest.mark.parametrize("strength", [0.2, 2.0])
@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_sdlogj_agrees_with_a_slow_implementation(kind, shape, strength):
    rng = np.random.default_rng(1)
    displacement = strength * rng.normal(size=(len(shape), *shape))
    mask = (rng.random(shape) < 0.6).astype(np.uint8)
    for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 1e-5)):
        given = kind(displacement.astype(dtype))[None]
        assert sdlogj(given) == pytest.approx(slow_sdlogj(displacement), rel=tolerance)
        assert sdlogj(given, mask) == pytest.approx(slow_sdlogj(displacement, mask), rel=tolerance)


def test_sdlogj_agrees_with_the_published_correlation():
    """Zero outside and two voxels cropped, in the vectorised form of the challenge's own script."""
    from scipy.ndimage import correlate1d

    displacement = np.random.default_rng(2).normal(size=(3, 12, 11, 10))
    gradient = np.stack([correlate1d(displacement, [-0.5, 0, 0.5], axis=a, mode="constant", cval=0) for a in (1, 2, 3)])
    jacobian = np.moveaxis(gradient, (0, 1), (-2, -1))[2:-2, 2:-2, 2:-2] + np.eye(3)
    expected = np.log((np.linalg.det(jacobian) + 3).clip(1e-9, 1e9)).std()
    assert sdlogj(displacement[None]) == pytest.approx(expected, rel=1e-12)


def test_affine_field_has_no_spread_and_its_determinant():
    grid = Grid.from_spacing((9, 8, 10), (1.0, 2.0, 1.5))
    linear = np.array([[1.1, 0.1, 0], [0, 0.9, 0.05], [0.1, 0, 1.2]])
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    mapped = Affine(matrix).on(grid)
    displacement, determinant = mapped.displacement(), mapped.jacobian_determinant()
    assert sdlogj(displacement) == pytest.approx(0, abs=1e-6)
    assert std_log_jacobian(determinant) == pytest.approx(0, abs=1e-6)
    assert folds_percent(determinant) == 0
    np.testing.assert_allclose(determinant, np.linalg.det(linear), rtol=1e-6)


def test_known_spread_of_two_halves():
    # Stretched by 1.5 in one half and by .5 in the other: log det is +-log, over an even number of voxels.
    shape = (40, 6)
    slope = np.where(np.arange(40) < 20, 0.5, -0.5)
    field = np.zeros((1, 2, *shape))
    field[0, 0] = np.concatenate([[0], np.cumsum(slope)[:-1]])[:, None]
    determinant = DisplacementField(field, Grid.from_spacing(shape)).jacobian_determinant()
    # At the kink the central difference sees the mean of both slopes.
    expected = np.array([1.5] * 20 + [1.0] + [0.5] * 19)
    np.testing.assert_allclose(determinant[0, :, 3], expected)
    assert std_log_jacobian(determinant) == pytest.approx(np.log(expected).std())


def test_folded_field():
    shape = (12, 10, 10)
    field = np.zeros((1, 3, *shape), np.float32)
    field[0, 1] = -2.0 * np.arange(10)[None, :, None]  # y -> -y: every voxel folds
    determinant = DisplacementField(field, Grid.from_spacing(shape)).jacobian_determinant()
    assert folds_percent(determinant) == 100
    assert np.isnan(std_log_jacobian(determinant))
    half = determinant.copy()
    half[0, :6] = 2.0
    assert folds_percent(half) == 50
    assert std_log_jacobian(half) == pytest.approx(0)
    half[0, 0, 0, 0] = 0.0  # a determinant of zero is a fold
    assert folds_percent(half) == pytest.approx(50 + 100 / 1200)


def test_masks_and_fields_without_a_voxel():
    with pytest.raises(ShapeError, match="mask"):
        sdlogj(np.zeros((1, 2, 8, 8)), np.ones((8, 9)))
    assert np.isnan(sdlogj(np.zeros((1, 2, 8, 8)), np.zeros((8, 8))))
    assert np.isnan(sdlogj(np.zeros((1, 3, 8, 8, 4))))


def test_determinants_of_either_library_have_the_same_scores():
    determinant = np.random.default_rng(4).normal(0.5, 1, (1, 9, 8, 7)).astype(np.float32)
    before = determinant.copy()
    for score in (folds_percent, std_log_jacobian):
        assert score(determinant) == score(torch.as_tensor(determinant))
    np.testing.assert_array_equal(determinant, before)


@pytest.mark.parametrize("shape", [(31, 12), (29, 8, 10), (4, 9, 9)])
@pytest.mark.parametrize("masked", [False, True])
def test_scores_by_parts_are_those_of_the_whole_displacement(shape, masked, monkeypatch):
    """Of a displacement and an affine, between grids of different voxels; also where some parts have no inner voxel."""
    rng, ndim = np.random.default_rng(4), len(shape)
    fixed, moving = Grid.from_spacing(shape, np.arange(1, ndim + 1)), Grid.from_spacing(shape, [1.5] * ndim)
    affine = Affine(np.diag([1.1, 0.8, 1.2, 1][-ndim - 1 :]) + np.eye(ndim + 1, k=1) * ([[0.1]] * ndim + [[0]]))
    on_grid = DisplacementField(0.4 * rng.normal(size=(1, ndim, *shape)), fixed).then(affine).on(fixed)
    mask = (rng.random(shape) < 0.6).astype(np.uint8) if masked else None
    monkeypatch.setattr("learngn.evaluation.deformation._AT_ONCE", 1)
    assert len(list(slabs(shape))) == max(1, -(-shape[0] // 8))
    body = Body(rng.random(shape) < 0.5, shape)
    found, determinant = smoothness(on_grid, moving, mask, body), on_grid.jacobian_determinant()
    assert found["folds_body_percent"] == folds_percent(determinant[0][body.mask])
    assert found["folds_percent"] == folds_percent(determinant) > 0
    assert found["std_log_jacobian"] == pytest.approx(std_log_jacobian(determinant), rel=1e-12)
    expected = slow_sdlogj(on_grid.displacement(moving)[0], mask) if min(shape) > 4 else np.nan
    assert found["sdlogj"] == pytest.approx(expected, rel=1e-9, nan_ok=True)
    np.testing.assert_array_equal(on_grid.displacement(moving, slice(2, 4)), on_grid.displacement(moving)[:, :, 2:4])


def test_scores_of_an_affine_alone_need_no_displacement():
    grid = Grid.from_spacing((9, 8, 10), (1.0, 2.0, 1.5))
    found = smoothness(Affine(np.diag([1.1, 0.9, -1.2, 1.0])).on(grid), grid)
    assert found["sdlogj"] == found["sdlogj"] < 1e-6
    assert found["folds_percent"] == 100
    assert np.isnan(found["std_log_jacobian"])
