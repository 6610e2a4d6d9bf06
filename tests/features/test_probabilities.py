"""Scores, channels and networks in files as features: joined with others, and what the λ sees of them."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

import learngn
from learngn.arrays import as_numpy
from learngn.errors import FeatureError
from learngn.features import ChannelFiles, Given, NetworkFile, ScoreDistances, ScoreFiles, parse_features
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.io import read_image, write_image
from learngn.phantom import abdomens
from learngn.settings import Settings

FAST = Settings(features="intensity", affine=False, strides=(4, 2), iterations=(4, 4), lam=(0.3, 0.03))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Scans and label maps of two synthetic abdomens, coronal planes, under the same names."""
    root = tmp_path_factory.mktemp("abdomens")
    for index, phantom in enumerate(abdomens(2, (48, 40), seed=3)):
        for folder, image in (("scans", phantom.scan), ("labels", phantom.labels)):
            (root / folder).mkdir(exist_ok=True)
            write_image(image, root / folder / f"a{index}.nii.gz")
    return root


@pytest.fixture(scope="module")
def pair(files):
    return [read_image(files / "scans" / f"a{index}.nii.gz") for index in (0, 1)]


@pytest.fixture(scope="module")
def labels(files):
    return [read_image(files / "labels" / f"a{index}.nii.gz", labels=True) for index in (0, 1)]


def common(labels):
    return sorted(set(labels[0].label_values) & set(labels[1].label_values))


def test_scores_are_pooled_probabilities(files, pair, labels):
    first, _ = ScoreFiles(str(files / "labels"), blur=0)(*pair, 16.0)
    values = common(labels)
    assert first.data.shape == (1, len(values), *first.grid.shape)
    mask = as_numpy(labels[0].data[0, 0] == values[0]).astype(np.float32)
    factor = mask.shape[0] // first.grid.shape[0]
    expected = mask[:factor, :factor].mean()
    assert float(first.data[0, 0, 0, 0]) == pytest.approx(float(expected))
    whole = as_numpy(labels[0].data == values[0]).mean()
    assert float(first.data[:, 0].mean()) == pytest.approx(float(whole), rel=1e-4)


def test_score_distances_are_those_of_the_label_map(files, pair, labels):
    """Beside features of scans, the same channels as organ-distance has of label maps."""
    ours = ScoreDistances(str(files / "labels"))(*pair, 8.0)
    theirs = parse_features("organ-distance")(*labels, 8.0)
    for a, b in zip(ours, theirs, strict=True):
        assert a.grid == b.grid
        inside = as_numpy(
            b.data > 0
        )  # outside its own structure another label is background here, the boundary there as well
        np.testing.assert_allclose(as_numpy(a.data)[inside], as_numpy(b.data)[inside], atol=1e-4)
        np.testing.assert_allclose(as_numpy(a.data)[~inside], as_numpy(b.data)[~inside], atol=1e-4)


@pytest.mark.parametrize("features", ["scores={labels}", "score-distance={labels}", "mind,score-distance={labels}:0.1"])
def test_files_register(files, pair, labels, features):
    features = features.replace("{labels}", str(files / "labels"))
    result = learngn.register(*pair, features=features, settings=FAST)
    assert result.settings.features == features
    fixed, moving = (np.asarray(image.data) for image in labels)
    warped = np.asarray(result.transform.warp(labels[1], labels[0].grid).data)
    assert (warped == fixed).mean() > (moving == fixed).mean() + 0.03


def test_structures_in_common_alone(tmp_path, pair):
    for index, image in enumerate(pair):
        for name in ("liver", f"other{index}"):
            mask = Image(as_numpy(image.data > 50).astype(np.uint8), image.grid, labels=True)
            (tmp_path / f"a{index}").mkdir(exist_ok=True)
            write_image(mask, tmp_path / f"a{index}" / f"{name}.nii.gz")
    first, second = ScoreFiles(str(tmp_path))(*pair, 8.0)
    assert first.data.shape[1] == second.data.shape[1] == 1
    (tmp_path / "a1" / "liver.nii.gz").unlink()
    with pytest.raises(FeatureError, match=r"liver, other0 of the fixed, other1 of the moving image.*in common"):
        ScoreFiles(str(tmp_path))(*pair, 8.0)


@pytest.mark.parametrize("factor", [1e-3, 1.0, 1e3])
def test_unit_of_channels_does_not_matter(tmp_path, pair, factor):
    for index, image in enumerate(pair):
        write_image(Image(factor * image.data, image.grid), tmp_path / f"a{index}.nii.gz")
    first, second = ChannelFiles(str(tmp_path))(*pair, 8.0)
    spread = [float(as_numpy(f.data).var()) for f in (first, second)]
    assert sum(spread) / 2 == pytest.approx(1, rel=1e-3)


