"""Presets: which scans are taken for what."""

from dataclasses import replace

import numpy as np
import pytest

from learngn.errors import SettingsError
from learngn.features import parse_features
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.io import read_dataset, read_image
from learngn.registration import RegistrationPair, Request, Side, recognise, register, resolve
from learngn.registration.recognise import looks_like_label_map
from learngn.settings import PRESETS, default_settings, preset
from learngn.settings.levels import fitted


def scan(low, high, *, shape=(12, 12, 12), spacing=8.0, lung=0.0):
    """A cube of `high` in `low`; a part of the cube has the density of lung."""
    data = np.full(shape, low, dtype=np.float32)
    inner = tuple(slice(2, -2) for _ in shape)
    cube = np.full(data[inner].shape, high, dtype=np.float32)
    cube.reshape(-1)[: int(lung * cube.size)] = -800
    data[inner] = cube
    return Image.from_array(data, Grid.from_spacing(shape, spacing))


@pytest.mark.parametrize(
    ("fixed", "moving", "name"),
    [
        (scan(-1000, 40), scan(-1000, 60), "abdomen-ct"),
        (scan(-1000, 40, lung=0.3), scan(-1000, 60), "thorax-ct"),
        (scan(0, 900, spacing=32.0), scan(0, 700, spacing=32.0), "abdomen-mr"),
        (scan(0, 900, spacing=18.0), scan(0, 700, spacing=20.0), "brain-mr"),
        (scan(-1000, 40), scan(0, 900), "ct-mr"),
        (scan(0, 900), scan(-1000, 40), "ct-mr"),
        (scan(0, 900, shape=(20, 20)), scan(0, 900, shape=(20, 20)), "2d"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_recognised(fixed, moving, name):
    found = recognise(fixed, moving)
    assert found.preset is PRESETS[name]
    assert found.to_json() == {"name": name, "because": found.because}
    assert found.because


def test_every_preset_is_one_of_scans_but_one():
    for name, known in PRESETS.items():
        assert known.name == name
        assert parse_features(known.settings.features).traits.reads_labels == (name == "label-maps")
        assert known.settings.aligns == (name != "label-maps")


def organs(shape=(16, 14, 12), *, dtype=np.float32, labels=False, shift=0):
    """Two organs as numbers, read as a scan unless `labels`."""
    data = np.zeros(shape, dtype)
    data[3 + shift : 9 + shift, 3:11, 2:10] = 1
    data[9 + shift : 13 + shift, 4:8, 3:9] = 7
    return Image.from_array(data, Grid.from_spacing(shape, 3.0), labels=labels)


def noisy(image):
    noise = np.random.default_rng(0).integers(0, 3, image.grid.shape)
    return Image.from_array(image.data[0, 0] + noise.astype(np.float32), image.grid)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (organs(), True),
        (organs(labels=True, dtype=np.uint8), True),
        (noisy(organs()), False),
        (Image.from_array(organs().data[0, 0] + 0.5, organs().grid), False),
        (Image.from_array(-organs().data[0, 0], organs().grid), False),
        (Image.from_array(0 * organs().data[0, 0], organs().grid), False),
        (scan(-1000, 40, lung=0.3), False),
    ],
)
def test_values_of_a_label_map(image, expected):
    assert looks_like_label_map(image) is expected


def test_label_maps_given_as_scans():
    """Registered as what they are, and scored with themselves; one scan among them makes both scans."""
    fixed, moving = organs(), organs(shift=1)
    result = register(fixed, moving)
    assert result.settings.features == "organ-distance"
    assert result.resolved.recognised.preset.name == "label-maps"
    assert result.warped.labels
    assert result.pair.labels is not None
    assert recognise(fixed, noisy(moving)).preset.name == "brain-mr"
    assert register(fixed, moving, features="intensity").settings.features == "intensity"


def test_features_named_by_hand_keep_the_rest_of_the_preset():
    fixed, moving = scan(-1000, 40, lung=0.3), scan(-1000, 60, lung=0.3)
    pair = RegistrationPair(Side.of(fixed, "fixed"), Side.of(moving, "moving"))
    whole, named = resolve(Request(), pair).settings, resolve(Request("mind"), pair).settings
    assert named.overlap
    assert (whole.discrete, named.discrete) == (True, False)  # a pattern alone occurs in many places
    assert resolve(Request("mind,intensity"), pair).settings.discrete
    assert (named.features, named.lam) == ("mind", fitted(default_settings("mind", False), fixed.grid).lam)
    assert replace(named, features=whole.features, lam=whole.lam, discrete=True) == whole
    assert resolve(Request("none"), pair).settings.affine == "none"


def test_unknown_preset():
    with pytest.raises(SettingsError, match=r"preset: got 'head', expected one of abdomen-ct, .*; name one of these"):
        preset("head")


def test_nothing_given_is_the_preset():
    fixed, moving = scan(-1000, 40, lung=0.3), scan(-1000, 60, lung=0.3)
    pair = RegistrationPair(Side.of(fixed, "fixed"), Side.of(moving, "moving"))
    resolved = resolve(Request(), pair)
    assert resolved.settings == fitted(PRESETS["thorax-ct"].settings, fixed.grid)
    assert resolved.recognised.preset is PRESETS["thorax-ct"]


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "expected"), [("ThoraxCT", "thorax-ct"), ("AbdomenMR", "abdomen-mr"), ("HippocampusMR", "brain-mr")]
)
def test_real_scans(data_root, name, expected):
    dataset = read_dataset(data_root / name)
    for subject in dataset.training[:4]:
        image = read_image(subject.image)
        assert recognise(image, image).preset.name == expected
