"""Features of scans: ranges, invariances, and MIND-SSC against a slow implementation of its definition."""

import itertools

import numpy as np
import pytest

from learngn.errors import FeatureError
from learngn.features import Combined, Intensity, Mind, parse_features
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image

FEATURES = ["mind", "intensity", "mind,intensity:0.5"]
LABEL_FEATURES = ["distance", "organ-distance", "labels"]


def scan(rng, shape=(14, 12, 10), spacing=1.0):
    array = rng.normal(size=shape).cumsum(0).cumsum(1)
    return Image.from_array(array.astype(np.float32), Grid.from_spacing(shape, spacing))


def changed(image, function):
    return Image(function(image.data), image.grid)


def test_intensity_runs_from_zero_to_one(rng):
    image = scan(rng)
    feature, other = Intensity()(image, changed(image, lambda v: 50 + 7 * v), 1.0)
    assert (float(feature.data.min()), float(feature.data.max())) == (0, 1)
    np.testing.assert_allclose(feature.data, other.data, rtol=1e-4, atol=1e-4)
    assert 0.003 < float((feature.data == 1).mean()) < 0.01


def test_ct_has_one_window_of_hounsfield_units(rng):
    values = np.linspace(-1200, 1500, 14 * 12, dtype=np.float32).reshape(1, 1, 14, 12)
    grid = Grid.from_spacing((14, 12))
    half = np.where(values > 400, np.float32(0), values)
    for feature, source in zip(Intensity()(Image(values, grid), Image(half, grid), 1.0), (values, half), strict=True):
        np.testing.assert_allclose(feature.data, (source.clip(-1000, 400) + 1000) / 1400, rtol=1e-6, atol=1e-6)
    # The window serves only when both are CT.
    feature, _ = Intensity()(Image(values, grid), scan(rng, (14, 12)), 1.0)
    assert float((feature.data == 1).mean()) < 0.05


def test_spike_does_not_set_the_range(rng):
    image = scan(rng, (30, 30))
    spiked = image.data.copy()
    spiked[0, 0, 3, 3] = 1e6
    clean, dirty = Intensity()(image, Image(spiked, image.grid), 1.0)
    mask = image.data != image.data[0, 0, 3, 3]
    np.testing.assert_allclose(clean.data[mask], dirty.data[mask], rtol=0, atol=0.05)


@pytest.mark.parametrize("name", FEATURES)
def test_constant_at_the_working_resolution_is_finite(name):
    """A chequerboard is constant once it is pooled."""
    board = np.indices((8, 8, 8)).sum(0) % 2
    image = Image.from_array(board, Grid.from_spacing((8, 8, 8)))
    for feature in parse_features(name)(image, image, 2.0):
        assert np.isfinite(feature.data).all()


@pytest.mark.parametrize(("shape", "channels"), [((12, 10), 4), ((12, 10, 8), 12)])
def test_mind_channels_and_range(rng, shape, channels):
    feature, _ = Mind()(*[scan(rng, shape)] * 2, 1.0)
    assert feature.data.shape == (1, channels, *shape)
    assert float(feature.data.min()) >= 0
    assert float(feature.data.max(axis=1).min()) == 1  # the likest pair of every voxel


@pytest.mark.parametrize("factor", [1e-3, -4.0, 1000.0])
def test_mind_is_blind_to_affine_intensities(rng, factor):
    image = scan(rng)
    feature, other = Mind()(image, changed(image, lambda v: factor * v + 3 * factor), 1.0)
    np.testing.assert_allclose(feature.data, other.data, rtol=1e-3, atol=1e-3)


def slow_mind(image, radius, dilation):
    """MIND-SSC voxel by voxel, float64."""
    ndim, shape = image.ndim, image.shape

    def at(index):
        return image[tuple(np.clip(i, 0, n - 1) for i, n in zip(index, shape, strict=True))]

    offsets = [tuple(s * (a == axis) for a in range(ndim)) for axis in range(ndim) for s in (-1, 1)]
    pairs = [(p, q) for p, q in itertools.combinations(offsets, 2) if np.abs(np.add(p, q)).sum() == 2 and p != q]
    patch = list(itertools.product(range(-radius, radius + 1), repeat=ndim))
    distances = np.zeros((len(pairs), *shape))
    for x in np.ndindex(shape):
        for c, (p, q) in enumerate(pairs):
            total = 0.0
            for o in patch:
                centre = [min(max(a + b, 0), n - 1) for a, b, n in zip(x, o, shape, strict=True)]
                total += (
                    at(np.add(centre, np.multiply(dilation, p))) - at(np.add(centre, np.multiply(dilation, q)))
                ) ** 2
            distances[(c, *x)] = total / len(patch)
    distances -= distances.min(0)
    variance = distances.mean(0)
    return np.exp(-distances / np.clip(variance, variance.mean() * 1e-3, variance.mean() * 1e3))


@pytest.mark.parametrize(("shape", "radius", "dilation"), [((7, 6), 1, 2), ((5, 4, 4), 1, 1)])
def test_mind_is_its_definition(rng, shape, radius, dilation):
    image = scan(rng, shape)
    feature, _ = Mind(radius, dilation)(image, image, 1.0)
    expected = slow_mind(image.data[0, 0].astype(np.float64), radius, dilation)
    got = feature.data[0]
    order = [int(np.abs(got - e).reshape(len(got), -1).max(1).argmin()) for e in expected]
    assert sorted(order) == list(range(len(got)))
    np.testing.assert_allclose(got[order], expected, atol=1e-4)


@pytest.mark.parametrize("name", FEATURES)
def test_reorientation_only_reorders(rng, name):
    """The features of a flipped and permuted image are the flipped and permuted features, channels aside."""
    image = scan(rng)
    turned = Image(np.flip(image.data, 2).transpose(0, 1, 4, 2, 3).copy(), Grid.from_spacing((10, 14, 12)))
    plain, _ = parse_features(name)(image, image, 1.0)
    other, _ = parse_features(name)(turned, turned, 1.0)
    expected = np.flip(plain.data, 2).transpose(0, 1, 4, 2, 3)
    np.testing.assert_allclose(np.sort(other.data, axis=1), np.sort(expected, axis=1), rtol=1e-4, atol=1e-4)


def test_weights_scale_the_squared_residual(rng):
    first, second = scan(rng), scan(rng)

    def energy(name):
        ours, theirs = parse_features(name)(first, second, 1.0)
        return float(((ours.data - theirs.data) ** 2).sum())

    assert energy("mind:2,intensity:0.5") == pytest.approx(2 * energy("mind") + 0.5 * energy("intensity"), rel=1e-4)


@pytest.mark.parametrize("name", [*FEATURES, *LABEL_FEATURES])
def test_names_survive(name):
    feature = parse_features(name)
    assert isinstance(feature, Combined)
    assert feature.name == name
    assert feature.traits.reads_labels == (name in LABEL_FEATURES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mindd", "'mindd'.*one of .*mind"),
        ("", "feature: got ''"),
        ("mind,", "feature: got ''"),
        ("mind:heavy", "weight of mind"),
        ("mind:0", "positive"),
        ("mind:-1", "positive"),
        ("mind:inf", "positive"),
        ("mind:nan", "positive"),
        ("mind,distance", "features of scans only, or of label maps only"),
    ],
)
def test_bad_names(text, message):
    with pytest.raises(FeatureError, match=message):
        parse_features(text)
