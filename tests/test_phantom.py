import itertools

import numpy as np
import pytest

from learngn import phantom
from learngn.errors import SettingsError


def array(image):
    return image.data[0, 0]


def dice(one, two, label):
    one, two = one == label, two == label
    return 2 * (one & two).sum() / (one.sum() + two.sum())


@pytest.fixture(scope="module")
def subjects():
    return list(phantom.abdomens(3, seed=0))


@pytest.mark.parametrize("shape", [(48, 40, 32), (48, 40)])
def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_subject(shape):
    one, again, other = (phantom.abdomen(shape, seed=seed) for seed in (5, 5, 6))
    assert array(one.scan).tobytes() == array(again.scan).tobytes()
    assert array(one.labels).tobytes() == array(again.labels).tobytes()
    assert one.scan.grid == again.scan.grid
    assert one.scan.grid != other.scan.grid
    assert (array(one.labels) != array(other.labels)).mean() > 0.01


@pytest.mark.parametrize("seed", range(8))
def test_every_organ_is_there_at_the_default_size(seed):
    made = phantom.abdomen(seed=seed)
    assert made.labels.label_values == sorted(phantom.ORGANS)
    assert made.labels.labels
    assert made.scan.grid == made.labels.grid
    assert made.scan.grid.axis_codes == "RAS"
    np.testing.assert_allclose(made.scan.grid.extent, phantom.FIELD_OF_VIEW)


def test_organs_lie_on_their_sides(subjects):
    for made in subjects:
        labels = array(made.labels)
        centre = {v: made.labels.grid.index_to_world(np.argwhere(labels == v)).mean(axis=0) for v in phantom.ORGANS}
        liver, right, spleen, left, aorta = (centre[v] for v in (1, 2, 3, 13, 5))
        assert liver[0] > aorta[0] > spleen[0]
        assert right[0] > aorta[0] > left[0]
        assert centre[11][1] > aorta[1] > left[1]


def test_intensities_are_those_of_ct(subjects):
    for made in subjects:
        scan, labels = array(made.scan), array(made.labels)
        assert np.median(scan[:6, -6:]) == pytest.approx(-1000, abs=5)
        assert np.median(scan[labels == 1]) == pytest.approx(112, abs=25)
        assert np.median(scan[labels == 5]) == pytest.approx(164, abs=30)
        assert scan.max() > 300
        assert scan[:6, -6:].std() == pytest.approx(12, rel=0.15)


def test_subjects_overlap_before_registration_about_as_real_ones_do(subjects):
    maps = [array(made.labels) for made in subjects]
    scores = [[dice(a, b, v) for v in phantom.ORGANS] for a, b in itertools.combinations(maps, 2)]
    assert 0.25 < np.mean(scores) < 0.55
    assert np.mean(scores, axis=0)[0] > 0.5


def test_without_variation_seeds_differ_in_noise_alone():
    one, other = (phantom.abdomen((48, 40, 32), seed=seed, variation=0) for seed in (1, 2))
    assert np.array_equal(array(one.labels), array(other.labels))
    assert one.scan.grid == other.scan.grid
    assert not np.array_equal(array(one.scan), array(other.scan))


def test_another_size_shows_the_same_subject():
    coarse, fine = (phantom.abdomen(shape, seed=3) for shape in ((45, 40, 32), (135, 120, 96)))
    assert (array(fine.labels)[1::3, 1::3, 1::3] == array(coarse.labels)).mean() > 0.999


def test_a_coronal_plane_is_a_slice_of_the_same_subject():
    plane = phantom.abdomen((96, 64), seed=3)
    whole = phantom.abdomen((96, 290, 64), seed=3)
    assert plane.labels.grid.shape == (96, 64)
    assert len(plane.labels.label_values) >= 6
    slices = array(whole.labels)
    agreement = [(slices[:, j] == array(plane.labels)).mean() for j in range(290)]
    assert max(agreement) > 0.99


def test_a_large_one_is_quick():
    import time

    start = time.process_time()
    phantom.abdomen((192, 160, 128), seed=1)
    assert time.process_time() - start < 10  # about 1 s where this was written


@pytest.mark.parametrize(
    "arguments",
    [
        {"shape": (48,), "seed": 0},
        {"shape": (48, 40, 4), "seed": 0},
        {"shape": (48, 40), "seed": -1},
        {"shape": (48, 40), "seed": 0, "noise": -1},
        {"shape": (48, 40), "seed": 0, "variation": -0.5},
    ],
)
def test_bad_settings_say_what_is_expected(arguments):
    with pytest.raises(SettingsError, match="expected"):
        phantom.abdomen(**arguments)
