"""Presets: which scans are taken for what."""

import numpy as np
import pytest

from learngn.errors import SettingsError
from learngn.features import parse_features
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.io import read_dataset, read_image
from learngn.registration import RegistrationPair, Request, Side, recognise, resolve
from learngn.settings import PRESETS, preset
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


def test_every_preset_is_one_of_scans():
    for name, known in PRESETS.items():
        assert known.name == name
        assert not parse_features(known.settings.features).traits.reads_labels
        assert known.settings.affine


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
