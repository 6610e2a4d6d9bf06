"""Fusion of label maps: closed forms, another library, and atlases that err alike."""

import numpy as np
import pytest
import SimpleITK as sitk

from learngn.arrays import as_numpy, is_tensor
from learngn.atlas import joint, majority
from learngn.errors import SettingsError, ShapeError
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image

SHAPE = (24, 20, 16)
GRID = Grid.from_spacing(SHAPE, (1.0, 1.0, 1.5))


def labels_of(array):
    return Image.from_array(np.asarray(array, dtype=np.uint8), GRID, labels=True)


def scan_of(array):
    return Image.from_array(np.asarray(array, dtype=np.float32), GRID)


def ball(centre):
    x = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    return (((x - centre) ** 2).sum(-1) < 36).astype(np.uint8)


def looks(labels, rng):
    """A scan in which what is labelled is bright."""
    return scan_of(100 * labels + rng.normal(0, 2, SHAPE))


def test_majority_as_simpleitk_has_it(rng):
    maps = [rng.integers(0, 4, SHAPE) for _ in range(7)]
    found = majority(scan_of(np.zeros(SHAPE)), [], [labels_of(m) for m in maps]).data[0, 0]
    voted = sitk.GetArrayFromImage(sitk.LabelVoting([sitk.GetImageFromArray(m.astype(np.uint8)) for m in maps], 255))
    clear = voted != 255
    assert 0.5 < clear.mean() < 1
    np.testing.assert_array_equal(found[clear], voted[clear])
    counts = np.stack([(np.stack(maps) == value).sum(0) for value in range(4)])
    np.testing.assert_array_equal(found[~clear], counts.argmax(0)[~clear])


def test_one_atlas_is_copied(rng):
    truth = ball((12, 10, 8))
    for vote in (majority, joint):
        fused = vote(looks(truth, rng), [looks(truth, rng)], [labels_of(truth)])
        assert fused.labels
        assert fused.grid == GRID
        assert fused.data.dtype == np.uint8
        np.testing.assert_array_equal(fused.data[0, 0], truth)


def test_atlases_that_err_alike_are_outvoted(rng):
    """Two of three lie elsewhere, and look so: the majority follows them, the joint vote does not."""
    truth, wrong = ball((12, 10, 8)), ball((15, 10, 8))
    target = looks(truth, rng)
    maps = [truth, wrong, wrong]
    scans, labels = [looks(m, rng) for m in maps], [labels_of(m) for m in maps]
    np.testing.assert_array_equal(majority(target, scans, labels).data[0, 0], wrong)
    right = joint(target, scans, labels).data[0, 0] == truth
    assert right.mean() > 0.995
    assert right[(truth != wrong)].mean() > 0.9


def test_brightness_does_not_matter(rng):
    truth, wrong = ball((12, 10, 8)), ball((15, 10, 8))
    target, maps = looks(truth, rng), [truth, wrong, wrong]
    scans, labels = [looks(m, rng) for m in maps], [labels_of(m) for m in maps]
    other = [scan_of(7 * scan.data[0, 0] + 50) for scan in scans]
    same = joint(target, scans, labels).data == joint(target, other, labels).data
    assert same.mean() > 0.999


@pytest.mark.parametrize("vote", [majority, joint])
def test_both_libraries_agree(vote, rng):
    truth, wrong = ball((12, 10, 8)), ball((15, 10, 8))
    target, maps = looks(truth, rng), [truth, wrong, wrong]
    scans, labels = [looks(m, rng) for m in maps], [labels_of(m) for m in maps]
    found = vote(target, scans, labels).data
    tensors = vote(target.to("cpu"), [scan.to("cpu") for scan in scans], [image.to("cpu") for image in labels]).data
    assert is_tensor(tensors)
    assert found.dtype == np.uint8
    assert (found == as_numpy(tensors)).mean() > 0.9999


def test_weights_in_closed_form(monkeypatch):
    """One atlas without error against n that all err by e: of (M + α I)⁻¹ 1 with M = e⁴ 1 1ᵀ among the bad ones.

    The good one's entry is 1 / α, and each bad one's 1 / (n e⁴ + α).
    """
    monkeypatch.setattr("learngn.atlas.fusion.normalised", lambda data, *_: data)
    target = scan_of(np.zeros(SHAPE))
    for error, count, winner in ((0.4, 2, 2), (0.55, 2, 1), (0.45, 3, 2), (0.55, 3, 1)):
        good, bad = 1 / 0.1, 1 / (count * error**4 + 0.1)
        assert (good > count * bad) == (winner == 1)
        scans = [target, *[scan_of(np.full(SHAPE, error))] * count]
        labels = [labels_of(np.ones(SHAPE)), *[labels_of(np.full(SHAPE, 2))] * count]
        assert joint(target, scans, labels).label_values == [winner]


def test_other_grids_are_refused(rng):
    image = scan_of(rng.normal(size=SHAPE))
    other = Image.from_array(np.zeros((4, 4, 4), np.uint8), Grid.from_spacing((4, 4, 4)), labels=True)
    for vote in (majority, joint):
        with pytest.raises(ShapeError, match="warp them onto the target"):
            vote(image, [image], [other])
        with pytest.raises(ShapeError):
            vote(image, [], [])


def test_votes_are_in_proportion_to_trust():
    """No scan tells which atlas is right (all look alike), so that trust decides; without it, the majority."""
    truth, wrong = ball((12, 10, 8)), ball((15, 10, 8))
    target, maps = scan_of(np.zeros(SHAPE)), [labels_of(m) for m in (truth, wrong, wrong)]
    scans = [target] * 3
    for vote in (majority, joint):
        for trust, winner in ((None, wrong), ((1, 1, 1), wrong), ((1.0, 0.6, 0.6), wrong), ((1.0, 0.45, 0.45), truth)):
            np.testing.assert_array_equal(vote(target, scans, maps, trust=trust).data[0, 0], winner)


def test_the_same_trust_in_all_changes_nothing(rng):
    truth, wrong = ball((12, 10, 8)), ball((15, 10, 8))
    target, maps = looks(truth, rng), [truth, wrong, wrong]
    scans, labels = [looks(m, rng) for m in maps], [labels_of(m) for m in maps]
    for vote in (majority, joint):
        plain = vote(target, scans, labels).data
        np.testing.assert_array_equal(vote(target, scans, labels, trust=(1.0, 1.0, 1.0)).data, plain)


@pytest.mark.parametrize("trust", [(1.0,), (1.0, 0.0), (1.0, float("nan"))])
def test_trust_that_cannot_be(rng, trust):
    truth = ball((12, 10, 8))
    for vote in (majority, joint):
        with pytest.raises(SettingsError, match="2 numbers above zero"):
            vote(looks(truth, rng), [looks(truth, rng)] * 2, [labels_of(truth)] * 2, trust=trust)
