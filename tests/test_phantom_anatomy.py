"""A phantom is a possible body: its deformation does not fold and its organs are in one piece."""

import numpy as np
import pytest
from scipy import ndimage

from learngn import phantom
from learngn.phantom.variation import Subject

STEP = 5.0  # [mm]


@pytest.mark.parametrize("seed", range(20))
def test_the_deformation_of_a_subject_does_not_fold(seed):
    axes = [np.arange(-extent / 2, extent / 2, STEP, dtype=np.float32) for extent in phantom.FIELD_OF_VIEW]
    places = np.stack(Subject(np.random.default_rng(seed), 1.0).coordinates(axes))
    jacobian = np.stack([np.stack(np.gradient(component, STEP)) for component in places])
    assert np.linalg.det(np.moveaxis(jacobian, (0, 1), (-2, -1))).min() > 0.2


@pytest.mark.parametrize("seed", range(4))
def test_every_organ_is_in_one_piece(seed):
    labels = phantom.abdomen(seed=seed).labels.data[0, 0]
    for label, name in phantom.ORGANS.items():
        pieces, _ = ndimage.label(labels == label, structure=np.ones((3, 3, 3)))
        sizes = np.bincount(pieces.ravel())[1:]
        # A neighbour may cut off a few voxels; it may not cut an organ in two.
        assert sizes.max() > 0.85 * sizes.sum(), name
