"""Measures of fit: values that are known."""

import numpy as np
import pytest

from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.geometry.transform import Affine, Composite, DisplacementField
from learngn.quality import similarity
from learngn.quality.body import body_mask, otsu
from learngn.quality.coarse import CoarsePair
from learngn.quality.deformation import LinearPart, deformation

SHAPE = (20, 18, 16)
WHOLE = np.ones(SHAPE, dtype=bool)


def smooth(seed, shape=SHAPE):
    noise = np.random.default_rng(seed).normal(size=shape)
    return similarity.cubes(similarity.cubes(noise, 1), 1)


def test_cubes_are_sums_cut_at_the_border():
    counts = similarity.cubes(np.ones((6, 5)), 2)
    assert counts[0, 0] == 9
    assert counts[2, 2] == 25
    assert counts[5, 2] == 15


def test_equal_scans():
    scan = smooth(0)
    assert similarity.local_correlation(scan, 2 * scan + 3, WHOLE) == pytest.approx(1, abs=0.05)
    assert similarity.correlation(scan, -scan, WHOLE) == pytest.approx(-1)
    assert similarity.mutual_information(scan, scan, WHOLE) > 0.9
    patterns = np.stack([scan, smooth(1)])
    assert similarity.pattern_agreement(patterns, patterns, WHOLE) == pytest.approx(1)


def test_unrelated_scans():
    first, second = smooth(0), smooth(1)
    assert similarity.local_correlation(first, second, WHOLE) < 0.3
    assert abs(similarity.mutual_information(first, second, WHOLE)) < 0.1
    assert abs(similarity.pattern_agreement(first[None], second[None], WHOLE)) < 0.3


def test_information_of_any_relation_of_intensities():
    scan = smooth(0)
    other = np.cos(3 * scan / scan.std())
    assert similarity.mutual_information(scan, other, WHOLE) > 0.3
    assert abs(similarity.correlation(scan, other, WHOLE)) < 0.3


def test_no_voxels():
    none = ~WHOLE
    for measure in (similarity.local_correlation, similarity.mutual_information, similarity.correlation):
        assert np.isnan(measure(smooth(0), smooth(1), none))
    assert np.isnan(similarity.dice(none, none))


def test_threshold_between_two_classes():
    values = np.concatenate([np.full(500, 10.0), np.full(500, 100.0)]) + np.random.default_rng(0).normal(0, 3, 1000)
    assert 15 < otsu(values) < 90


def test_lungs_belong_to_the_body():
    values = np.full((24, 24, 24), -1000.0)
    values[4:20, 4:20, :] = 40
    values[8:16, 8:16, :] = -800  # open at top and bottom
    mask = body_mask(values, is_ct=True)
    assert mask[12, 12, 12]
    assert not mask[1, 1, 1]
    assert mask.sum() == 16 * 16 * 24


def test_map_taken_apart():
    angle = np.deg2rad(30)
    matrix = np.eye(4)
    matrix[:2, :2] = 1.2 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix[2, 2] = 1.2
    part = LinearPart.of(matrix)
    assert part.turn == pytest.approx(30)
    assert part.scale == pytest.approx(np.log(1.2))
    assert part.stretch == pytest.approx(0, abs=1e-9)
    planar = LinearPart.of(np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]))
    assert planar.turn == pytest.approx(90)


@pytest.mark.parametrize("shape", [(16, 14), (16, 14, 12)], ids=str)
def test_deformation_without_a_displacement(shape):
    grid = Grid.from_spacing(shape, [2.0] * len(shape))
    matrix = np.eye(len(shape) + 1)
    matrix[0, 0], matrix[0, -1] = 1.3, 5.0
    found = deformation(Affine(matrix), grid, matrix, np.ones(shape, dtype=bool))
    assert {name: pytest.approx(value, abs=1e-4) for name, value in found.items()} == dict.fromkeys(found, 0.0)


def test_deformation_of_a_translation_and_of_a_wave():
    grid, matrix, body = Grid.from_spacing(SHAPE, [2.0] * 3), np.eye(4), WHOLE
    field = np.zeros((1, 3, *SHAPE), dtype=np.float32)
    field[0, 0] = 3
    moved = deformation(Composite((DisplacementField(field, grid), Affine(matrix))), grid, matrix, body)
    assert moved["displacement"] > 0.3
    assert moved["bending"] == pytest.approx(0, abs=1e-4)
    field[0, 0] = 2 * np.sin(np.arange(SHAPE[0]))[:, None, None]
    waved = deformation(Composite((DisplacementField(field, grid), Affine(matrix))), grid, matrix, body)
    assert waved["bending"] > 0.3
    assert waved["spread"] > 0.1


def test_grids_are_bounded():
    grid = Grid.from_spacing((200, 180, 90), [1.0, 1.0, 2.0])
    scan = Image(np.zeros((1, 1, *grid.shape), dtype=np.int16), grid)
    scan.data[..., 50:150, 40:140, 20:70] = 500
    pair = CoarsePair.of(scan, scan)
    assert pair.grid.size <= 32_000
    assert pair.kind == "other"
    fit = pair.fit(pair.compared(Affine.identity(3)))
    assert fit["bodies"] == fit["covered"] == fit["overlap"] == 1
    assert fit["patterns"] == pytest.approx(1, abs=1e-5)


def test_label_maps_are_compared_by_labels():
    grid = Grid.from_spacing((30, 30, 30), [2.0] * 3)
    labels = np.zeros((1, 1, 30, 30, 30), dtype=np.uint8)
    labels[..., 5:15, 5:25, 5:25], labels[..., 15:25, 5:25, 5:25] = 1, 2
    scan = Image(labels, grid, labels=True)
    pair = CoarsePair.of(scan, scan)
    assert pair.kind == "labels"
    assert pair.fit(pair.compared(Affine.identity(3)))["labels"] == 1
