"""Fit of learned features, numbers of scans, and what a model's record makes of them."""

import numpy as np
import pytest

from learngn.features import FeatureImage
from learngn.geometry.grid import Grid
from learngn.geometry.transform import Affine
from learngn.quality import (
    Experience,
    FeaturePair,
    Measures,
    ScanSummary,
    fits_worse,
    judge,
    learned_measures,
    steadiness,
)
from learngn.quality.thresholds import MODELS

GRID = Grid.from_spacing((40, 36), (2.0, 2.0))


def discs(shift=0.0, grid=GRID):
    """Two organs: signed distances to discs, positive inside."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")).astype(np.float32)
    channels = [
        np.clip((radius - np.hypot(index[0] - x - shift, index[1] - y)) / radius, -1, 1)
        for x, y, radius in ((12, 16, 7.0), (26, 20, 5.0))
    ]
    return FeatureImage(np.stack(channels)[None].astype(np.float32), grid)


def translation(*mm):
    matrix = np.eye(3)
    matrix[:2, -1] = mm
    return Affine(matrix)


class TestFit:
    def test_equal_features(self):
        fit = FeaturePair.of(discs(), discs(), range(2)).fit(translation(0, 0))
        assert fit == pytest.approx({"features": 1.0, "covers": 1.0, "organs": 1.0})

    def test_the_right_transform_fits_better(self):
        pair = FeaturePair.of(discs(), discs(3.0), range(2))
        before, after = pair.fit(translation(0, 0)), pair.fit(translation(6.0, 0))
        assert before["organs"] < 0.75
        assert after["organs"] > 0.98
        assert after["features"] > before["features"]
        assert fits_worse(before, after)
        assert not fits_worse(after, before)
        assert not fits_worse(before, before)

    def test_nothing_in_common(self):
        fit = FeaturePair.of(discs(), discs(), range(2)).fit(translation(1000.0, 0))
        assert fit == {"features": 0.0, "covers": 0.0, "organs": 0.0}

    def test_without_organs(self):
        assert set(FeaturePair.of(discs(), discs()).fit(translation(0, 0))) == {"features", "covers"}

    def test_a_mask_says_where_features_count(self):
        weight = np.zeros((1, 1, *GRID.shape), dtype=np.float32)
        weight[..., :20, :] = 1
        spoiled = discs()
        spoiled.data[..., 20:, :] = -spoiled.data[..., 20:, :]
        masked = FeatureImage(spoiled.data, GRID, weight)
        assert FeaturePair.of(discs(), spoiled).fit(translation(0, 0))["features"] < 0.9
        assert FeaturePair.of(discs(), masked).fit(translation(0, 0))["features"] == pytest.approx(1.0)

    def test_large_scans_are_averaged(self):
        grid = Grid.from_spacing((400, 360), (0.2, 0.2))
        pair = FeaturePair.of(discs(grid=grid), discs(grid=grid), range(2))
        assert pair.fixed.grid.size <= 10_000
        assert pair.fit(translation(0, 0))["organs"] == pytest.approx(1.0)


def test_summary_of_a_scan():
    phi = discs()
    scan = ScanSummary.of(GRID, FeatureImage(phi.data[:, :1], GRID), phi, range(2))
    assert scan.volumes[0] == pytest.approx(np.pi * 14**2 / 100, rel=0.1)  # [cm²]
    assert scan.spacing == 2.0
    assert scan.field == pytest.approx(np.sqrt(80 * 72))
    assert scan.inputs[0] == -1.0
    assert scan.steady is None


@pytest.mark.parametrize("labels", [False, True])
def test_steadiness(labels):
    given = FeatureImage(discs().data[:, :1], GRID)

    def same(image):
        return FeatureImage(np.ones_like(image.data) * np.arange(image.data.shape[-1], dtype=np.float32), image.grid)

    def erratic(image):
        random = np.random.default_rng(abs(hash(image.data.tobytes())))
        return FeatureImage(random.normal(size=image.data.shape).astype(np.float32), image.grid)

    assert steadiness(lambda image: image, given, labels=labels) > 0.9
    assert steadiness(erratic, given, labels=labels) < 0.2
    if not labels:
        assert steadiness(same, given) == pytest.approx(1.0)


def summary(**changes):
    values = {"spacing": 2.0, "field": 200.0, "inputs": (0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0), "volumes": (30.0, 9.0)}
    return ScanSummary(**(values | {"steady": 0.95} | changes))


FITS = {
    "before": {"organs": 0.5, "features": 0.6, "covers": 1.0},
    "linear": {"organs": 0.5, "features": 0.6, "covers": 1.0},
    "after": {"organs": 0.9, "features": 0.95, "covers": 1.0},
}
PAIR = {f"{name}_{stage}": value for stage, fit in FITS.items() for name, value in fit.items()}


@pytest.fixture
def known():
    scans = [summary(volumes=(25.0, 8.0)), summary(volumes=(40.0, 12.0), field=220.0)]
    return Experience.of(range(1, 3), ("gland", "cyst"), [scans], [PAIR, PAIR | {"spread": 0.7, "patterns_after": 0.3}])


def verdict(known, fixed=None, moving=None, **after):
    fits = FITS | {"after": FITS["after"] | after}
    learned = learned_measures(fits, (fixed or summary(), moving or summary()), known)
    return judge(Measures("modalities", {}, {}, {}, {}, ""), (), learned)


def test_record_comes_back(known):
    assert Experience.read(known.to_json()) == known
    assert known.channels == range(1, 3)
    assert known.pairs["organs_after"] == (0.9, 0.9, 0.9)


def test_good_pair(known):
    assert verdict(known).status == "ok"
    assert verdict(known).doubt == 0


@pytest.mark.parametrize(("changes", "measure", "words"), [
    ({"spacing": 6.0}, "spacing_moving", "the moving scan has voxels of up to 6 mm (training scans: 2 mm)"),
    ({"field": 60.0}, "field_moving", "a field of view of about 60 mm (training scans: 200 to 220 mm)"),
    ({"inputs": (0.5,) * 7}, "inputs_moving", "the intensities of the moving scan are distributed unlike"),
    ({"volumes": (30.0, 0.0)}, "volumes_moving", "sees 0 ml of cyst in the moving scan (training scans: 8 to 12 ml)"),
    ({"volumes": (300.0, 90.0)}, "volumes_moving", "300 ml of gland in the moving scan (training scans: 25 to 40 ml)"),
    ({"steady": 0.6}, "steady_moving", "depends on its brightness and noise"),
])  # fmt: skip
def test_scans_unlike_those_of_the_training(known, changes, measure, words):
    found = verdict(known, moving=summary(**changes))
    assert found.status != "ok"
    assert [reason.measure for reason in found.reasons] == [measure]
    assert words in found.reasons[0].text


@pytest.mark.parametrize(("after", "measure"), [
    ({"organs": 0.5}, "organs_after"),
    ({"features": 0.6}, "features_after"),
    ({"covers": 0.1}, "covers_after"),
])  # fmt: skip
def test_features_that_fit_worse_than_those_of_held_out_pairs(known, after, measure):
    found = verdict(known, **after)
    assert found.status != "ok"
    assert [reason.measure for reason in found.reasons] == [measure]


def test_causes_are_named_before_effects(known):
    found = verdict(known, fixed=summary(spacing=9.0), organs=0.1)
    assert [reason.measure for reason in found.reasons] == ["spacing_fixed", "organs_after"]


def test_limits_of_images_are_those_of_the_held_out_pairs_where_wider(known):
    adapted = learned_measures(FITS, (summary(), summary()), known).adapted(MODELS["ct"])
    assert adapted["spread"].limit == pytest.approx(1.25 * 0.7)
    assert adapted["patterns_after"].limit < 0.3
    assert adapted["local_after"] == MODELS["ct"]["local_after"]


def test_without_a_record_nothing_is_odd():
    learned = learned_measures(FITS)
    assert learned.terms == {}
    found = judge(Measures("other", {}, {}, {}, {}, ""), (), learned)
    assert found.status == "ok"
    assert found.to_json()["fit"]["learned"]["after"]["organs"] == 0.9
