"""Samples and covariances against the dense inverse."""

import numpy as np
import pytest
from scipy import stats

from learngn.kernels.stencils import diagonal
from learngn.uncertainty import covariance, samples

KINDS = ("diffusion", "curvature", "adaptive")
SHAPES = ((9, 11), (7, 6, 8))


def deviation(blocks):
    return np.sqrt(sum(blocks[:, k] for k in diagonal(blocks)))


def error(found, true):
    """Root mean square relative error of the standard deviation."""
    return float(np.sqrt(np.mean((deviation(found) / deviation(true) - 1) ** 2)))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_covariance_is_that_of_the_dense_inverse(system, shape, kind):
    operator, true = system(shape, kind)
    found = covariance(operator, 256, window=1, tolerance=1e-8)
    assert found.dtype == np.float64
    assert error(found, true) < 0.05
    scale = deviation(true).max() ** 2
    assert np.abs(found - true).max() < 0.3 * scale
    assert np.abs((found - true).mean(axis=(0, 2, 3, *range(4, found.ndim)))).max() < 0.03 * scale


@pytest.mark.parametrize("kind", KINDS)
def test_the_error_falls_with_the_number_of_samples(system, kind):
    operator, true = system((9, 11), kind)
    errors = [
        np.mean([error(covariance(operator, count, window=1, seed=seed), true) for seed in range(4)])
        for count in (4, 16, 64)
    ]
    # Like one over the root of the number: by half for four times as many.
    assert errors[1] < 0.65 * errors[0]
    assert errors[2] < 0.65 * errors[1]


@pytest.mark.parametrize("kind", KINDS)
def test_the_samples_have_no_bias(system, kind):
    """``xᵀ A x`` is χ² with as many degrees of freedom as there are unknowns."""
    operator, _ = system((7, 6, 8), kind)
    x = samples(operator, 64, tolerance=1e-8)
    energy = np.array([float((x[k : k + 1] * operator(x[k : k + 1])).sum()) for k in range(len(x))])
    unknowns = x[0].size
    low, high = stats.chi2.ppf((1e-4, 1 - 1e-4), 64 * unknowns)
    assert low < energy.sum() < high
    assert abs(x.mean()) < 5 * x.std() / np.sqrt(len(x))


def test_what_is_known_given_the_neighbours_is_more_exact_than_samples_alone(system):
    operator, true = system((7, 6, 8))
    x = samples(operator, 8)
    alone = np.stack([(x[:, a] * x[:, b]).mean(0) for a in range(3) for b in range(a, 3)])[None]
    assert error(covariance(operator, 8, window=1), true) < 0.6 * error(alone, true)


def test_windows_are_more_exact_for_few_samples(system):
    operator, true = system((7, 6, 8))
    assert error(covariance(operator, 8), true) < 0.08
    assert error(covariance(operator, 8), true) < error(covariance(operator, 8, window=1), true)


def test_the_same_seed_gives_the_same(system):
    operator, _ = system((9, 11))
    np.testing.assert_array_equal(covariance(operator), covariance(operator))
    assert np.abs(covariance(operator) - covariance(operator, seed=1)).max() > 0


def test_single_precision(system):
    operator, true = system((7, 6, 8), dtype=np.float32)
    found = covariance(operator, 64, window=1)
    assert found.dtype == np.float32
    assert error(found, true) < 0.08


def test_a_tensor_gives_the_same(system):
    torch = pytest.importorskip("torch")
    from dataclasses import replace

    operator, _ = system((9, 11))
    stiffness = replace(operator.stiffness, weights=torch.as_tensor(operator.stiffness.weights))
    tensors = replace(
        operator,
        blocks=torch.as_tensor(operator.blocks),
        stiffness=stiffness,
        shift=torch.as_tensor(operator.shift),
    )
    found = covariance(tensors, tolerance=1e-8)
    assert isinstance(found, torch.Tensor)
    np.testing.assert_allclose(found.numpy(), covariance(operator, tolerance=1e-8), rtol=1e-5, atol=1e-8)
