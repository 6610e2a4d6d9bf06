"""register() with masks, landmarks, symmetric and diffeomorphic; and what masks it refuses."""

from dataclasses import replace

import numpy as np
import pytest

from learngn.errors import ImageError, LandmarkError, SettingsError
from learngn.features import FeatureImage
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.optimise import LandmarkPairs
from learngn.optimise.unfold import smallest_determinant
from learngn.registration import register
from learngn.registration.masks import masked, read_mask
from learngn.settings import Settings

SHAPE = (28, 26, 20)
GRID = Grid.from_spacing(SHAPE, (3.0, 3.0, 4.0))
PLANE = Grid.from_spacing((44, 40), (1.5, 2.0))
QUICK = Settings("intensity", affine=False, strides=(4, 2, 1), iterations=(4, 4, 3), lam=(0.3, 0.03))


def wave(points):
    """A smooth displacement of up to 6 mm, at points (..., D) [RAS mm]."""
    ndim = points.shape[-1]
    return np.stack([(5.0, -4.0, 4.0)[a] * np.cos(points[..., (a + 1) % ndim] / 22) for a in range(ndim)], axis=-1)


def scene(points):
    """A body of blobs in the world, at points (..., D) [RAS mm]."""
    rng, ndim = np.random.default_rng(4), points.shape[-1]
    value = np.zeros(points.shape[:-1])
    for _ in range(14):
        centre, width = rng.uniform(-25, 25, ndim), rng.uniform(5, 11)
        value += rng.uniform(0.4, 1) * np.exp(-((points - centre) ** 2).sum(-1) / (2 * width**2))
    return value.astype(np.float32)


def points_of(grid):
    return grid.index_to_world(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1))


def pair_on(grid, moving_grid=None):
    """Fixed and moving image: ``fixed(p) = moving(p + wave(p))``."""
    ours, theirs = points_of(grid), points_of(moving_grid or grid)
    return Image.from_array(scene(ours + wave(ours)), grid), Image.from_array(scene(theirs), moving_grid or grid)


def inner_points(grid, rng, count=200):
    index = rng.uniform(0.2, 0.8, size=(count, grid.ndim)) * (np.array(grid.shape) - 1)
    return grid.index_to_world(index)


def distance(a, b):
    return np.linalg.norm(a - b, axis=-1)


def block(grid, *slices, value=0.0):
    weight = np.full(grid.shape, 1 - value, dtype=np.float32)
    weight[slices] = value
    return Image.from_array(weight, grid)


