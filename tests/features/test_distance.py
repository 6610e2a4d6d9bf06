"""Distance maps against the distances of a half space and a ball."""

import numpy as np
import pytest

from learngn.errors import LabelError
from learngn.features import Distance, Labels, OrganDistance
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image


def label_map(array, spacing=1.0):
    array = np.asarray(array, dtype=np.uint8)
    return Image.from_array(array, Grid.from_spacing(array.shape, spacing), labels=True)


def signed_square(feature):
    """Undo the root: distance in mm, positive inside."""
    return (np.sign(feature.data) * feature.data**2)[0, 0]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("spacing", [(1, 1, 1), (2, 2, 2)], ids=str)
def test_half_space(axis, spacing):
    shape = (12, 10, 8)
    index = np.indices(shape)[axis]
    image = label_map(index >= 4, spacing)
    feature, _ = Distance()(image, image, min(spacing))
    expected = (index - 3.5) * spacing[axis]
    np.testing.assert_allclose(signed_square(feature), expected, atol=1e-4)


def test_thick_slices_are_measured_in_mm():
    shape, spacing = (12, 10, 8), (1.0, 1.0, 4.0)
    index = np.indices(shape)
    for axis in (0, 2):
        feature, _ = Distance()(*[label_map(index[axis] >= 4, spacing)] * 2, 1.0)
        inner = np.diff(signed_square(feature), axis=axis).take([0, 1, 4, 5], axis=axis)
        np.testing.assert_allclose(inner, spacing[axis], atol=1e-3)


@pytest.mark.parametrize(("shape", "radius"), [((33, 31), 9.0), ((33, 31, 29), 9.0)])
def test_ball(shape, radius):
    middle = [n // 2 for n in shape]
    r = np.sqrt(sum((x - m) ** 2 for x, m in zip(np.indices(shape), middle, strict=True)))
    feature, _ = Distance()(*[label_map(r <= radius)] * 2, 1.0)
    distance = signed_square(feature)
    assert (np.sign(distance) == np.where(r <= radius, 1, -1)).all()
    # The ball of voxels differs from the true one by less than a voxel.
    assert np.abs(distance - (radius - r)).max() < 1


def test_foreground_is_every_label_together():
    labels = np.zeros((10, 10), dtype=np.uint8)
    labels[2:5, 2:8], labels[5:8, 2:8] = 1, 2
    apart, _ = Distance()(*[label_map(labels)] * 2, 1.0)
    whole, _ = Distance()(*[label_map(labels != 0)] * 2, 1.0)
    assert np.array_equal(apart.data, whole.data)


@pytest.mark.parametrize("feature", [OrganDistance(), Labels()], ids=lambda f: f.name)
def test_only_common_labels_have_a_channel(feature):
    labels = np.zeros((12, 10, 8), dtype=np.uint8)
    labels[1:4], labels[5:8], labels[9:11] = 1, 4, 7
    other = np.where(labels == 4, 0, labels)
    ours, theirs = feature(label_map(labels), label_map(other), 1.0)
    assert ours.data.shape[1] == theirs.data.shape[1] == 2
    alone = [feature(*[label_map(np.where(labels == v, v, 0))] * 2, 1.0)[0].data for v in (1, 7)]
    outside = labels == 0  # beyond its own boundary a label does not notice the others
    for channel, one in enumerate(alone):
        np.testing.assert_allclose(ours.data[0, channel][outside], one[0, 0][outside], atol=1e-5)


@pytest.mark.parametrize("feature", [Distance(), OrganDistance(), Labels()], ids=lambda f: f.name)
def test_nothing_in_common(feature):
    first, second = np.zeros((6, 6)), np.zeros((6, 6))
    first[2:4], second[2:4] = 1, 2
    with pytest.raises(LabelError, match="in common"):
        feature(label_map(first), label_map(second), 1.0)


def test_label_that_fills_the_image_says_nothing():
    full = label_map(np.ones((6, 7)))
    feature, _ = OrganDistance()(full, full, 1.0)
    assert not feature.data.any()


def test_smoothed_labels_sum_to_one_where_labels_are_everywhere():
    labels = np.repeat([1, 2, 3], 4)[:, None].repeat(9, axis=1)
    feature, _ = Labels()(*[label_map(labels)] * 2, 1.0)
    np.testing.assert_allclose(feature.data.sum(1), 1, atol=1e-5)
    assert float(feature.data.min()) >= 0
    box = np.ones(5) / 5
    profile = np.convolve(np.pad((labels[:, 0] == 2).astype(float), 4, mode="edge"), np.convolve(box, box), "valid")
    np.testing.assert_allclose(feature.data[0, 1, :, 4], profile, atol=1e-5)


def test_working_resolution():
    labels = np.zeros((16, 12, 6), dtype=np.uint8)
    labels[4:12, 3:9, 2:4] = 1
    feature, _ = OrganDistance()(*[label_map(labels, (1, 1, 3))] * 2, 2.0)
    assert feature.data.shape[2:] == feature.grid.shape == (8, 6, 6)
