"""Robust losses: their values, their derivative, and what they do to outliers."""

import numpy as np
import pytest
import torch

from learngn.linearise import Analytic, GemanMcClure, Huber, Robust

LOSSES = [Huber(0.7), GemanMcClure(0.7)]


def features(seed=0, shape=(9, 8), channels=3):
    """Two smooth feature maps, (1, C, *S), float64."""
    axes = torch.meshgrid(*[torch.arange(n, dtype=torch.float64) for n in shape], indexing="ij")
    made = []
    for shift in (0.0, 0.7):
        channel = [sum(torch.sin((x + shift) / (2 + c) + seed + c) for x in axes) for c in range(channels)]
        made.append(torch.stack(channel)[None])
    return made


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_small_residuals_count_in_full_and_large_ones_less(loss):
    squared = torch.tensor([0.0, 1e-8, 0.49, 4.0, 1e8], dtype=torch.float64)
    value, weight = loss.value(squared), loss.weight(squared)
    torch.testing.assert_close(value[:2], squared[:2], rtol=1e-6, atol=0)
    torch.testing.assert_close(weight[:2], torch.ones(2, dtype=torch.float64), rtol=1e-6, atol=0)
    assert (weight.diff() <= 0).all()
    assert (weight >= 0).all()
    assert (value.diff() > 0).all()


def test_formulas():
    squared = torch.tensor([0.25, 9.0], dtype=torch.float64)
    assert Huber(1.0).value(squared).tolist() == pytest.approx([0.25, 2 * 3 - 1])
    assert Huber(1.0).weight(squared).tolist() == pytest.approx([1, 1 / 3])
    assert GemanMcClure(2.0).value(squared).tolist() == pytest.approx([0.25 / 1.0625, 9 / 3.25])
    assert float(GemanMcClure(1.0).value(torch.tensor(1e6))) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_the_weight_is_the_derivative(loss):
    squared = torch.linspace(0.01, 4, 50, dtype=torch.float64).requires_grad_()
    (slope,) = torch.autograd.grad(loss.value(squared).sum(), squared)
    torch.testing.assert_close(loss.weight(squared.detach()), slope, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_gradient_is_the_energys(loss, masked):
    """Along every direction of the warped features: ``JᵀWf`` with J by differences, W the robust weight."""
    fixed, warped = features()
    weight = torch.rand(1, 1, *fixed.shape[2:], dtype=torch.float64) if masked else None
    robust = Robust(Analytic(symmetric=False), loss)
    jacobian = Analytic(symmetric=False).linearise(fixed, warped).jacobian
    direction = torch.randn(1, 2, *fixed.shape[2:], dtype=torch.float64)
    slope = torch.einsum("ncd...,nd...->nc...", jacobian, direction)
    h = 1e-5
    up, down = (robust.normal_equations(fixed, warped + s * h * slope, weight).energy for s in (1, -1))
    predicted = (robust.normal_equations(fixed, warped, weight).gradient * direction).sum()
    assert float(predicted) == pytest.approx(float(up - down) / (2 * h), rel=1e-6)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_the_square_with_frozen_weights_bounds_the_loss_from_above(loss):
    """What makes re-weighting descend: equal where the weights were taken, above everywhere else."""
    taken, elsewhere = torch.rand(2, 200, dtype=torch.float64) * 5
    bound = loss.value(taken) + loss.weight(taken) * (elsewhere - taken)
    assert (bound >= loss.value(elsewhere) - 1e-12).all()


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_a_wide_loss_is_the_square(loss):
    fixed, warped = features()
    plain, robust = Analytic(), Robust(Analytic(), type(loss)(1e4))
    for name in ("blocks", "gradient", "energy"):
        got, expected = (getattr(by.normal_equations(fixed, warped), name) for by in (robust, plain))
        torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_scale_of_the_features_does_not_matter(loss):
    """Features a hundred times as large, shifted: the same equations, ten thousand times as large."""
    fixed, warped = features()
    small, large = (Robust(Analytic(), loss).normal_equations(s * fixed + t, s * warped + t)
                    for s, t in ((1, 0), (100, 5)))  # fmt: skip
    for name in ("blocks", "gradient", "energy"):
        torch.testing.assert_close(getattr(large, name), 1e4 * getattr(small, name), rtol=1e-7, atol=1e-7)


def test_outliers_hardly_pull():
    fixed, warped = features()
    warped[..., 4, 4] += 50
    plain = Analytic().normal_equations(fixed, warped).gradient[..., 4, 4].norm()
    huber, geman = (Robust(Analytic(), loss).normal_equations(fixed, warped).gradient[..., 4, 4].norm()
                    for loss in LOSSES)  # fmt: skip
    assert float(huber) < 0.05 * float(plain)
    assert float(geman) < 1e-3 * float(plain)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_what_does_not_count_does_not_set_the_scale(loss):
    """Features that are wrong where the weight is zero leave the rest's equations as they are."""
    fixed, warped = features()
    weight = torch.ones(1, 1, *fixed.shape[2:], dtype=torch.float64)
    weight[..., 5:, :] = 0
    spoilt = fixed.clone()
    spoilt[..., 6:, :] += 1000
    clean, other = (Robust(Analytic(), loss).normal_equations(f, warped, weight) for f in (fixed, spoilt))
    torch.testing.assert_close(other.energy, clean.energy)
    torch.testing.assert_close(other.gradient[..., :4, :], clean.gradient[..., :4, :])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("loss", [None, *LOSSES], ids=repr)
def test_arrays_of_numpy_have_the_same_equations(loss, masked, dtype):
    lineariser = Analytic() if loss is None else Robust(Analytic(), loss)
    given = [x.to(getattr(torch, dtype)) for x in features()]
    if masked:
        given.append(torch.rand(1, 1, *given[0].shape[2:], dtype=given[0].dtype))
    plain = lineariser.normal_equations(*(x.numpy() for x in given))
    tensors = lineariser.normal_equations(*given)
    for name, kind in (("blocks", dtype), ("gradient", dtype), ("energy", "float64")):
        got, expected = getattr(plain, name), getattr(tensors, name)
        assert got.dtype == kind
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
