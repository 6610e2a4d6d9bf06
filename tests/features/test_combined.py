"""Features joined: channels side by side, and how much a voxel counts where parts disagree about it."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

import learngn
from learngn.arrays import as_numpy, like, single
from learngn.errors import FeatureError
from learngn.features import Combined, FeatureImage, Intensity, Mind, NetworkFeature, Traits
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.phantom import abdomens
from learngn.settings import Settings

FAST = Settings(features="intensity", affine=False, strides=(4, 2), iterations=(4, 4), lam=(0.3, 0.03))


@dataclass(frozen=True)
class Confident:
    """The image and, as its weight, a function of where a voxel lies along the first axis, 0 to 1."""

    weight: object = None
    factor: float = 1.0
    name: str = "confident"
    traits: ClassVar[Traits] = Traits()

    def __call__(self, fixed: Image, moving: Image, spacing: float) -> tuple[FeatureImage, FeatureImage]:
        ours, theirs = (self._one(image, spacing) for image in (fixed, moving))
        return ours, theirs

    def _one(self, image: Image, spacing: float) -> FeatureImage:
        (one, _) = Intensity()(image, image, spacing)
        along = like(np.linspace(0, 1, one.grid.shape[0]).reshape(1, 1, -1, *[1] * (one.grid.ndim - 1)), one.data)
        weight = None if self.weight is None else self.weight(along) + 0 * one.data
        return FeatureImage(self.factor * one.data, one.grid, weight)


@pytest.fixture(scope="module")
def pair():
    """Scans of two synthetic abdomens, coronal planes."""
    return [phantom.scan for phantom in abdomens(2, (48, 40), seed=3)]


def assert_close(got, expected):
    np.testing.assert_allclose(as_numpy(got), as_numpy(expected), rtol=1e-6)


def first_half(x):
    return single(x < 0.5)


def middle(x):
    return single((x > 0.25) & (x < 0.75))


@pytest.mark.parametrize("factor", [1.0, 4.0])
def test_the_weight_of_one_part_is_kept(pair, factor):
    (alone, _) = Confident(lambda x: x)(*pair, 8.0)
    for feature in (
        Combined(((Confident(lambda x: x), factor),)),
        Combined(((Combined(((Confident(lambda x: x), factor),)), 1.0),)),
    ):
        for side in feature(*pair, 8.0):
            assert_close(side.weight, alone.weight)
    assert Combined(((Confident(), factor),))(*pair, 8.0)[0].weight is None


def test_weights_of_the_parts_multiply(pair):
    parts = [(Confident(first_half), 2.0), (Mind(), 1.0), (Confident(middle), 0.5), (Confident(lambda x: x), 1.0)]
    expected = [f(*pair, 8.0)[0].weight for f, _ in parts if isinstance(f, Confident)]
    product = expected[0] * expected[1] * expected[2]
    assert 0 < float(product.mean()) < 0.5
    for order in (parts, parts[::-1], [(Combined(tuple(parts[:2])), 1.0), *parts[2:]]):
        found, other = Combined(tuple(order))(*pair, 8.0)
        assert_close(found.weight, product)
        assert_close(other.weight, product)
        assert found.data.shape[1] == 1 + 4 + 1 + 1


def test_what_one_part_does_not_count_no_other_sees(pair):
    """Whatever stands where one part has a weight of zero, the result is the same to the bit."""
    fixed, moving = pair

    def displacement(value, marks):
        spoilt = np.array(fixed.data)
        spoilt[:, :, : spoilt.shape[2] // 3] = value
        features = Combined(((Intensity(), 1.0), (Confident(marks), 1.0)))
        return learngn.register(Image(spoilt, fixed.grid), moving, features=features, settings=FAST).displacement.data

    assert np.array_equal(displacement(300.0, beyond := lambda x: single(x > 0.35)), displacement(-700.0, beyond))
    assert not np.array_equal(displacement(300.0, None), displacement(-700.0, None))


def test_a_network_keeps_the_weight_of_what_it_sees(pair):
    feature = NetworkFeature(Confident(lambda x: x), lambda x: torch.cat([x, x * x], dim=1))
    found, _ = feature(*pair, 8.0)
    assert_close(found.weight, Confident(lambda x: x)(*pair, 8.0)[0].weight)


@dataclass(frozen=True)
class Elsewhere(Confident):
    """A feature that chooses a grid of its own."""

    finer: float = 2.0
    shift: float = 0.0

    def _one(self, image: Image, spacing: float) -> FeatureImage:
        one = super()._one(image, spacing / self.finer)
        affine = one.grid.affine + self.shift * np.eye(image.grid.ndim + 1, k=image.grid.ndim)
        return FeatureImage(one.data, Grid(one.grid.shape, affine))


@pytest.mark.parametrize("options", [{"finer": 0.5}, {"finer": 1.0, "shift": 5.0}], ids=str)
def test_parts_must_lie_on_one_grid(pair, options):
    with pytest.raises(FeatureError, match=r"elsewhere.*the grid of mind.*spacing"):
        Combined(((Mind(), 1.0), (Elsewhere(name="elsewhere", **options), 1.0)))(*pair, 8.0)
