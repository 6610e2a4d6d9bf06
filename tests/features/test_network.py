"""Learned features: the network's grid, and any network as a feature of a registration."""

import numpy as np
import pytest
import torch
from torch import nn

import learngn
from learngn.errors import FeatureError
from learngn.features import EncoderDecoder, NetworkFeature, parse_features
from learngn.phantom import abdomens
from learngn.settings import Settings

FAST = Settings(features="intensity", affine=False, strides=(4, 2), iterations=(4, 4), lam=(0.3, 0.03))


class Gradient(nn.Module):
    """A network of one's own: a blurred image beside it."""

    def __init__(self, factor=1.0):
        super().__init__()
        self.blur = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x):
        return self.factor * torch.cat([x, self.blur(x)], dim=1)


@pytest.fixture(scope="module")
def pair():
    """Scans of two synthetic abdomens, coronal planes."""
    return [phantom.scan for phantom in abdomens(2, (48, 40), seed=3)]


@pytest.mark.parametrize("stem", [1, 2])
@pytest.mark.parametrize(
    "shape", [(16, 12), (17, 11), (13, 1), (3, 2), (8, 6, 10), (9, 7, 5), (11, 9, 1), (1, 1, 4)], ids=str
)
def test_grid_is_kept(shape, stem, rng):
    network = EncoderDecoder(2, 5, len(shape), width=4, depth=2, stem=stem).eval()
    assert network(torch.randn(2, 2, *shape)).shape == (2, 5, *shape)


@pytest.mark.parametrize("shape", [(24, 20), (12, 16, 10)], ids=str)
def test_what_lies_where_stays_there(shape, rng):
    """Trained to give its input back it does: no voxel ends up elsewhere on the way in and out of the cells."""
    torch.manual_seed(0)
    network = EncoderDecoder(1, 1, len(shape), width=8, depth=1, stem=2)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    ramp = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, n) for n in shape], indexing="ij")).sum(0)
    x = (ramp + 0.3 * torch.randn(4, 1, *shape)).contiguous()
    for _ in range(60):
        optimiser.zero_grad()
        loss = (network(x) - x).square().mean()
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 0.1 * float(x.var())


@pytest.mark.parametrize("positions", [True, False])
def test_without_positions_what_is_seen_moves_with_the_scan(positions):
    """A shifted scan has shifted features, away from the border."""
    torch.manual_seed(0)
    network = EncoderDecoder(1, 2, 2, width=8, depth=1, stem=1, positions=positions).eval()
    scan = torch.zeros(1, 1, 48, 48)
    scan[:, :, 14:20, 14:22] = torch.rand(6, 8)
    with torch.no_grad():
        shifted = network(scan.roll((8, 8), (2, 3))).roll((-8, -8), (2, 3))
        difference = (shifted - network(scan))[:, :, 8:32, 8:32].abs().max()
    assert (float(difference) < 2e-3) != positions


def test_widest_limits_the_channels():
    def most(network):
        return max(p.shape[0] for p in network.parameters())

    assert most(EncoderDecoder(1, 2, 2, width=8, depth=3, stem=1)) == 64
    assert most(EncoderDecoder(1, 2, 2, width=8, depth=3, stem=1, widest=16)) == 16


@pytest.mark.parametrize("network", [Gradient().eval(), lambda x: torch.cat([x, x * x], dim=1)], ids=["module", "own"])
def test_any_network_registers(pair, network):
    feature = NetworkFeature(parse_features("intensity"), network, "mine")
    result = learngn.register(*pair, features=feature, settings=FAST)
    assert result.settings.features == "mine"
    fixed, moving = (image.data for image in pair)
    before, after = (float(((other - fixed) ** 2).mean()) for other in (moving, result.warped.data))
    assert after < 0.7 * before
    assert all(not step.update_max > 2 for step in result.history)


def test_identity_network_changes_nothing(pair):
    feature = NetworkFeature(parse_features("intensity"), lambda x: x, "same")
    got = learngn.register(*pair, features=feature, settings=FAST)
    expected = learngn.register(*pair, features="intensity", settings=FAST)
    assert np.array_equal(got.displacement.data, expected.displacement.data)


def test_both_images_go_through_alone(pair):
    """The features of a scan do not depend on its partner."""
    feature = NetworkFeature(parse_features("intensity"), EncoderDecoder(1, 3, 2, width=4, depth=1).eval())
    fixed, moving = pair
    with torch.no_grad():
        first, _ = feature(fixed, moving, 8.0)
        _, last = feature(fixed, fixed, 8.0)
    np.testing.assert_allclose(first.data, last.data, atol=0.2)
    assert first.data.dtype == np.float32


@pytest.mark.parametrize("network", [Gradient().eval(), lambda x: torch.cat([x, x * x], dim=1)], ids=["module", "own"])
def test_images_of_either_library(pair, network):
    """Output is in the library of the images; only tensors are differentiated."""
    feature = NetworkFeature(parse_features("intensity"), network)
    plain, _ = feature(*[image.like(np.zeros(1)) for image in pair], 8.0)
    assert isinstance(plain.data, np.ndarray)
    assert plain.data.dtype == np.float32
    tensors, _ = feature(*[image.to("cpu") for image in pair], 8.0)
    np.testing.assert_allclose(tensors.data.detach(), plain.data, rtol=1e-6, atol=1e-6)
    assert tensors.data.requires_grad == isinstance(network, nn.Module)


def test_another_grid_is_refused(pair):
    feature = NetworkFeature(parse_features("intensity"), nn.AvgPool2d(2), "halved")
    with pytest.raises(FeatureError, match=r"halved.*grid of its input.*resize"):
        learngn.register(*pair, features=feature, settings=FAST)
