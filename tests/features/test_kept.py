"""Features that are kept: the same to the bit, and computed once an image."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from learngn.errors import LabelError
from learngn.features import (
    EncoderDecoder,
    NetworkFeature,
    OrganDistance,
    ScoreDistances,
    for_linear_stage,
    kept,
    parse_features,
)
from learngn.features.combined import FEATURES
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.phantom import abdomens

SPACING = 8.0


class Memory(dict):
    """A store in memory."""

    def __call__(self, key, make):
        if key not in self:
            self[key] = make()
        return self[key]


@pytest.fixture(scope="module")
def subjects():
    return list(abdomens(3, (48, 40, 24), seed=0))


def images(subjects, feature):
    return [subject.labels if feature.traits.reads_labels else subject.scan for subject in subjects]


def same(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert type(a.data) is type(b.data)
        assert np.array_equal(a.data, b.data)
        assert np.asarray(a.data).strides == np.asarray(b.data).strides
        assert (a.grid, a.weight, a.names) == (b.grid, b.weight, b.names)


@pytest.mark.parametrize("names", [*FEATURES, "mind,intensity:10"])
def test_same_features_once_an_image(subjects, names):
    feature, store = parse_features(names), Memory()
    looking = kept(feature, store)
    assert (looking.name, looking.traits) == (feature.name, feature.traits)
    a, b, c = images(subjects, feature)
    for pair in ((a, b), (b, a), (a, c), (c, b), (a, a)):
        same(looking(*pair, SPACING), feature(*pair, SPACING))
    assert len(store) == 3 * len(feature.parts)
    looking(a, b, 1.01 * SPACING)  # the same grid
    assert len(store) == 3 * len(feature.parts)
    looking(a, b, 2 * SPACING)
    assert len(store) == 5 * len(feature.parts)


def test_ct_beside_another_modality(subjects):
    """How CT is scaled depends on the partner: kept is what serves both."""
    feature, store = parse_features("intensity"), Memory()
    ct, other, _ = images(subjects, feature)
    other = replace(other, data=(other.data - other.data.min()))
    looking = kept(feature, store)
    for pair in ((ct, ct), (ct, other), (other, ct)):
        same(looking(*pair, SPACING), feature(*pair, SPACING))
    assert len(store) == 2


@pytest.mark.parametrize("organs", [None, (1, 2, 3, 9)])
def test_organs_that_one_side_lacks(subjects, organs):
    feature, store = OrganDistance(organs=organs), Memory()
    a, b, _ = images(subjects, feature)
    values = b.label_values
    without = replace(b, data=np.where(b.data == values[0], np.uint8(0), b.data))
    looking = kept(feature, store)
    for pair in ((a, b), (a, without), (without, a)):
        same(looking(*pair, SPACING), feature(*pair, SPACING))
    empty = replace(b, data=np.zeros_like(b.data))
    with pytest.raises(LabelError, match="no label"):
        looking(a, empty, SPACING)


def test_what_goes_in_tells_what_comes_out(subjects):
    """Values, place, settings: whatever differs is computed anew."""
    store = Memory()
    a, b, _ = (subject.labels for subject in subjects)
    kept(OrganDistance(), store)(a, a, SPACING)
    assert len(store) == 1
    changed = np.array(a.data)
    changed[0, 0, 3, 4, 5] += 1
    moved = Grid(a.grid.shape, a.grid.affine + np.eye(4)[:, ::-1] * [[1], [0], [0], [0]])
    for feature, image in (
        (OrganDistance(), replace(a, data=changed)),
        (OrganDistance(), replace(a, grid=moved)),
        (OrganDistance(reach=8.0), a),
        (OrganDistance(), b),
    ):
        before = len(store)
        kept(feature, store)(image, image, SPACING)
        assert len(store) == before + 1


def test_network_once_an_input(subjects):
    torch.manual_seed(0)
    network = EncoderDecoder(3, 4, 3, width=4, depth=1).eval()
    calls = []
    network.register_forward_hook(lambda *_: calls.append(1))
    feature, store = NetworkFeature(OrganDistance(organs=(1, 2, 3)), network), Memory()
    looking = kept(feature, store)
    a, b, c = images(subjects, feature)
    with torch.no_grad():
        for pair in ((a, b), (b, a), (a, c), (c, b)):
            same(looking(*pair, SPACING), feature(*pair, SPACING))
    assert len(calls) == 3 + 2 * 4
    with torch.no_grad():  # other weights, other features
        network.last[-1].bias.add_(1)
        same(kept(feature, store)(a, b, SPACING), feature(a, b, SPACING))


def test_file_of_scores_that_has_changed(subjects, tmp_path):
    for folder in ("scans", "scores"):
        (tmp_path / folder).mkdir()
    paths = [tmp_path / "scans" / f"a{number}.nii.gz" for number in (0, 1)]
    for subject, path in zip(subjects, paths, strict=False):
        subject.labels.save(tmp_path / "scores" / path.name)
        subject.scan.save(path)
    scans = [Image(s.scan.data, s.scan.grid, path=path) for s, path in zip(subjects, paths, strict=False)]
    feature, store = ScoreDistances(str(tmp_path / "scores")), Memory()
    looking = kept(feature, store)
    same(looking(*scans, SPACING), feature(*scans, SPACING))
    assert len(store) == 2
    labels = subjects[1].labels
    replace(labels, data=np.flip(labels.data, 2)).save(tmp_path / "scores" / paths[1].name)
    same(looking(*scans, SPACING), feature(*scans, SPACING))
    assert len(store) == 3


def test_functions_are_not_kept(subjects):
    """Nothing tells two functions apart."""
    feature, store = NetworkFeature(parse_features("intensity"), lambda x: 2 * x), Memory()
    a, b, _ = images(subjects, feature)
    same(kept(feature, store)(a, b, SPACING), feature(a, b, SPACING))
    assert len(store) == 2


def test_the_linear_stage_has_one_scale_of_self_similarity(subjects):
    """Within combinations and caches, too; all other features are what they were."""
    store, feature = Memory(), parse_features("mind-multi,intensity:10")
    fixed, moving, _ = images(subjects, feature)
    simple = for_linear_stage(feature)
    assert simple.name == "mind,intensity:10"
    same(for_linear_stage(kept(feature, store))(fixed, moving, SPACING), simple(fixed, moving, SPACING))
    assert store
    for name in ("mind", "intensity", "corners"):
        assert for_linear_stage(parse_features(name)).name == name
