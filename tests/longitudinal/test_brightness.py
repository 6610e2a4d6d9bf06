"""Brightness of two scans: a known gain and field are removed, a change of tissue is not."""

import numpy as np
import pytest

from learngn.errors import SettingsError
from learngn.longitudinal.brightness import matched

SHAPE = (30, 26, 22)


@pytest.fixture
def scan():
    x = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij"))
    tissue = 400 + 200 * np.sin(6 * x[0]) * np.cos(5 * x[1])
    return x, tissue.astype(np.float32), [np.ones(SHAPE, bool)] * 2


def test_gain_and_field_are_removed(scan):
    x, tissue, inside = scan
    field = np.exp(0.1 * x[0] - 0.05 * x[1] * x[2] + 0.08 * x[2] ** 2).astype(np.float32)
    (first, second), gains = matched([tissue, 1.3 * field * tissue], inside, "field")
    np.testing.assert_allclose(second, first, rtol=1e-4)
    assert gains[0] * gains[1] == pytest.approx(1, abs=0.02)
    assert gains[1] / gains[0] == pytest.approx(1.3, rel=0.05)
    (first, second), _ = matched([tissue, 1.3 * tissue], inside, "gain")
    np.testing.assert_allclose(second, first, rtol=1e-5)


def test_exchange(scan):
    x, tissue, inside = scan
    other = 1.2 * tissue * np.exp(0.1 * x[0]).astype(np.float32)
    one, _ = matched([tissue, other], inside, "field")
    two, _ = matched([other, tissue], inside, "field")
    np.testing.assert_allclose(one[0], two[1], rtol=1e-6)
    np.testing.assert_allclose(one[1], two[0], rtol=1e-6)


def test_a_change_of_tissue_stays(scan):
    _, tissue, inside = scan
    changed = tissue.copy()
    changed[10:16, 10:16, 8:14] *= 0.5
    (first, second), _ = matched([tissue, changed], inside, "field")
    ratio = second / first
    assert ratio[12, 12, 10] == pytest.approx(0.5, abs=0.01)
    assert ratio[3, 3, 3] == pytest.approx(1, abs=0.01)


def test_scans_with_a_unit_are_kept(scan):
    _, tissue, inside = scan
    ct = tissue - 1000
    (first, second), gains = matched([ct, ct + 10], inside, "field")
    assert gains == [1, 1]
    np.testing.assert_array_equal(first, ct)
    np.testing.assert_array_equal(second, ct + 10)
    assert matched([tissue, 2 * tissue], inside, "keep")[1] == [1, 1]


def test_unknown_kind(scan):
    with pytest.raises(SettingsError, match="field, gain or keep"):
        matched([scan[1], scan[1]], scan[2], "histogram")
