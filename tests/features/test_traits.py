"""Traits: what a registration asks of a feature, whichever it is, and how they pass through what wraps a feature."""

from dataclasses import fields

import pytest

from learngn.features import (
    Combined,
    Given,
    NetworkFeature,
    NetworkFile,
    OrganDistance,
    Traits,
    kept,
    parse_features,
)
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image

LABELS = Traits(reads_labels=True)


@pytest.mark.parametrize(
    ("names", "traits"),
    [
        ("corners", Traits()),
        ("distance", LABELS),
        ("edges", Traits()),
        ("intensity", Traits(reads_intensities=True, searchable=True)),
        ("labels", LABELS),
        ("local-intensity", Traits(reads_intensities=True)),
        ("mind", Traits(directional=True)),
        ("mind-centre", Traits(directional=True)),
        ("mind-multi", Traits(directional=True)),
        ("ngf", Traits(directional=True)),
        ("none", Traits()),
        ("organ-distance", Traits(reads_labels=True, by_organ=True)),
        ("vesselness", Traits()),
        ("scores=DIR", Traits(tied=True)),
        ("score-distance=DIR", Traits(tied=True)),
        ("channels=DIR", Traits(tied=True)),
        ("scores=organ-distance", Traits(tied=True)),
        ("network=net.pt", Traits()),
        ("mind,intensity:10", Traits(directional=True, reads_intensities=True, searchable=True)),
        ("mind,scores=DIR", Traits(directional=True, tied=True)),
    ],
)
def test_of_the_registered_features(names, traits):
    feature = parse_features(names)
    assert feature.traits == traits
    assert kept(feature, lambda key, make: make()).traits == traits


@pytest.mark.parametrize("trait", [f.name for f in fields(Traits)])
def test_side_by_side(trait):
    one = Traits(**{trait: True})
    assert one | Traits() == Traits() | one == one | one == one


def test_combined_without_parts():
    assert Combined(()).traits == Traits()


def test_a_network_has_those_of_its_input_but_its_channels_are_no_intensities():
    base = parse_features("mind,intensity")
    for feature in (NetworkFeature(base, lambda x: x), NetworkFile("net.pt", base)):
        assert feature.traits == Traits(directional=True)
        assert kept(feature, lambda key, make: make()).traits == feature.traits
    assert NetworkFeature(OrganDistance(), lambda x: x).traits == OrganDistance().traits


def test_given_channels_beside_scans_or_label_maps(torch_image):
    assert Given(torch_image, torch_image).traits == Traits(tied=True)
    assert Given(torch_image, torch_image, reads_labels=True).traits == Traits(reads_labels=True, tied=True)


@pytest.fixture
def torch_image():
    grid = Grid.from_spacing((4, 4))
    return Image.from_array([[0.0] * 4] * 4, grid)
