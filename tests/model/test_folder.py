"""Models on the disk: what is written is what is read, and what is broken is told in one line."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import learngn
from learngn.errors import ModelError
from learngn.model import LineariserConfig, Model, ModelConfig, NetworkConfig, Provenance, read_description, read_model
from learngn.model import write_model as write

CONFIG, WEIGHTS = "model.json", "weights.safetensors"


class Own(nn.Module):
    """A network of one's own."""

    def __init__(self, out_channels=3):
        super().__init__()
        self.convolution = nn.Conv2d(1, out_channels, 3, padding=1)

    def forward(self, x):
        return self.convolution(x)


def field(model, phantoms):
    return learngn.register(*(phantom.scan for phantom in phantoms), model=model).displacement.data


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"network": None},
        {"lineariser": None},
        {"network": NetworkConfig(out_channels=2, width=4, depth=1, stem=1, keep_input=False)},
        {"network": None, "lineariser": LineariserConfig(kind="published", hidden=2)},
    ],
    ids=["both", "lineariser", "network", "stem 1", "published"],
)
def test_round_trip(phantoms, architecture, trained, tmp_path, changes):
    model = trained(architecture(0.7, **changes))
    write(model, tmp_path / "new" / "model")
    read = read_model(tmp_path / "new" / "model")
    assert read.config == model.config
    assert not read.training
    np.testing.assert_array_equal(field(read, phantoms), field(model, phantoms))
    np.testing.assert_array_equal(field(tmp_path / "new" / "model", phantoms), field(model, phantoms))


def test_only_the_two_files(architecture, trained, tmp_path):
    write(trained(architecture()), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [CONFIG, WEIGHTS]
    write(trained(architecture(network=None)), tmp_path)  # over an older one
    assert read_model(tmp_path).config.network is None


def test_description_alone(architecture, trained, tmp_path):
    model = trained(architecture(organs=None))
    write(model, tmp_path, Provenance(training={"dataset": "Toy", "step": 7}))
    (tmp_path / WEIGHTS).unlink()
    config, provenance = read_description(tmp_path)
    assert config == model.config
    assert isinstance(config, ModelConfig)
    assert provenance == Provenance(learngn.__version__, {"dataset": "Toy", "step": 7})


@pytest.mark.parametrize("kind", ["corrected", "published"])
def test_names_of_the_weights(architecture, kind):
    """Files written by earlier versions have these, in any order."""
    config = architecture(network=None, lineariser=LineariserConfig(kind=kind, hidden=2))
    parts = {
        "corrected": ("trunk.0", "trunk.2", "last"),
        "published": ("residual.first", "residual.second", "jacobian.first", "jacobian.second"),
    }
    expected = {f"method.lineariser.{part}.{name}" for part in parts[kind] for name in ("weight", "bias")}
    assert set(Model(config).state_dict()) == {"encoder.log_gain", "method.log_lam"} | expected


def test_weights_of_an_earlier_version(phantoms, architecture, tmp_path):
    """Made when the method itself was a module: two levels, without a lineariser."""
    config = architecture(network=None, lineariser=None)
    write(Model(config), tmp_path)
    save_file(
        {"method.log_lam": torch.tensor([0.5, -0.25]), "encoder.log_gain": torch.tensor([0.1])}, tmp_path / WEIGHTS
    )
    read = read_model(tmp_path)
    assert [float(read.method.gauss_newton.lam(k).detach()) for k in (0, 1)] == pytest.approx(
        [level.lam * factor for level, factor in zip(config.settings.levels(), np.exp([0.5, -0.25]), strict=True)]
    )


def test_own_network(phantoms, architecture, trained, tmp_path):
    model = trained(architecture(network=NetworkConfig(kind="own", out_channels=3)), Own())
    write(model, tmp_path)
    read = read_model(tmp_path, network=Own())
    np.testing.assert_array_equal(field(read, phantoms), field(model, phantoms))
    with pytest.raises(ModelError, match=r"read_model\(path, network="):
        read_model(tmp_path)
    with pytest.raises(ModelError, match="tensors of another architecture"):
        read_model(tmp_path, network=Own(out_channels=5))


def no_folder(folder):
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    return CONFIG


def no_description(folder):
    (folder / CONFIG).unlink()
    return CONFIG


def no_weights(folder):
    (folder / WEIGHTS).unlink()
    return WEIGHTS


def truncated(folder):
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[: len(content) // 2])
    return "broken"


def truncated_header(folder):
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:5])
    return "broken"


def empty_weights(folder):
    (folder / WEIGHTS).write_bytes(b"")
    return "broken"


def a_pickle(folder):
    """Reading runs no code: what is not safetensors is refused, a pickle that would write a file above all."""
    torch.save(Evil(folder / "harm"), folder / WEIGHTS)
    return "broken"


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (type(self.path).touch, (self.path,))


def other_shapes(folder):
    weights = load_file(folder / WEIGHTS)
    save_file({name: tensor.repeat(2, *[1] * (tensor.ndim - 1)) for name, tensor in weights.items()}, folder / WEIGHTS)
    return "another architecture"


def a_tensor_less(folder):
    weights = load_file(folder / WEIGHTS)
    weights.pop(next(iter(weights)))
    save_file(weights, folder / WEIGHTS)
    return "another architecture"


def a_tensor_more(folder):
    save_file(load_file(folder / WEIGHTS) | {"more": torch.zeros(1)}, folder / WEIGHTS)
    return "another architecture"


def edited(folder, change):
    description = json.loads((folder / CONFIG).read_text())
    change(description)
    (folder / CONFIG).write_text(json.dumps(description))


def other_format(folder):
    edited(folder, lambda d: d.update(format=99, version="7.0"))
    return "format 99 of version 7.0"


def no_format(folder):
    edited(folder, lambda d: d.pop("format"))
    return "format None"


def a_list(folder):
    (folder / CONFIG).write_text("[1, 2]")
    return "format None"


def no_json(folder):
    (folder / CONFIG).write_text('{"format": 1,')
    return "no JSON"


def unknown_key(folder):
    edited(folder, lambda d: d["architecture"].update(colour="blue"))
    return "colour"


def unknown_nested_key(folder):
    edited(folder, lambda d: d["architecture"]["network"].update(colour="blue"))
    return "network.colour"


def unknown_kind(folder):
    edited(folder, lambda d: d["architecture"]["lineariser"].update(kind="magic"))
    return "lineariser.kind"


def unknown_settings_key(folder):
    edited(folder, lambda d: d["architecture"]["settings"].update(colour="blue"))
    return "the unknown key colour"


def no_architecture(folder):
    edited(folder, lambda d: d.pop("architecture"))
    return "architecture"


BROKEN = [
    no_folder,
    no_description,
    no_weights,
    truncated,
    truncated_header,
    empty_weights,
    a_pickle,
    other_shapes,
    a_tensor_less,
    a_tensor_more,
    other_format,
    no_format,
    a_list,
    no_json,
    unknown_key,
    unknown_nested_key,
    unknown_kind,
    unknown_settings_key,
    no_architecture,
]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda case: case.__name__)
def test_broken_model_is_one_line(broken, architecture, trained, tmp_path):
    folder = tmp_path / "model"
    write(trained(architecture()), folder)
    told = broken(folder)
    with pytest.raises(ModelError) as raised:
        read_model(folder)
    assert told in str(raised.value)
    assert str(folder) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (folder / "harm").exists()


def test_a_failure_while_writing_keeps_the_older_model(architecture, trained, tmp_path, monkeypatch):
    model = trained(architecture())
    write(model, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("learngn.model.folder.save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(trained(architecture(network=None)), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
