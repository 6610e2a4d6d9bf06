"""Conjugate gradients: how fast, and what they say when they stop."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from learngn import kernels
from learngn.arrays import like
from learngn.geometry import sampling
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.linearise import Analytic
from learngn.regularise import Adaptive, Curvature, Diffusion
from learngn.solve import BlockJacobi, Multigrid, NormalOperator, SolveStatus, conjugate_gradients


def registration_system(fixed, moving, grid, lam, damping=1e-3, regulariser=None):
    """The first system of a registration, from features on both sides."""
    normal = Analytic().normal_equations(fixed, moving)
    shift = like(damping * kernels.mean_diagonal(normal.blocks), fixed)
    stiffness = (regulariser or Diffusion()).stiffness(grid, fixed).scaled(like([lam], fixed))
    return NormalOperator(normal.blocks, stiffness, shift), -normal.gradient


def iterations(operator, rhs, preconditioner):
    x, info = conjugate_gradients(operator, rhs, preconditioner(operator), tolerance=1e-3, iterations=500)
    assert info.status is SolveStatus.CONVERGED
    # In single precision the residual of the recursion drifts from the true one over block-Jacobi's many steps.
    true = float(np.linalg.norm(np.asarray(rhs - operator(x))) / np.linalg.norm(np.asarray(rhs)))
    assert true < (1.01e-3 if preconditioner is Multigrid else 2e-3)
    return info.iterations


def ball(shape, centre, radius):
    axes = torch.meshgrid(*[torch.arange(n, dtype=torch.float32) for n in shape], indexing="ij")
    return radius - sum((x - c).square() for x, c in zip(axes, centre, strict=True)).sqrt()


@pytest.mark.parametrize("lam", [0.5, 10.0])
@pytest.mark.parametrize("spacing", [(1, 1, 1), (1, 1, 4)], ids=str)
@pytest.mark.parametrize("shape", [(40, 36, 33), (21, 18, 17)], ids=str)
def test_multigrid_needs_few_iterations(shape, spacing, lam):
    middle = [n / 2 for n in shape]
    fixed = ball(shape, middle, 8.0)[None, None].clamp(-3, 3)
    moving = ball(shape, [m + 1.5 for m in middle], 7.0)[None, None].clamp(-3, 3)
    operator, rhs = registration_system(fixed, moving, Grid.from_spacing(shape, spacing), lam)
    few, many = iterations(operator, rhs, Multigrid), iterations(operator, rhs, BlockJacobi)
    assert few <= 8
    assert many > 2 * few


@pytest.mark.parametrize("kind", ["across 0.02", "across 0.1", "curvature 5", "curvature 20", "curvature 80"])
@pytest.mark.parametrize("spacing", [(3, 3, 3), (1, 1, 4)], ids=str)
def test_other_regularisers_need_few_iterations(kind, spacing):
    shape = (33, 28, 30)
    middle = [n / 2 for n in shape]
    fixed = ball(shape, middle, 8.0)[None, None].clamp(-3, 3)
    moving = ball(shape, [m + 1.5 for m in middle], 7.0)[None, None].clamp(-3, 3)
    grid = Grid.from_spacing(shape, spacing)
    name, value = kind.split()
    labels = Image((fixed > 0).to(torch.int32), grid, labels=True)
    regulariser = Adaptive.across_labels(labels, float(value)) if name == "across" else Curvature(float(value))
    for lam in (0.3, 3.0):
        operator, rhs = registration_system(fixed, moving, grid, lam, regulariser=regulariser)
        _, info = conjugate_gradients(operator, rhs, Multigrid(operator), tolerance=1e-2, iterations=50)
        assert info.status is SolveStatus.CONVERGED
        assert info.iterations <= 8


@pytest.mark.data
@pytest.mark.parametrize("stride", [16, 8, 4, 2])
@pytest.mark.slow
def test_multigrid_on_a_real_pair(data_root, stride):
    from learngn.features import Distance
    from learngn.io import read_image

    folder = data_root / "AbdomenSeg" / "labelsTr"
    paths = sorted(folder.glob("*.nii.gz"))[:2]
    fixed, moving = (read_image(path, labels=True) for path in paths)
    spacing = stride * float(fixed.grid.spacing.min())
    ours, theirs = Distance()(fixed, moving, spacing)
    warped = sampling.warp(theirs.data, None, ours.grid.index_map(theirs.grid), ours.grid.shape)
    lam = {16: 5.0, 8: 3.0, 4: 2.0, 2: 1.0}[stride]
    operator, rhs = registration_system(ours.data, warped, ours.grid, lam)
    few = iterations(operator, rhs, Multigrid)
    assert few <= 8
    if stride < 16:
        assert iterations(operator, rhs, BlockJacobi) > few


def test_zero_right_side(random_system):
    operator, rhs = random_system((4, 5))
    x, info = conjugate_gradients(operator, torch.zeros_like(rhs))
    assert (info.status, info.iterations, info.residual) == (SolveStatus.ZERO, 0, 0.0)
    assert not x.any()


def test_out_of_iterations_returns_the_best_so_far(random_system):
    operator, rhs = random_system((6, 7, 5))
    x, info = conjugate_gradients(operator, rhs, tolerance=1e-12, iterations=3)
    assert (info.status, info.iterations) == (SolveStatus.MAX_ITERATIONS, 3)
    true = ((rhs - operator(x)).flatten(1).norm(dim=1) / rhs.flatten(1).norm(dim=1)).max()
    assert info.residual == pytest.approx(float(true), rel=1e-9)


def test_breakdown_on_nan(random_system):
    operator, rhs = random_system((4, 5))
    operator.blocks[0, 0, 1, 1] = float("nan")
    x, info = conjugate_gradients(operator, rhs)
    assert info.status is SolveStatus.BREAKDOWN
    assert torch.isfinite(x).all()
    sound, _ = random_system((4, 5))
    rhs[0, 0, 0, 0] = float("inf")
    assert conjugate_gradients(sound, rhs)[1].status is SolveStatus.BREAKDOWN


def test_breakdown_on_an_indefinite_operator(random_system):
    operator, rhs = random_system((4, 5))
    negative = replace(operator, blocks=operator.blocks * -9)
    assert conjugate_gradients(negative, rhs)[1].status is SolveStatus.BREAKDOWN


def test_samples_of_a_batch_do_not_touch_each_other(random_system):
    operator, rhs = random_system((6, 5, 4))
    rhs[1] *= 1e-3
    together, _ = conjugate_gradients(operator, rhs, Multigrid(operator), tolerance=1e-10)
    for i in range(2):
        stiffness = replace(operator.stiffness, weights=operator.stiffness.weights[i : i + 1])
        one = NormalOperator(operator.blocks[i : i + 1], stiffness, operator.shift[i : i + 1])
        alone, _ = conjugate_gradients(one, rhs[i : i + 1], Multigrid(one), tolerance=1e-10)
        torch.testing.assert_close(together[i], alone[0], rtol=1e-7, atol=1e-12)


def test_a_solved_sample_waits_for_the_others(random_system):
    operator, rhs = random_system((6, 5))
    rhs[0] = 0
    x, info = conjugate_gradients(operator, rhs, Multigrid(operator), tolerance=1e-10)
    assert info.status is SolveStatus.CONVERGED
    assert not x[0].any()
    assert x[1].any()
    assert torch.isfinite(x).all()


@pytest.mark.parametrize("kind", ["diffusion", "adaptive", "curvature"])
@pytest.mark.parametrize("shape", [(9, 7), (1, 6), (12, 9, 10), (5, 1, 4), (1, 1, 3), (1, 1)], ids=str)
@pytest.mark.parametrize("n", [1, 2])
def test_back_ends_agree(random_system, shape, n, kind):
    """Compiled loops in place on NumPy's arrays and on tensors, and the reference, in double precision."""
    exact, right = random_system(shape, n=n, kind=kind)
    expected, info = conjugate_gradients(exact, right, Multigrid(exact), tolerance=1e-3, iterations=60)
    for convert in (lambda tensor: tensor.float(), lambda tensor: tensor.float().numpy()):
        operator, rhs = converted(exact, convert), convert(right)
        x, found = conjugate_gradients(operator, rhs, Multigrid(operator), tolerance=1e-3, iterations=60)
        assert type(x) is type(rhs)
        assert (found.status, found.iterations) == (info.status, info.iterations)
        assert found.residual == pytest.approx(info.residual, rel=0.05, abs=1e-5)  # one voxel: rounding alone is left
        np.testing.assert_allclose(np.asarray(x), expected.numpy(), rtol=2e-4, atol=2e-4)


def converted(operator, convert):
    faces = operator.stiffness.faces
    stiffness = replace(
        operator.stiffness,
        weights=convert(operator.stiffness.weights.contiguous()),
        faces=None if faces is None else convert(faces),
    )
    return NormalOperator(convert(operator.blocks), stiffness, convert(operator.shift))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_right_side_is_not_changed(random_system, dtype):
    operator, rhs = random_system((6, 5, 7), dtype=dtype)
    before = rhs.clone()
    conjugate_gradients(operator, rhs, Multigrid(operator))
    assert torch.equal(rhs, before)
