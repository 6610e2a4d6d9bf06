"""Small models, trained or not, and a pair of synthetic abdomens to register with them."""

from dataclasses import replace

import pytest
import torch

from learngn.model import LineariserConfig, Model, ModelConfig, NetworkConfig
from learngn.phantom import abdomens
from learngn.settings import Settings

SETTINGS = Settings(features="intensity", affine=False, strides=(4, 2), iterations=(3, 3), lam=(0.3, 0.05))


@pytest.fixture(scope="session")
def phantoms():
    """Two coronal planes."""
    return list(abdomens(2, (48, 40), seed=3))


@pytest.fixture(scope="session")
def settings():
    """A schedule that takes a moment."""
    return SETTINGS


@pytest.fixture(scope="session")
def architecture(phantoms):
    """The maker of a model's configuration; by default with a small network and learned J, f and w."""

    def make(scale=1.0, **changes):
        lam = tuple(value * scale**2 for value in SETTINGS.lam)
        values = {
            "ndim": 2,
            "settings": replace(SETTINGS, lam=lam),
            "spacing": float(phantoms[0].scan.grid.spacing.min()),
            "channels": 1,
            "scale": scale,
            "network": NetworkConfig(out_channels=3, width=4, depth=1),
            "lineariser": LineariserConfig(hidden=4),
        }
        return ModelConfig(**(values | changes))

    return make


@pytest.fixture(scope="session")
def trained():
    """The maker of a model that no longer is as it began."""

    def make(config, network=None):
        torch.manual_seed(0)
        model = Model(config, network)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.05 * torch.randn_like(parameter)
        return model.eval()

    return make
