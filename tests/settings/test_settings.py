"""Settings: what each option makes of the method, and what is refused."""

import json
from dataclasses import replace

import pytest
import torch

from learngn.errors import ModelError, SettingsError
from learngn.features import parse_features
from learngn.linearise import GemanMcClure, Huber
from learngn.model import LineariserConfig, Model, ModelConfig
from learngn.optimise import (
    AdamDisplacement,
    Additive,
    Compositional,
    Exponential,
    GaussNewton,
    StepControl,
    Symmetric,
    build,
)
from learngn.settings import PRESETS, Settings, default_settings, read_settings

PLAIN = Settings("intensity", affine=False, strides=(4, 2), iterations=(3, 3), lam=(0.3, 0.05))


@pytest.mark.parametrize(
    ("options", "update"),
    [
        ({}, Compositional()),
        ({"update": "additive"}, Additive()),
        ({"update": "exponential"}, Exponential()),
        ({"diffeomorphic": True}, Exponential()),
        ({"symmetric": True}, Symmetric(Compositional())),
        ({"symmetric": True, "update": "additive"}, Symmetric(Additive())),
        ({"symmetric": True, "diffeomorphic": True}, Symmetric(Exponential())),
    ],
)
def test_update(options, update):
    assert build(replace(PLAIN, **options)).update == update


@pytest.mark.parametrize(
    ("text", "loss"),
    [(None, None), ("huber:0.5", Huber(0.5)), ("geman-mcclure:2", GemanMcClure(2.0)), ("huber:1e-1", Huber(0.1))],
)
def test_robust(text, loss):
    assert build(replace(PLAIN, robust=text)).loss == loss


def test_overlap_and_control():
    method = build(replace(PLAIN, overlap=True, longest_step=0.5, min_jacobian=0.2))
    assert method.overlap
    assert method.control == StepControl(longest=0.5, min_jacobian=0.2)
    assert not build(PLAIN).overlap


def test_baselines():
    assert isinstance(build(replace(PLAIN, update="adam")), AdamDisplacement)
    assert build(replace(PLAIN, update="published")).momentum == 0.5


@pytest.mark.parametrize(
    "text", ["huber", "huber:", "huber:0", "huber:-1", "huber:nan", "huber:inf", "huber:a", "tukey:1", "", ":1"]
)
def test_refused_losses(text):
    with pytest.raises(SettingsError, match="robust loss"):
        replace(PLAIN, robust=text)


@pytest.mark.parametrize("update", ["adam", "published"])
@pytest.mark.parametrize(
    "option", [{"symmetric": True}, {"diffeomorphic": True}, {"robust": "huber:1"}, {"overlap": True}], ids=str
)
def test_baselines_refuse_the_options_of_gauss_newton(update, option):
    with pytest.raises(SettingsError, match=f"update {update}"):
        replace(PLAIN, update=update, **option)


def test_unknown_update():
    with pytest.raises(SettingsError, match="compositional, exponential, additive, published or adam"):
        replace(PLAIN, update="magic")


@pytest.mark.parametrize(
    "options",
    [{}, {"symmetric": True, "diffeomorphic": True, "robust": "huber:0.5", "overlap": True, "update": "exponential"}],
)
def test_as_json_and_back(options):
    settings = replace(PLAIN, **options)
    values = json.loads(json.dumps(settings.as_dict()))
    assert Settings(**values) == settings


def small_model(settings=PLAIN, **parts):
    torch.manual_seed(0)
    return Model(ModelConfig(ndim=2, settings=settings, spacing=1.0, channels=1, **parts))


def test_a_models_method_is_not_touched():
    """What a registration asks for is set on a copy, which shares the trained weights."""
    model = small_model(lineariser=LineariserConfig(hidden=2), learn_lam=True)
    before = model.method.gauss_newton
    asked = replace(PLAIN, iterations=(1, 1), symmetric=True, diffeomorphic=True, robust="huber:1", overlap=True)
    method = model.scheduled(asked)
    assert method.update == Symmetric(Exponential())
    assert (method.loss, method.overlap) == (Huber(1.0), True)
    assert [level.iterations for level in method.levels] == [1, 1]
    assert vars(model.method.gauss_newton) == vars(before)
    assert (before.update, before.loss, before.overlap) == (Compositional(), None, False)
    assert method.lineariser.lineariser is model.method.lineariser
    assert method.log_lam is model.method.log_lam


def test_a_model_of_the_published_scheme_keeps_it():
    model = small_model(replace(PLAIN, update="published"))
    method = model.scheduled(replace(model.settings, iterations=(1, 2)))
    assert isinstance(method, GaussNewton)
    assert [level.iterations for level in method.levels] == [1, 2]
    assert (method.update, method.momentum, method.control.memory) == (Additive(), 0.5, 0)
    with pytest.raises(ModelError, match="update"):
        model.scheduled(PLAIN)


@pytest.mark.parametrize(("given", "name"), [(True, "affine"), (False, "none"), ("rigid", "rigid"), ("none", "none")])
def test_affine_by_name_or_by_switch(given, name, tmp_path):
    """Python callers, and files of older versions, have a switch."""
    settings = replace(PLAIN, affine=given)
    assert settings.affine == name
    assert settings.aligns == (name != "none")
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({**PLAIN.as_dict(), "affine": given}))
    assert read_settings(path) == settings


def test_unknown_linear_maps(tmp_path):
    with pytest.raises(
        SettingsError, match="got 'projective', expected one of none, translation, rigid, similarity or affine"
    ):
        replace(PLAIN, affine="projective")
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({**PLAIN.as_dict(), "affine": 3}))
    with pytest.raises(SettingsError, match="affine: got 3"):
        read_settings(path)


@pytest.mark.parametrize("features", ["mind", "mind-multi,intensity:20", "intensity:2", "none", "labels", "distance"])
def test_defaults_are_those_of_the_features(features):
    """`Settings("mind")` is what `features="mind"` and `--features mind` begin with."""
    labels = parse_features(features).traits.reads_labels
    assert Settings(features) == default_settings(features, labels)
    assert Settings(features).aligns == (not labels and features != "none")
    assert Settings(features).levels()


def test_defaults_from_a_file(tmp_path):
    path = tmp_path / "settings.json"
    path.write_text('{"features": "intensity", "symmetric": true}')
    assert read_settings(path) == replace(Settings("intensity"), symmetric=True)


def test_strides_alone():
    """As `--strides` alone: the iterations of as many levels."""
    assert Settings("mind", strides=(8, 4)).iterations == (8, 8)
    assert Settings("mind", strides=(32, 16, 8, 4, 2, 1)).iterations == (8, 8, 8, 8, 4, 4)
    with pytest.raises(SettingsError, match="5 strides, 1 iteration counts"):
        Settings("mind", iterations=(3,))


@pytest.mark.parametrize(("wrong", "message"), [((), "no features"), (("mind",), "multiple values"), ((3,), "string")])
def test_features_are_checked_first(wrong, message):
    with pytest.raises(SettingsError, match=message):
        Settings(*wrong, **({"features": "mind"} if wrong == ("mind",) else {}))


@pytest.mark.parametrize("settings", [PLAIN, Settings("mind"), *(preset.settings for preset in PRESETS.values())])
def test_shown_as_the_call_that_makes_them(settings):
    assert eval(repr(settings)) == settings
    assert len(repr(settings)) < 200
    assert repr(Settings("mind", symmetric=True)) == "Settings('mind', symmetric=True)"
