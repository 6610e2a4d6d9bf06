"""Factors of the covariance."""

import numpy as np
import pytest

from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.registration import Request
from learngn.registration.pair import RegistrationPair, Side
from learngn.registration.resolve import resolve
from learngn.settings import PRESETS
from learngn.uncertainty.calibration import FACTORS, factor_of


def test_every_preset_has_one():
    assert set(PRESETS) <= set(FACTORS)
    assert all(factor > 0 for factor in FACTORS.values())


def test_preset_before_features():
    assert factor_of("ct-mr", "mind,intensity:20") == FACTORS["ct-mr"]
    assert factor_of(None, "mind:2,intensity:20") == FACTORS["mind"]
    assert factor_of(None, "my-own") > 0


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        (Request(preset="brain-mr"), "brain-mr"),
        (Request(), "abdomen-ct"),
        (Request(features="mind"), None),
        (Request(features="mind", preset="abdomen-ct"), None),
    ],
)
def test_the_preset_that_was_used(request_, name):
    values = np.random.default_rng(0).normal(40, 100, (1, 1, 40, 36, 30)).astype(np.float32)
    values[..., :8] = -1000
    image = Image(values, Grid.from_spacing((40, 36, 30), (8.0, 8.0, 8.0)))
    pair = RegistrationPair(Side.of(image, "fixed"), Side.of(image, "moving"))
    assert resolve(request_, pair).preset == name
