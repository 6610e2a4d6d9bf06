"""Small functions that replace SciPy's, which take long to import, give the same."""

import numpy as np
import pytest
import scipy

from learngn.features.filters import _gaussian_taps
from learngn.optimise.correlation import _fast_length
from learngn.optimise.families import exponential
from learngn.optimise.pose import _rotation
from learngn.registration.contrast import _root
from learngn.registration.prealign import _nearest_rotation


@pytest.mark.parametrize("size", [0, 1e-8, 0.01, 1, 10])
@pytest.mark.parametrize("ndim", [2, 3])
def test_exponential(ndim, size, rng):
    generator = np.zeros((ndim + 1, ndim + 1))
    generator[:-1] = size * rng.normal(size=(ndim, ndim + 1))
    generator[:-1, -1] *= 300
    expected = scipy.linalg.expm(generator)
    np.testing.assert_allclose(exponential(generator), expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_rotations(rng):
    for vector in (np.zeros(3), *rng.normal(size=(5, 3))):
        expected = scipy.spatial.transform.Rotation.from_rotvec(vector).as_matrix()
        np.testing.assert_allclose(_rotation(vector), expected, atol=1e-12)


def test_nearest_rotations(rng):
    for matrix in (np.eye(3), *rng.normal(size=(5, 3, 3)), *rng.normal(size=(5, 2, 2))):
        np.testing.assert_allclose(_nearest_rotation(matrix), scipy.linalg.polar(matrix)[0], atol=1e-12)


def test_lengths_of_fourier_transforms():
    assert [_fast_length(n) for n in range(1, 300)] == [scipy.fft.next_fast_len(n, real=True) for n in range(1, 300)]


@pytest.mark.parametrize("n", [1, 2, 5, 40])
@pytest.mark.parametrize("sigma", [0.05, 0.3, 1.0, 7.3])
def test_gaussian(n, sigma):
    expected = scipy.ndimage.gaussian_filter1d(np.eye(n), sigma, axis=0, mode="nearest", truncate=3.5)
    np.testing.assert_allclose(_gaussian_taps(n, sigma).matrix(), expected, atol=1e-15)


@pytest.mark.parametrize("function", [lambda x: x**3 - 2, lambda x: 0.3 - np.exp(-x), lambda x: 1 - x, np.tanh])
def test_root(function):
    assert _root(function, -3, 4) == pytest.approx(scipy.optimize.brentq(function, -3, 4), abs=1e-4)
