"""The contrast of one scan, brought to that of another."""

import numpy as np
import pytest

from learngn.evaluation.quick import quick_scores
from learngn.features import Intensity, parse_features
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.io import read_dataset, read_image
from learngn.registration import register
from learngn.registration.contrast import comparable

SHAPE = (24, 22, 20)


def blobs(shift, *, low=0.0, high=900.0, origin=None):
    """A bright body with a dark and a brighter part."""
    axes = np.indices(SHAPE).astype(float)

    def ball(offset, radius):
        r = np.sqrt(sum((x - n / 2 - offset - shift) ** 2 for x, n in zip(axes, SHAPE, strict=True)))
        return 1 / (1 + np.exp(np.clip(2 * (r - radius), -50, 50)))

    shape = 0.6 * ball(0, 8) - 0.5 * ball(-2, 3) + 0.4 * ball(3, 3)
    return Image.from_array(
        (low + (high - low) * shape).astype(np.float32), Grid.from_spacing(SHAPE, 3.0, origin=origin)
    )


def negative(image):
    return Image(image.data.max() + image.data.min() - image.data, image.grid)


def bent(image, exponent):
    low, high = image.data.min(), image.data.max()
    return Image(low + (high - low) * ((image.data - low) / (high - low)) ** exponent, image.grid)


def distance(first, second):
    """Of the intensities, scaled as features scale them; their range is 1."""
    a, b = (Intensity().of(image, image.grid.coarsened(3.0)).data for image in (first, second))
    return float(np.abs(a - b).mean())


@pytest.mark.parametrize("features", ["intensity", "mind,intensity:10", "local-intensity"])
@pytest.mark.parametrize("origin", [None, (70.0, -50.0, 20.0)], ids=["near", "far"])
def test_a_negative_is_turned_back(features, origin):
    fixed, moving, feature = blobs(0), blobs(1, origin=origin), parse_features(features)
    assert comparable(fixed, moving, feature, 3.0) is moving
    turned = comparable(fixed, negative(moving), feature, 3.0)
    assert distance(turned, moving) < 0.01
    assert turned.grid == moving.grid


@pytest.mark.parametrize("exponent", [0.4, 0.6, 1.6, 2.5])
@pytest.mark.parametrize("before", [lambda image: image, negative], ids=["upright", "negative"])
def test_a_bent_contrast_is_straightened(exponent, before):
    fixed, moving, feature = blobs(0), blobs(1), parse_features("intensity")
    spoilt = before(bent(moving, exponent))
    assert distance(spoilt, moving) > 0.04
    assert distance(comparable(fixed, spoilt, feature, 3.0), moving) < 0.015


def test_nothing_to_decide():
    ct, other = blobs(0, low=-1000, high=200), blobs(1, low=-1000, high=200)
    lookalike = negative(other)  # as dark as CT: Hounsfield units are taken at their word
    assert comparable(ct, lookalike, parse_features("intensity"), 3.0) is lookalike
    turned = negative(blobs(1))
    assert comparable(blobs(0), turned, parse_features("mind"), 3.0) is turned
    labels = Image((blobs(0).data > 300).astype(np.int32), blobs(0).grid, labels=True)
    assert comparable(labels, labels, parse_features("labels"), 3.0) is labels


@pytest.mark.data
@pytest.mark.parametrize("change", [negative, lambda i: bent(i, 2.0), lambda i: bent(i, 0.5)], ids=["neg", "2", "0.5"])
@pytest.mark.slow
def test_a_changed_scan_is_registered_as_well(data_root, change):
    subjects = read_dataset(data_root / "HippocampusMR").training
    pairs, dice = [(0, 1)], []
    for a, b in pairs:
        fixed, moving = read_image(subjects[a].image), read_image(subjects[b].image)
        labels = tuple(read_image(subjects[k].labels, labels=True) for k in (a, b))
        results = [register(fixed, image, features="mind,intensity:10") for image in (moving, change(moving))]
        dice.append([quick_scores(r.transform, fixed.grid, labels).dice for r in results])
    untouched, changed = np.mean(dice, axis=0)
    assert changed > untouched - 0.01
