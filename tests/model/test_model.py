"""A model as a registration: where it starts, and what it does not fit."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import learngn
from learngn.errors import ModelError
from learngn.features import EncoderDecoder
from learngn.geometry import sampling
from learngn.model import Encoder, LineariserConfig, Model, NetworkConfig, pooled_shape


def displacement(*pair, **options):
    return learngn.register(*pair, affine=False, **options).displacement.data


def mean_length(field):
    return float(np.linalg.norm(field, axis=1).mean())


@pytest.mark.parametrize("kind", ["corrected", "published"])
def test_arrays_of_either_library(phantoms, architecture, trained, kind):
    """A model computes on tensors; the displacement comes back as the scans came."""
    model = trained(architecture(lineariser=LineariserConfig(kind=kind, hidden=2)))
    pair = [phantom.scan for phantom in phantoms]
    array, tensor = displacement(*pair, model=model), displacement(*(scan.to("cpu") for scan in pair), model=model)
    assert isinstance(array, np.ndarray)
    assert array.dtype == np.float32
    assert isinstance(tensor, torch.Tensor)
    np.testing.assert_allclose(array, tensor.detach().numpy(), rtol=0, atol=1e-3)


@pytest.mark.parametrize("lineariser", [None, LineariserConfig(hidden=4)], ids=["analytic", "corrected"])
@pytest.mark.parametrize("scale", [1.0, 0.37])
@pytest.mark.parametrize("features", ["intensity", "distance", "organ-distance"])
def test_untrained_is_the_registration_without_a_model(phantoms, architecture, features, scale, lineariser, settings):
    """The features times `scale`, λ times its square: the same displacement."""
    plain = replace(settings, features=features)
    organs = tuple(range(1, 14)) if features == "organ-distance" else None
    pair = [phantom.scan if features == "intensity" else phantom.labels for phantom in phantoms]
    model = Model(
        architecture(
            scale,
            settings=replace(plain, lam=tuple(scale**2 * value for value in plain.lam)),
            channels=len(organs) if organs else 1,
            organs=organs,
            network=None,
            lineariser=lineariser,
        )
    )
    got, expected = displacement(*pair, model=model), displacement(*pair, features=features, settings=plain)
    assert mean_length(expected) > 0.3
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-3)


def test_its_features_and_settings_come_along(phantoms, architecture, trained):
    fixed, moving = (phantom.scan for phantom in phantoms)
    model = trained(architecture())
    result = learngn.register(fixed, moving, model=model)
    assert result.settings == model.settings
    np.testing.assert_array_equal(
        result.displacement.data, displacement(fixed, moving, model=model, features="intensity")
    )
    plain = displacement(fixed, moving, features="intensity", settings=model.settings)
    assert mean_length(result.displacement.data - plain) > 0.05  # and what it has learned counts


def test_learned_lambda_counts(phantoms, architecture):
    pair = [phantom.scan for phantom in phantoms]
    model = Model(architecture(network=None, lineariser=None))
    before = displacement(*pair, model=model)
    with torch.no_grad():
        model.method.log_lam += 2.0
    stiffer = displacement(*pair, model=model)
    by_hand = replace(model.settings, lam=tuple(value * np.e**2 for value in model.settings.lam))
    assert mean_length(stiffer) < 0.9 * mean_length(before)
    np.testing.assert_allclose(stiffer, displacement(*pair, features="intensity", settings=by_hand), rtol=0, atol=1e-3)


def test_levels_have_the_voxel_size_of_the_training(phantoms, architecture):
    """A scan of half the resolution is registered on the levels that the model knows."""
    model = Model(architecture(spacing=float(phantoms[0].scan.grid.spacing.min()) / 2))
    result = learngn.register(*(phantom.scan for phantom in phantoms), model=model)
    assert [step.shape for step in result.history][::3] == [(24, 20), (48, 40)]


def test_another_number_of_iterations(phantoms, architecture, trained):
    pair = [phantom.scan for phantom in phantoms]
    model = trained(architecture())
    longer = learngn.register(*pair, model=model, settings=replace(model.settings, iterations=(5, 1)))
    assert [step.level for step in longer.history].count(0) <= 5
    assert [step.level for step in longer.history].count(1) == 1
    assert model.method.gauss_newton.levels == model.settings.levels()  # the model itself stays as it is


def test_wrong_use_is_told(phantoms, architecture, trained):
    scans = [phantom.scan for phantom in phantoms]
    model = trained(architecture())
    with pytest.raises(ModelError, match=r"features: got mind, expected what the model has learned"):
        learngn.register(*scans, model=model, features="mind")
    with pytest.raises(ModelError, match=r"strides: got \(8.*the model's \(4"):
        learngn.register(*scans, model=model, settings=replace(model.settings, strides=(8.0, 4.0)))
    with pytest.raises(ModelError, match=r"lam: got \(9.*the model's \(0.3"):
        learngn.register(*scans, model=model, settings=replace(model.settings, lam=(9.0, 1.0)))
    volume = next(learngn.phantom.abdomens(1, (24, 20, 16))).scan
    with pytest.raises(ModelError, match=r"one for 2D, expected one for 3D images"):
        learngn.register(volume, volume, model=model)
    with pytest.raises(ModelError, match=r"features of the pair: got 1 channels, expected the model's 2"):
        learngn.register(*scans, model=trained(architecture(channels=2)))


def test_own_network_is_asked_for(architecture):
    own = NetworkConfig(kind="own", out_channels=3)
    with pytest.raises(ModelError, match=r"got none, expected the network that it was trained with.*network="):
        Model(architecture(network=own))
    with pytest.raises(ModelError, match="no use for"):
        Model(architecture(), torch.nn.Identity())


def test_update_must_be_one_of_gauss_newton(architecture, settings):
    with pytest.raises(ModelError, match="adam"):
        Model(architecture(settings=replace(settings, update="adam")))


@pytest.mark.parametrize("shape", [(13, 10), (9, 8, 7)])
def test_a_network_on_a_coarser_grid(shape):
    x = torch.randn(2, 3, *shape)
    seen = []

    class Watch(torch.nn.Module):
        def forward(self, x):
            seen.append(tuple(x.shape[2:]))
            return x[:, :2]

    encoder = Encoder(3, 1.0, Watch(), pool=2, gain=0.5)
    out = encoder(x)
    assert out.shape == (2, 5, *shape)
    assert seen == [pooled_shape(shape, 2)]
    torch.testing.assert_close(out[:, :3], 0.5 * x)
    # What the network made of averages comes back as their interpolation.
    torch.testing.assert_close(out[:, 3:], sampling.resize(sampling.pool(x, seen[0])[:, :2], shape))


@pytest.mark.parametrize("shape", [(16, 12), (12, 8, 16)])
def test_a_trimmed_network_does_not_see_a_constant_border(shape):
    torch.manual_seed(0)
    ndim = len(shape)
    network = EncoderDecoder(1, 2, ndim, width=4, stem=1, depth=1, positions=False)
    inner = torch.rand(2, 1, *shape) + 0.1
    padded = torch.nn.functional.pad(inner, [3, 5] * ndim)
    inside = (..., *(slice(3, 3 + n) for n in shape))
    trimmed, whole = (Encoder(1, 1.0, network, trim=trim, gain=None) for trim in (True, False))
    alone = whole(inner)
    out = trimmed(padded)
    torch.testing.assert_close(out[inside], alone)
    torch.testing.assert_close(out, torch.nn.functional.pad(alone, [3, 5] * ndim, mode="replicate"))
    assert not torch.allclose(whole(padded)[inside], alone, atol=1e-3)  # its normalisation is of the border, too
    torch.testing.assert_close(trimmed(inner), alone)
