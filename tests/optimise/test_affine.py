"""The affine stage: known maps, starts, and fields of view that differ."""

from dataclasses import replace

import numpy as np
import pytest
import scipy
import torch
from scipy.spatial.transform import Rotation

from learngn.geometry.grid import Grid, apply_affine
from learngn.optimise import (
    FAMILIES,
    RIGID,
    SIMILARITY,
    TRANSLATION,
    AffineGaussNewton,
    PoseSearch,
    centre_of_mass,
    translation_starts,
)
from learngn.optimise.families import exponential
from learngn.optimise.linear_problem import LinearProblem


def known_affine(ndim, degrees=10.0, scale=1.1, shift=20.0):
    turn = np.eye(ndim + 1)
    angle = np.deg2rad(degrees)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    turn[:ndim, :ndim] *= scale
    turn[:ndim, -1] = shift / np.sqrt(ndim)
    return turn


def starts(fixed, moving):
    masses = [centre_of_mass(f.data, f.grid) for f in (fixed, moving)]
    return translation_starts(fixed.grid, moving.grid, (masses[0], masses[1]))


def worst_error(found, truth, ndim):
    points = np.stack(np.meshgrid(*[np.linspace(-35, 35, 5)] * ndim, indexing="ij"), -1)
    return np.linalg.norm(apply_affine(found, points) - apply_affine(truth, points), axis=-1).max()


@pytest.mark.parametrize("shape", [(96, 88), (48, 44, 40)], ids=str)
def test_known_affine_is_recovered(blobs, shape):
    ndim = len(shape)
    truth = known_affine(ndim)
    spacing = 200 / shape[0]
    fixed = blobs(Grid.from_spacing(shape, spacing), truth)
    moving = blobs(Grid.from_spacing(shape, spacing))
    result = AffineGaussNewton()(fixed, moving, starts(fixed, moving))
    assert worst_error(result.matrix, truth, ndim) < 1.5


def test_another_field_of_view(blobs):
    """The moving image shows less, with other voxels, elsewhere in the world."""
    truth = known_affine(3, shift=10)
    fixed = blobs(Grid.from_spacing((50, 44, 40), 4.0), truth)
    moving = blobs(Grid.from_spacing((60, 70, 30), (2.5, 2.2, 5.0), direction=np.diag([-1, 1, -1])))
    result = AffineGaussNewton()(fixed, moving, starts(fixed, moving))
    assert worst_error(result.matrix, truth, 3) < 3


@pytest.mark.parametrize(("offset", "kept"), [(0.0, "header"), (400.0, ("centre", "mass"))])
def test_start_that_leads_furthest_is_kept(blobs, offset, kept):
    fixed = blobs(Grid.from_spacing((50, 44), 4.0))
    affine = fixed.grid.affine.copy()
    affine[:-1, -1] += offset
    moving = type(fixed)(fixed.data, Grid(fixed.grid.shape, affine))
    result = AffineGaussNewton()(fixed, moving, starts(fixed, moving))
    assert result.start in kept
    assert result.energy < 1e-4
    np.testing.assert_allclose(result.matrix[:-1, -1], offset, atol=0.5)


def test_starts():
    fixed, moving = Grid.from_spacing((4, 4)), Grid.from_spacing((4, 4), origin=(10, 20))
    made = translation_starts(fixed, moving, (np.array([1.0, 2.0]), np.array([5.0, 5.0])))
    np.testing.assert_allclose(made["header"], np.eye(3))
    np.testing.assert_allclose(made["centre"][:-1, -1], moving.centre - fixed.centre)
    np.testing.assert_allclose(made["mass"][:-1, -1], [4, 3])


def test_centre_of_mass(blobs):
    image = blobs(Grid.from_spacing((30, 20), (1.0, 2.0)))
    weights = image.data * 0
    assert centre_of_mass(weights, image.grid) == pytest.approx(image.grid.centre)
    weights[0, 0, 3, 5] = 1
    weights[0, 0, 7, 5] = 3
    assert centre_of_mass(weights, image.grid) == pytest.approx(image.grid.index_to_world((6, 5)))


def test_what_barely_touches_is_refused(blobs):
    fixed = blobs(Grid.from_spacing((50, 44), 4.0))
    matrix = np.eye(3)
    matrix[0, -1] = 180  # a tenth of the image is left
    assert AffineGaussNewton()(fixed, fixed, {"far": matrix}).energy == float("inf")