def test_given(pair):
    first, second = (Image(np.concat([i.data, i.data**2], axis=1), i.grid) for i in pair)
    ours, theirs = Given(first, second)(*pair, 8.0)
    assert ours.data.shape[1] == theirs.data.shape[1] == 2
    assert float(ours.data[:, 0].mean()) == pytest.approx(float(pair[0].data.mean()), rel=1e-4)
    with pytest.raises(FeatureError, match="2 channels of the fixed and 1 of the moving"):
        Given(first, pair[1])(*pair, 8.0)
    with pytest.raises(FeatureError, match="NaN"):
        Given(first, Image(second.data * np.nan, second.grid))(*pair, 8.0)
    small = Image(np.zeros((1, 2, 4, 4)), Grid.from_spacing((4, 4)))
    with pytest.raises(FeatureError, match="resample the channels"):
        Given(first, small)(*pair, 8.0)


class Net(nn.Module):
    """Halves and doubles the grid, as encoder-decoders do: it needs even sizes."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(1, 4, 2, stride=2)
        self.up = nn.ConvTranspose2d(4, 3, 2, stride=2)

    def forward(self, x):
        return self.up(torch.tanh(self.down(x)))


def saved(path, module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer versions of torch advise against TorchScript
        torch.jit.script(module).save(str(path))
    return path


def test_network_in_a_file(tmp_path, pair):
    torch.manual_seed(0)
    network = Net().eval()
    path = saved(tmp_path / "net.pt", network)
    first, second = parse_features(f"network={path}")(*pair, 8.0)
    base, _ = parse_features("intensity")(*pair, 8.0)
    assert first.data.shape == (1, 3, *base.grid.shape)
    with torch.no_grad():
        expected = network(torch.as_tensor(base.data[:, :, :24, :20])).numpy()
    ratio = as_numpy(first.data)[:, :, :24, :20] / expected
    np.testing.assert_allclose(ratio, ratio.mean(), rtol=1e-3, atol=1e-3)
    variance = sum(float(as_numpy(f.data).var(axis=(2, 3)).sum()) for f in (first, second)) / 2
    assert variance == pytest.approx(1, rel=1e-4)


class Two(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, x


class Nan(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / 0 * 0


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Conv3d(1, 2, 3), "a network for 1 channels in 2D"),
        (nn.Conv2d(5, 2, 3), "a network for 1 channels in 2D"),
        (nn.AvgPool2d(2), "grid of its input"),
        (Two(), "an output tuple"),
        (Nan(), "NaN"),
    ],
    ids=lambda m: type(m).__name__ if isinstance(m, nn.Module) else "",
)
def test_networks_that_do_not_fit(tmp_path, pair, module, message):
    path = saved(tmp_path / "net.pt", module)
    with pytest.raises(FeatureError, match=message):
        NetworkFile(str(path))(*pair, 8.0)


def test_no_network(tmp_path, pair):
    with pytest.raises(FeatureError, match="no such file"):
        NetworkFile(str(tmp_path / "net.pt"))(*pair, 8.0)
    (tmp_path / "net.pt").write_bytes(b"weights")
    with pytest.raises(FeatureError, match=r"TorchScript.*torch\.jit"):
        NetworkFile(str(tmp_path / "net.pt"))(*pair, 8.0)


@pytest.mark.parametrize(
    ("text", "kind", "path", "weight"),
    [
        ("scores=a/b", ScoreFiles, "a/b", 1),
        ("scores=a/b:2", ScoreFiles, "a/b", 2),
        ("scores={}/segmentations:0.5", ScoreFiles, "{}/segmentations", 0.5),
        (r"channels=C:\data\c", ChannelFiles, r"C:\data\c", 1),
        (r"channels=C:\data\c:3", ChannelFiles, r"C:\data\c", 3),
    ],
)
def test_paths_and_weights(text, kind, path, weight):
    combined = parse_features(f"mind:2,{text}")
    feature, found = combined.parts[1]
    assert isinstance(feature, kind)
    assert (feature.folder, found) == (path, weight)
    assert combined.name == f"mind:2,{text}"
    assert parse_features(combined.name) == combined


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("scores", "scores=PATH"),
        ("scores:2", "scores wants a path"),
        ("scores=", "no path"),
        ("scores=:2", "no path"),
        ("mind=a", "mind reads no file"),
        ("scorse=a", "'scorse'.*scores=PATH"),
        ("scores=a:0", "positive"),
        ("scores=a:-1", "positive"),
        ("scores=a:nan", "positive"),
    ],
)
def test_bad_paths(text, message):
    with pytest.raises(FeatureError, match=message):
        parse_features(text)
