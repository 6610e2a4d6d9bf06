"""Scans that do not belong together, or lie the wrong way round: the verdict says so, and nothing is made worse."""

from dataclasses import replace

import numpy as np
import pytest

from learngn import register
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.optimise import LandmarkPairs
from learngn.phantom import abdomen

SHAPE = (64, 56, 48)


@pytest.fixture(scope="module")
def phantoms():
    return [abdomen(SHAPE, seed=seed) for seed in (1, 2, 3)]


def flipped(image, *axes):
    return replace(image, data=np.ascontiguousarray(np.flip(image.data, [axis + 2 for axis in axes])))


def as_mr(phantom, seed=0):
    """Intensities by organ, without a relation to Hounsfield units."""
    draw = np.random.default_rng(seed)
    values = draw.uniform(100, 900, 64)
    body = phantom.scan.data > -300
    scan = np.where(body, values[phantom.labels.data.astype(int)], 20) + draw.normal(0, 15, body.shape)
    return Image(scan.astype(np.float32), phantom.scan.grid)


def half(image, upper):
    n = image.grid.shape[2] // 2
    data, shape = (image.data[..., n:] if upper else image.data[..., :n]), image.grid.shape
    # Both halves at one place: headers say nothing.
    return Image(np.ascontiguousarray(data), Grid((*shape[:2], data.shape[-1]), image.grid.affine))


def texts(result):
    return " ".join(reason.text for reason in result.verdict.reasons)


def test_good_pair(phantoms):
    result = register(phantoms[0].scan, phantoms[1].scan)
    assert result.verdict.status == "ok"
    assert result.verdict.reasons == ()
    assert not result.verdict.left_out
    assert result.verdict.measures["patterns_after"] > result.verdict.measures["patterns_linear"] > 0.4
    assert float(np.abs(result.displacement.data).max()) > 0.5


def test_good_pair_across_modalities(phantoms):
    assert register(phantoms[0].scan, as_mr(phantoms[1])).verdict.status == "ok"


@pytest.mark.parametrize(("axes", "words"), [
    ((0,), "mirrored (left and right exchanged)"),
    ((2,), "mirrored (top and bottom exchanged)"),
    ((1, 2), "turned by 180° (front and back, top and bottom exchanged)"),
], ids=["mirrored", "stored upside down", "turned"])  # fmt: skip
def test_wrong_way_round(phantoms, axes, words):
    result = register(phantoms[0].scan, flipped(phantoms[1].scan, *axes))
    assert result.verdict.status == "failed"
    assert words in texts(result)


def test_another_part_of_another_persons_body(phantoms):
    result = register(half(as_mr(phantoms[2]), upper=False), half(phantoms[0].scan, upper=True))
    assert result.verdict.status in ("check", "failed")
    assert result.verdict.reasons


def test_noise_leaves_the_headers_position(phantoms):
    noise = np.random.default_rng(0).normal(0, 100, (1, 1, *SHAPE)).astype(np.float32)
    result = register(phantoms[0].scan, Image(noise, phantoms[0].scan.grid), uncertainty=True)
    assert result.verdict.status == "failed"
    assert result.verdict.left_out
    assert result.uncertainty is None  # it was that of the displacement that is left out
    assert result.affine_start == "header"
    assert np.array_equal(result.affine.matrix, np.eye(4))
    assert not result.displacement.data.any()
    assert "no displacement is kept" in texts(result)


def test_hardly_any_regularisation(phantoms):
    result = register(phantoms[0].scan, phantoms[1].scan, lam=(1.5e-3, 1.5e-4))
    assert result.verdict.status != "ok"
    assert "bends" in texts(result)


def test_key_points_are_followed(phantoms):
    noise = np.random.default_rng(0).normal(0, 100, (1, 1, *SHAPE)).astype(np.float32)
    points = np.random.default_rng(1).uniform(-60, 60, (20, 3))
    pairs = LandmarkPairs(points, points + 4.0)
    result = register(phantoms[0].scan, Image(noise, phantoms[0].scan.grid), affine="none", keypoints=pairs)
    assert not result.verdict.left_out
    assert float(np.abs(result.displacement.data).max()) > 0.1


def test_without_a_verdict(phantoms):
    result = register(phantoms[0].scan, phantoms[1].scan, quality=False, strides=(8, 4), iterations=(2, 2))
    assert result.verdict is None
    assert "quality" not in result.seconds


def test_verdict_of_planes():
    first, second = (abdomen((96, 80), seed=seed) for seed in (1, 2))
    assert register(first.scan, second.scan).verdict.status == "ok"
    assert register(first.scan, flipped(second.scan, 0)).verdict.status != "ok"