class TestInverse:
    @pytest.mark.parametrize("options", [{"symmetric": True}, {"diffeomorphic": True},
                                         {"symmetric": True, "diffeomorphic": True}], ids=str)  # fmt: skip
    @pytest.mark.parametrize("grid", [PLANE, GRID], ids=str)
    def test_there_and_back(self, grid, options, rng):
        fixed, moving = pair_on(grid)
        result = register(fixed, moving, settings=replace(QUICK, **options))
        points = inner_points(grid, rng)
        there = result.transform.map_points(points)
        assert distance(there, points + wave(points)).mean() < 0.4 * distance(points, points + wave(points)).mean()
        back = distance(result.inverse.map_points(there), points) / grid.spacing.min()
        assert result.inverse_error < 0.15
        assert back.mean() < 0.15
        # Onto the moving image.
        warped = result.inverse.warp(fixed, moving.grid)
        assert np.abs(warped.data - moving.data).mean() < 0.5 * np.abs(fixed.data - moving.data).mean()
        if "diffeomorphic" in options:
            for field in (result.displacement.data, result.inverse.parts[1].data):
                assert float(smallest_determinant(field).min()) > 0

    def test_without_there_is_none(self):
        fixed, moving = pair_on(PLANE)
        result = register(fixed, moving, settings=QUICK)
        assert (result.inverse, result.inverse_error) == (None, None)

    @pytest.mark.parametrize("grid", [PLANE, GRID], ids=str)
    @pytest.mark.parametrize("diffeomorphic", [False, True])
    def test_exchanging_the_images_inverts(self, grid, diffeomorphic, rng):
        """register(A, B) and register(B, A), symmetric: each other's inverse, below 0.3 voxels; one-sided: not so."""
        first, second = pair_on(grid)
        points, errors = inner_points(grid, rng), []
        for symmetric in (True, False):
            settings = replace(QUICK, symmetric=symmetric, diffeomorphic=diffeomorphic)
            there, back = (register(a, b, settings=settings).transform for a, b in ((first, second), (second, first)))
            errors.append(distance(back.map_points(there.map_points(points)), points).mean() / grid.spacing.min())
        assert errors[0] < 0.3
        assert errors[0] < 0.7 * errors[1]

    def test_images_of_different_grids_with_an_affine(self, rng):
        """The inverse is one of the whole: displacement, then affine."""
        theirs = Grid.from_spacing((28, 32, 24), (2.8, 2.6, 3.6), (-36, -39, -42), np.eye(3)[[1, 0, 2]])
        fixed, moving = pair_on(GRID, theirs)
        result = register(fixed, moving, settings=replace(QUICK, symmetric=True, affine=True))
        assert result.affine_start != "none"
        points = inner_points(GRID, rng)
        there = result.transform.map_points(points)
        assert distance(there, points + wave(points)).mean() < 2
        assert distance(result.inverse.map_points(there), points).mean() < 0.3 * GRID.spacing.min()
        warped = result.inverse.warp(fixed, theirs)
        assert warped.grid == theirs
        assert np.abs(warped.data - moving.data).mean() < 0.02


