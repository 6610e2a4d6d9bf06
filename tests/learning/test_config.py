"""Configurations of a training: read from files, and what is wrong told in one line."""

import json

import pytest
from pydantic import ValidationError

from learngn.errors import SettingsError, TrainingError
from learngn.learning import TrainingConfig
from learngn.learning.checks import with_channels
from learngn.learning.config_file import read_config

TOML = """
features = "organ-distance"
steps = 12
lam = [3.0, 0.3]
lineariser = { kind = "published", hidden = 2 }

[network]
width = 8

[augmentation]
rotation = 3.5

[losses]
labels = 0.5
"""


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_toml_and_json_say_the_same(tmp_path):
    read = read_config(write(tmp_path / "a.toml", TOML))
    assert (read.features, read.steps, read.lam) == ("organ-distance", 12, (3.0, 0.3))
    assert (read.network.width, read.lineariser.kind, read.lineariser.hidden) == (8, "published", 2)
    assert (read.augmentation.rotation, read.losses.labels) == (3.5, 0.5)
    default = TrainingConfig(features="organ-distance")
    assert (read.network.depth, read.batch, read.losses.auxiliary) == (
        default.network.depth,
        default.batch,
        default.losses.auxiliary,
    )
    text = json.dumps(read.model_dump(mode="json"))
    assert read_config(write(tmp_path / "a.json", text)) == read


def test_what_comes_first(tmp_path):
    """A value given, then the file's, then a default of the caller."""
    path = write(tmp_path / "a.toml", 'features = "mind"\nsteps = 12\n')
    defaults = {"features": "distance", "steps": 3, "batch": 4}
    read = read_config(path, defaults=defaults, steps=99, seed=None)
    assert (read.features, read.steps, read.batch, read.seed) == ("mind", 99, 4, 0)


def test_null_leaves_the_network_out(tmp_path):
    read = read_config(write(tmp_path / "a.json", '{"features": "mind", "network": null, "lineariser": {}}'))
    assert read.network is None
    assert read.lineariser.kind == "corrected"


def test_a_channel_for_each_label_that_teaches():
    def channels(organs, **network):
        return with_channels(TrainingConfig(features="mind", network=network), organs).network.out_channels

    assert (channels((1, 4, 5)), channels((1, 4, 5), out_channels=7), channels(())) == (3, 7, 12)
    with pytest.raises(TrainingError, match=r"network\.out_channels: got 2, expected 3 at least"):
        channels((1, 4, 5), out_channels=2)


def test_it_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        TrainingConfig(features="mind").steps = 3


def test_pretraining_needs_a_loss_of_its_own():
    def steps(**changes):
        return TrainingConfig(**({"features": "mind", "steps": 10, "pretraining": 0.4} | changes)).pretraining_steps

    assert steps() == 4
    assert steps(losses={"auxiliary": 0, "distances": 1}) == 4
    assert steps(losses={"auxiliary": 0, "distances": 0}) == 0
    assert steps(network=None, lineariser={}) == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("color = 3", "unknown key color"),
        ("losses = { dice = 1.0 }", "unknown key losses.dice"),
        ("network = { kind = 'resnet' }", "network.kind: 'resnet'"),
        ("steps = 'many'", "steps: 'many'"),
        ("steps = 0", "steps: 0"),
        ("steps = 2.5", "steps: 2.5"),
        ("strides = 4", "strides: 4"),
        ("lam = [1.0, 2.0, 3.0]", "lam"),
        ("rate = -1.0", "rate: -1.0"),
        ("augmentation = { drop = 1.0 }", "augmentation.drop: 1.0"),
        ("precision = 'float16'", "precision: 'float16'"),
        ("network = 3", "network: 3"),
    ],
)
def test_wrong_values_are_one_line(tmp_path, text, told):
    path = write(tmp_path / "a.toml", f'features = "mind"\n{text}\n')
    with pytest.raises(SettingsError) as raised:
        read_config(path)
    assert told in str(raised.value)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.toml", "steps = = 3", "no TOML"),
        ("a.json", '{"steps": 3,', "no JSON"),
        ("a.json", "[3]", "a list"),
        ("a.toml", "", "features: nothing"),
    ],
)
def test_broken_files_are_one_line(tmp_path, name, text, told):
    with pytest.raises(SettingsError) as raised:
        read_config(write(tmp_path / name, text))
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_missing_file(tmp_path):
    with pytest.raises(SettingsError, match=r"no\.toml"):
        read_config(tmp_path / "no.toml")


def test_not_text(tmp_path):
    (tmp_path / "a.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="no TOML"):
        read_config(tmp_path / "a.toml")