class TestFamilies:
    @pytest.mark.parametrize(
        ("name", "numbers"), [("translation", (2, 3)), ("rigid", (3, 6)), ("similarity", (4, 7)), ("affine", (6, 12))]
    )
    @pytest.mark.parametrize("ndim", [2, 3])
    def test_parameters(self, name, numbers, ndim):
        generators = FAMILIES[name].generators(Grid.from_spacing((9, 8, 7)[:ndim], 2.0, origin=(3, 4, 5)[:ndim]))
        assert len(generators) == FAMILIES[name].parameters(ndim) == numbers[ndim - 2]
        assert np.linalg.matrix_rank(generators.reshape(len(generators), -1)) == len(generators)

    @pytest.mark.parametrize("shape", [(64, 60), (40, 36, 32)], ids=str)
    @pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
    def test_found_maps_belong_to_the_family(self, blobs, shape, family):
        """A stretch that only the last can follow: each finds the map it can."""
        ndim = len(shape)
        truth = known_affine(ndim, scale=1.12)
        truth[0, :ndim] *= 1.06
        fixed = blobs(Grid.from_spacing(shape, 200 / shape[0]), truth)
        moving = blobs(Grid.from_spacing(shape, 200 / shape[0]))
        stretch = np.linalg.svd(AffineGaussNewton(family)(fixed, moving, starts(fixed, moving)).matrix[:-1, :-1])[1]
        if family in (TRANSLATION, RIGID):
            np.testing.assert_allclose(stretch, 1, atol=1e-9)
        elif family is SIMILARITY:
            assert np.ptp(stretch) < 1e-9
            assert 1.08 < stretch[0] < 1.2
        else:
            assert np.ptp(stretch) > 0.03

    def test_a_rigid_map_is_recovered(self, blobs):
        truth = known_affine(3, scale=1.0)
        fixed, moving = blobs(Grid.from_spacing((40, 36, 32), 5.0), truth), blobs(Grid.from_spacing((40, 36, 32), 5.0))
        assert worst_error(AffineGaussNewton(RIGID)(fixed, moving, starts(fixed, moving)).matrix, truth, 3) < 0.5


class TestCapture:
    """The search finds what refinement from the given starts alone does not."""

    @pytest.mark.parametrize("degrees", [-60, -35, 35, 60])
    def test_turns(self, blobs, degrees):
        truth = known_affine(2, degrees=degrees, scale=1.0, shift=40)
        fixed, moving = blobs(Grid.from_spacing((64, 60), 3.0), truth), blobs(Grid.from_spacing((64, 60), 3.0))
        found = AffineGaussNewton(search=PoseSearch())(fixed, moving, starts(fixed, moving))
        assert worst_error(found.matrix, truth, 2) < 3

    @pytest.mark.parametrize("rotvec", [(30, 0, 0), (0, -30, 0), (0, 0, 30), (25, -25, 25)], ids=str)
    @pytest.mark.parametrize("axis", [0, 1, 2])
    def test_turns_and_shifts(self, blobs, rotvec, axis):
        grid = Grid.from_spacing((40, 36, 32), 5.0)
        truth = np.eye(4)
        truth[:3, :3] = Rotation.from_rotvec(rotvec, degrees=True).as_matrix()
        moving = blobs(grid)
        truth[axis, -1] = 0.4 * grid.extent.max()
        away = Grid(grid.shape, np.linalg.inv(truth) @ grid.affine)  # the same voxels, seen from elsewhere
        fixed = type(moving)(moving.data, away)
        found = AffineGaussNewton(search=PoseSearch())(fixed, moving, {"header": np.eye(4)})
        assert worst_error(np.linalg.inv(truth) @ found.matrix, np.eye(4), 3) < 1

    def test_a_piece_is_found_in_the_whole(self, blobs):
        """The middle 60 % of the slices, turned, and neither header nor centre says where."""
        fixed, whole = blobs(Grid.from_spacing((40, 36, 40), 5.0)), blobs(Grid.from_spacing((40, 36, 40), 5.0))
        low, high = 4, 28
        affine = whole.grid.affine.copy()
        affine[:-1, -1] += affine[:-1, 2] * low
        part = Grid((40, 36, high - low), affine)
        truth = np.eye(4)
        truth[:3, :3] = Rotation.from_rotvec((0, 25, 0), degrees=True).as_matrix()
        truth[:3, -1] = (70, -40, 90)
        moving = type(whole)(whole.data[..., low:high].contiguous(), Grid(part.shape, truth @ part.affine))
        found = AffineGaussNewton(search=PoseSearch())(fixed, moving, starts(fixed, moving))
        assert worst_error(found.matrix, truth, 3) < 1.5