class TestMasks:
    def corrupted(self, grid=PLANE):
        """A pair whose fixed image has an artefact, a mask a little larger than it, and the truth."""
        fixed, moving = pair_on(grid)
        spoilt = fixed.data.copy()
        spoilt[..., 14:24, 14:22] = 2.5
        return fixed, moving, Image(spoilt, grid), block(grid, slice(13, 25), slice(13, 23))

    @pytest.mark.parametrize("kind", ["image", "labels", "file", "finer"])
    def test_an_artefact_is_masked_out(self, kind, tmp_path, rng):
        _, moving, spoilt, mask = self.corrupted()
        if kind == "labels":
            mask = Image(4 * mask.data.astype(np.uint8), PLANE, labels=True)
        elif kind == "file":
            mask.save(tmp_path / "mask.nii.gz")
            mask = tmp_path / "mask.nii.gz"
        elif kind == "finer":  # a grid of its own, over the same extent
            fine = PLANE.resized([3 * n for n in PLANE.shape])
            mask = Image(mask.data.repeat(3, axis=2).repeat(3, axis=3), fine)
        points = inner_points(PLANE, rng)
        truth = points + wave(points)
        with_mask, without = (register(spoilt, moving, settings=QUICK, fixed_mask=m) for m in (mask, None))
        errors = [distance(r.transform.map_points(points), truth).mean() for r in (with_mask, without)]
        assert errors[0] < 1.5
        assert errors[0] < 0.6 * errors[1]

    def test_an_artefact_of_the_moving_image(self, rng):
        fixed, moving, _, mask = self.corrupted()
        spoilt = Image(moving.data.copy(), PLANE)
        spoilt.data[..., 14:24, 14:22] = 2.5
        points = inner_points(PLANE, rng)
        results = [register(fixed, spoilt, settings=QUICK, moving_mask=m) for m in (mask, None)]
        errors = [distance(r.transform.map_points(points), points + wave(points)).mean() for r in results]
        assert errors[0] < 0.85 * errors[1]

    def test_a_small_mask_is_seen_on_a_coarse_grid(self):
        """Averaged as the features are: between the voxels of the coarse grid it would be lost."""
        mask = np.zeros((48, 48), dtype=np.float32)
        mask[9:11, 9:11] = 1
        grid = Grid.from_spacing((48, 48))
        coarse = grid.coarsened(8)
        weight = masked(
            FeatureImage(np.zeros((1, 1, *coarse.shape), np.float32), coarse), Image.from_array(mask, grid)
        ).weight
        assert float(weight[0, 0, 1, 1]) == pytest.approx(4 / 64)
        assert float(weight.sum()) == pytest.approx(4 / 64)

    def test_thick_slices_are_not_averaged(self):
        grid = Grid.from_spacing((16, 16, 6), (1, 1, 5))
        mask = np.zeros(grid.shape, dtype=np.float32)
        mask[:, :, 2] = 1
        fine = grid.coarsened(2)
        weight = masked(
            FeatureImage(np.zeros((1, 1, *fine.shape), np.float32), fine), Image.from_array(mask, grid)
        ).weight
        assert weight[0, 0, 3, 3].tolist() == [0, 0, 1, 0, 0, 0]

    def test_weights_of_the_features_stay(self, rng):
        own = rng.random((1, 1, *PLANE.shape), dtype=np.float32)
        features = FeatureImage(np.zeros((1, 1, *PLANE.shape), np.float32), PLANE, own)
        mask = block(PLANE, slice(0, 10))
        np.testing.assert_array_equal(masked(features, mask).weight, own * mask.data)
        assert masked(features, None) is features

    def test_outside_of_the_mask_is_masked(self):
        half = Grid.from_spacing((22, 40), (1.5, 2.0), PLANE.origin)
        mask = Image.from_array(np.ones(half.shape, dtype=np.float32), half)
        weight = masked(FeatureImage(np.zeros((1, 1, *PLANE.shape), np.float32), PLANE), mask).weight
        assert bool((weight[..., :22, :] == 1).all())
        assert not weight[..., 22:, :].any()

    @pytest.mark.parametrize(
        ("mask", "message"),
        [
            (Image.from_array(np.ones(SHAPE, dtype=np.float32), GRID), "fixed mask.*28x26x20.*a mask of the image"),
            (Image.from_array(np.ones((9, 9)), Grid.from_spacing((9, 9), 1.0, (900, 0))), "a mask of the image"),
            (Image.from_array(np.zeros(PLANE.shape), PLANE), "values from 0 to 0"),
            (Image.from_array(np.full(PLANE.shape, 255.0), PLANE), "values from 255 to 255"),
            (Image.from_array(np.linspace(-1, 1, PLANE.size).reshape(PLANE.shape), PLANE), "values from -1 to 1"),
            (Image.from_array(np.full(PLANE.shape, np.nan), PLANE), "nan"),
            (Image.from_array(np.zeros(PLANE.shape, dtype=np.uint8), PLANE, labels=True), "not all of them 0"),
        ],
    )
    def test_refused(self, mask, message):
        fixed, moving = pair_on(PLANE)
        with pytest.raises(ImageError, match=message) as refusal:
            register(fixed, moving, settings=QUICK, fixed_mask=mask)
        assert "\n" not in str(refusal.value)
        assert read_mask(None, fixed.grid, "fixed mask") is None

    def test_a_file_that_is_not_there(self, tmp_path):
        fixed, moving = pair_on(PLANE)
        with pytest.raises(ImageError, match=r"nothing\.nii\.gz"):
            register(fixed, moving, settings=QUICK, moving_mask=tmp_path / "nothing.nii.gz")


