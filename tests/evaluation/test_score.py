from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from learngn.errors import LabelError
from learngn.evaluation.deformation import sdlogj
from learngn.evaluation.learn2reg import score, warp_labels
from learngn.evaluation.surface import hd95
from learngn.geometry import sampling
from learngn.geometry.grid import Grid, apply_affine
from learngn.geometry.image import Image
from learngn.geometry.transform import Affine, DisplacementField

SHAPES = [(24, 20), (18, 16, 14)]


def labelled(shape: tuple[int, ...], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([gaussian_filter(rng.normal(size=shape), 3) for _ in range(4)]).argmax(axis=0).astype(np.uint8)


def field(shape: tuple[int, ...], seed: int, strength: float = 6.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    smooth = np.stack([gaussian_filter(rng.normal(size=shape), 2.5) for _ in shape])
    return (strength * smooth / smooth.std() / 4).astype(np.float32)[None]


@pytest.mark.parametrize("shape", SHAPES)
def test_score_against_the_challenge_step_by_step(shape):
    grid = Grid.from_spacing(shape, np.arange(1, len(shape) + 1))
    fixed, moving, displacement = labelled(shape, 0), labelled(shape, 1), field(shape, 2)
    fixed[fixed == 3] = 0  # a label that the fixed scan lacks
    found = score(
        DisplacementField(displacement, grid),
        grid,
        grid,
        labels=(Image.from_array(fixed, grid, labels=True), Image.from_array(moving, grid, labels=True)),
        names=("a", "b"),
    )
    identity = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")
    warped = map_coordinates(moving.astype(float), np.array(identity) + displacement[0], order=0)
    for label in (1, 2):
        a, b = fixed == label, warped == label
        assert found.dice[label] == 2 * (a & b).sum() / (a.sum() + b.sum())
        assert found.dice_before[label] == 2 * (a & (moving == label)).sum() / (a.sum() + (moving == label).sum())
    assert np.isnan([found.dice[3], found.dice_before[3], found.hd95[3]]).all()
    assert found.dice_mean == np.mean([found.dice[1], found.dice[2]])
    assert found.hd95_mean == np.mean([found.hd95[1], found.hd95[2]])
    # Voxels, not millimetres: the challenge's spacing is one.
    assert found.hd95[1] == hd95(fixed, warped.astype(int), [1])[1]
    assert found.hd95_mm[1] == hd95(fixed, warped.astype(int), [1], grid.spacing)[1]
    assert found.hd95_mm_mean == np.mean([found.hd95_mm[1], found.hd95_mm[2]])
    assert found.sdlogj == sdlogj(displacement)
    assert found.folds_percent > 0
    assert np.isnan(found.tre)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_labels_of_the_challenge_and_of_the_sampler(shape, dtype):
    """Quarter voxels, halves among them, are exact in both precisions: the same voxel is taken, bit for bit.

    The challenge ends the moving image at the outermost centres, the sampler half a voxel further.
    """
    rng = np.random.default_rng(3)
    moving = rng.integers(1, 9, shape, dtype=np.uint8)
    displacement = rng.integers(-20, 21, (len(shape), *shape)) / 4
    challenge = warp_labels(moving, displacement)
    field = displacement.astype(dtype)[None]
    ours = sampling.warp_nearest(moving[None, None], field, np.eye(len(shape) + 1), shape)
    position = np.indices(shape) + displacement
    size = np.array(shape).reshape(-1, *[1] * len(shape))
    within = ((position >= 0) & (position <= size - 1)).all(axis=0)
    np.testing.assert_array_equal(challenge[within], ours[0, 0][within])
    assert not challenge[~within].any()
    beyond = ((position < -0.5) | (position >= size - 0.5)).any(axis=0)
    assert not ours[0, 0][beyond].any()
    assert within.mean() > 0.3


@pytest.mark.parametrize(("shape", "moving_shape"), [((41, 37), (30, 44)), ((60, 50, 40), (45, 61, 33))], ids=str)
def test_labels_of_the_challenge_are_those_of_scipy(shape, moving_shape):
    """In several goes, to another shape, far out, and just at the border."""
    rng = np.random.default_rng(4)
    moving = rng.integers(1, 9, moving_shape, dtype=np.int16)
    for displacement in (
        rng.normal(size=(len(shape), *shape), scale=9).astype(np.float32),
        rng.choice([-1e-7, 0.0, 0.5], (len(shape), *shape)),
    ):
        expected = map_coordinates(moving, np.indices(shape) + displacement, order=0)
        np.testing.assert_array_equal(warp_labels(moving, displacement), expected)


@pytest.mark.parametrize("codes", [(1, 1, 1), (-1, 1, 1), (-1, -1, 1), (1, -1, -1)])
def test_another_orientation_of_the_moving_scan_changes_no_score(codes):
    shape = (18, 16, 14)
    grid = Grid.from_spacing(
        shape, (1.0, 1.5, 2.0), direction=np.linalg.qr(np.arange(9.0).reshape(3, 3) + np.eye(3))[0]
    )
    fixed, moving = labelled(shape, 0), labelled(shape, 1)
    transform = DisplacementField(field(shape, 2), grid)
    flip = np.eye(4)
    for axis, sign in enumerate(codes):
        if sign < 0:
            flip[axis, axis], flip[axis, 3] = -1, shape[axis] - 1
    flipped_grid = Grid(shape, grid.affine @ flip)
    flipped = np.ascontiguousarray(np.flip(moving, [axis for axis, sign in enumerate(codes) if sign < 0]))
    points = np.array([[5.0, 6, 7], [8, 9, 4]])
    scores = [
        score(
            transform,
            grid,
            on,
            labels=(Image.from_array(fixed, grid, labels=True), Image.from_array(values, on, labels=True)),
            landmarks=(points, on.world_to_index(grid.index_to_world(points + 1))),
        )
        for values, on in ((moving, grid), (flipped, flipped_grid))
    ]
    straight, turned = scores
    # A flip turns "halves up" into "halves down", and float32 rounds elsewhere: a voxel may differ, not more.
    assert turned.dice == pytest.approx(straight.dice, abs=2e-3)
    assert turned.dice_before == pytest.approx(straight.dice_before, abs=2e-3)
    assert turned.tre == pytest.approx(straight.tre, rel=1e-5)
    assert turned.tre_before == pytest.approx(straight.tre_before)
    # Folds are a matter of the world: a reflected grid does not fold.
    assert turned.folds_percent == straight.folds_percent
    assert 0 < straight.folds_percent < 50
    assert turned.std_log_jacobian == pytest.approx(straight.std_log_jacobian)


def test_identity_on_an_oblique_grid_is_exact_up_to_the_border():
    direction = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    grid = Grid.from_spacing((12, 11, 10), (0.7, 0.9, 2.3), origin=(13.3, -50.1, 7.7), direction=direction)
    image = Image.from_array(np.ones(grid.shape, dtype=np.uint8), grid, labels=True)
    found = score(Affine.identity(3), grid, grid, labels=(image, image))
    assert found.dice == {1: 1.0}
    assert found.hd95 == {1: 0.0}
    assert (found.sdlogj, found.folds_percent, found.std_log_jacobian) == (0, 0, 0)


def test_landmarks_on_unequal_grids():
    fixed, moving = Grid.from_spacing((12, 14), 2.0), Grid.from_spacing((20, 30), (1.0, 1.5))
    matrix = np.array([[1.0, 0.1, 2], [0, 0.9, -1], [0, 0, 1]])
    points = np.array([[4.0, 5], [6.5, 7]])
    partners = moving.world_to_index(apply_affine(matrix, fixed.index_to_world(points)) + np.array([3.0, 4.0]))
    found = score(Affine(matrix), fixed, moving, landmarks=(points, partners))
    # The challenge's spline is mirrored at the border, where a ramp has a kink: hence no closer.
    assert found.tre == pytest.approx(5, rel=1e-3)
    world = np.linalg.norm(fixed.index_to_world(points) - moving.index_to_world(partners), axis=1)
    assert found.tre_before == pytest.approx(world.mean())


def test_mask_restricts_sdlogj_alone():
    shape = (18, 16, 14)
    grid = Grid.from_spacing(shape)
    mask = np.zeros(shape, dtype=np.uint8)
    mask[5:10, 5:10, 5:10] = 1
    transform = DisplacementField(field(shape, 4), grid)
    whole, masked = (
        score(transform, grid, grid, mask=m) for m in (None, Image.from_array(mask, grid, labels=True))
    )  # fmt: skip
    assert masked.sdlogj == sdlogj(transform.data, mask) != whole.sdlogj
    assert masked.folds_percent == whole.folds_percent


def test_labels_of_another_grid_are_an_error():
    grid, other = Grid.from_spacing((8, 8)), Grid.from_spacing((8, 9))
    labels = tuple(Image.from_array(np.ones(g.shape, dtype=np.uint8), g, labels=True) for g in (grid, other))
    with pytest.raises(LabelError, match="moving labels"):
        score(Affine.identity(2), grid, grid, labels=labels)


def test_json_is_strict():
    grid = Grid.from_spacing((10, 10))
    first, second = np.zeros((2, 10, 10), dtype=np.uint8)
    first[2:4, 2:4], second[:, 0] = 1, 1
    first[8, 8] = 2
    images = tuple(Image.from_array(values, grid, labels=True) for values in (first, second))
    # Everything is moved out of the image: label 1 vanishes, its distance is infinite.
    away = np.eye(3)
    away[0, 2] = 100
    text = json.dumps(score(Affine(away), grid, grid, labels=images).to_json(), allow_nan=False)
    found = json.loads(text)
    assert found["hd95"] == {"1": "inf", "2": None}
    assert found["dice"] == {"1": 0.0, "2": None}
    assert found["tre"] is None
    assert "error" not in found