def test_search_gives_the_pose_of_a_shift(blobs):
    """A shift of whole voxels of the coarse grid, found exactly."""
    grid = Grid.from_spacing((20, 18, 16), 10.0)
    moving = blobs(grid)
    matrix = np.eye(4)
    matrix[:3, -1] = (-30, 20, 40)
    fixed = type(moving)(moving.data, Grid(grid.shape, np.linalg.inv(matrix) @ grid.affine))
    np.testing.assert_allclose(PoseSearch()(fixed, moving)[0], matrix, atol=1e-6)


class TestWeights:
    @staticmethod
    def spoilt(image, side):
        """Garbage in a quarter of the image, and a weight that is zero there."""
        weight = np.ones(image.grid.shape, dtype=np.float32)
        weight[tuple(slice(0, n // 2) if a < 2 else slice(None) for a, n in enumerate(weight.shape))] = 0
        mask = torch.as_tensor(weight)[None, None]
        noise = torch.as_tensor(np.random.default_rng(side).normal(0, 3, weight.shape), dtype=torch.float32)
        return replace(image, data=torch.where(mask > 0, image.data, noise)), mask

    @pytest.mark.parametrize("side", [0, 1])
    def test_what_does_not_count_does_not_pull(self, blobs, side):
        truth = known_affine(2, degrees=8, scale=1.05, shift=12)
        pair = [blobs(Grid.from_spacing((96, 88), 2.0), truth), blobs(Grid.from_spacing((96, 88), 2.0))]
        spoilt, mask = self.spoilt(pair[side], side)
        errors = []
        for weight in (None, mask):
            pair[side] = replace(spoilt, weight=weight)
            found = AffineGaussNewton()(*pair, starts(*pair))
            errors.append(worst_error(found.matrix, truth, 2))
        assert errors[1] < 2 < errors[0]

    def test_nothing_changes_by_a_weight_of_one(self, blobs):
        truth = known_affine(2)
        pair = [blobs(Grid.from_spacing((96, 88), 2.0), truth), blobs(Grid.from_spacing((96, 88), 2.0))]
        plain = AffineGaussNewton()(*pair, starts(*pair))
        weighted = [replace(image, weight=torch.ones_like(image.data)) for image in pair]
        np.testing.assert_allclose(AffineGaussNewton()(*weighted, starts(*pair)).matrix, plain.matrix, atol=1e-5)


def test_a_match_of_background_is_no_match(blobs):
    """Where two flat pieces overlap the residual is least; concordance and overlap say otherwise."""
    fixed = blobs(Grid.from_spacing((64, 60), 4.0))
    away = np.eye(3)
    away[0, -1] = 140
    found = AffineGaussNewton()(fixed, fixed, {"away": away, "header": np.eye(3)})
    assert found.start == "header"
    np.testing.assert_allclose(found.matrix, np.eye(3), atol=0.02)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("size", [0.0, 1e-6, 0.3, 10.0])
def test_exponential(ndim, size, rng):
    """Against SciPy's, also for long translations."""
    matrix = np.zeros((ndim + 1, ndim + 1))
    matrix[:-1] = size * rng.normal(size=(ndim, ndim + 1))
    matrix[:-1, -1] *= 100
    expected = scipy.linalg.expm(matrix)
    np.testing.assert_allclose(exponential(matrix), expected, rtol=1e-9, atol=1e-11 * np.abs(expected).max())


@pytest.mark.parametrize(("shift", "count"), [(0.0, 1), (0.3, 1), (6.0, 2)])
def test_equal_starts_are_refined_once(blobs, monkeypatch, shift, count):
    """Voxels of the coarsest level are 17 mm long."""
    tried, refine = [], LinearProblem.refine

    def counted(self, matrix, family, iterations):
        tried.append(family)
        return refine(self, matrix, family, iterations)

    monkeypatch.setattr(LinearProblem, "refine", counted)
    fixed = blobs(Grid.from_spacing((50, 44), 4.0))
    second = np.eye(3)
    second[0, -1] = shift
    result = AffineGaussNewton()(fixed, fixed, {"header": np.eye(3), "second": second})
    assert tried.count(RIGID) == count
    assert result.start == "header"