class TestLandmarks:
    @pytest.mark.parametrize("symmetric", [False, True])
    def test_they_pull_where_the_images_say_nothing(self, symmetric, rng):
        """A blank image but for a corner: the landmarks bring the rest along."""
        points = inner_points(PLANE, rng, 60)
        pairs = LandmarkPairs(points[:40], points[:40] + wave(points[:40]))
        blank = np.zeros(PLANE.shape, dtype=np.float32)
        blank[:3, :3] = 1
        image = Image.from_array(blank, PLANE)
        settings = replace(QUICK, symmetric=symmetric, lam=(0.03, 0.01), iterations=(8, 8, 5))
        result = register(image, image, settings=settings, keypoints=pairs)
        moved = result.transform.map_points(points)
        errors, before = distance(moved, points + wave(points)), distance(points, points + wave(points))
        assert errors[:40].mean() < 0.2 * before.mean()
        assert errors[40:].mean() < 0.4 * before.mean()

    def test_they_help_the_features(self, rng):
        fixed, moving = pair_on(PLANE)
        points = inner_points(PLANE, rng, 80)
        truth = points + wave(points)
        pairs = LandmarkPairs(points[:40], truth[:40], weight=0.1)
        errors = [
            distance(register(fixed, moving, settings=QUICK, keypoints=p).transform.map_points(points), truth)[40:]
            for p in (None, pairs)
        ]
        assert errors[1].mean() < errors[0].mean()

    def test_through_the_affine(self, rng):
        """Landmarks are those of the images as they are, whatever the affine stage has done."""
        fixed, moving = pair_on(PLANE)
        away = Image(moving.data, Grid(PLANE.shape, np.array([[1.0, 0, 12], [0, 1, -8], [0, 0, 1]]) @ PLANE.affine))
        points = inner_points(PLANE, rng, 40)
        pairs = LandmarkPairs(points, points + wave(points) + np.array([12.0, -8.0]), weight=0.3)
        result = register(fixed, away, settings=replace(QUICK, affine=True), keypoints=pairs)
        assert distance(result.transform.map_points(points), pairs.moving).mean() < 1

    def test_refused(self):
        fixed, moving = pair_on(PLANE)
        pairs = LandmarkPairs(np.zeros((1, 2)), np.zeros((1, 2)))
        with pytest.raises(LandmarkError, match="Adam"):
            register(fixed, moving, settings=replace(QUICK, update="adam"), keypoints=pairs)
        with pytest.raises(LandmarkError, match="3D"):
            register(fixed, moving, settings=QUICK, keypoints=LandmarkPairs(np.zeros((1, 3)), np.zeros((1, 3))))


def test_robust_ignores_what_the_other_image_lacks(rng):
    """A bright thing in one image alone drags its surroundings, but not with a robust loss."""
    fixed, moving = pair_on(PLANE)
    spoilt = Image(fixed.data.copy(), PLANE)
    spoilt.data[..., 14:26, 12:24] += 0.5
    points = inner_points(PLANE, rng)
    errors = []
    for robust in (None, "geman-mcclure:0.25"):
        moved = register(spoilt, moving, settings=replace(QUICK, robust=robust)).transform.map_points(points)
        errors.append(distance(moved, points + wave(points)).mean())
    assert errors[1] < 0.7 * errors[0]


def test_overlap_with_a_cropped_moving_image(rng):
    fixed, _ = pair_on(PLANE)
    cut = Grid.from_spacing((32, 40), (1.5, 2.0), PLANE.index_to_world([12, 0]))
    _, moving = pair_on(PLANE, cut)
    points = PLANE.index_to_world(rng.uniform((8, 8), (16, 32), size=(100, 2)))
    errors = []
    for overlap in (False, True):
        moved = register(fixed, moving, settings=replace(QUICK, overlap=overlap)).transform.map_points(points)
        errors.append(distance(moved, points + wave(points)).mean())
    assert errors[1] < 0.85 * errors[0]


def test_the_same_bytes_twice():
    fixed, moving = pair_on(PLANE)
    settings = replace(QUICK, symmetric=True, diffeomorphic=True, robust="huber:0.5", overlap=True)
    first, second = (register(fixed, moving, settings=settings) for _ in range(2))
    assert first.displacement.data.tobytes() == second.displacement.data.tobytes()
    assert first.inverse_error == second.inverse_error
    with pytest.raises(SettingsError):
        replace(settings, update="adam")
