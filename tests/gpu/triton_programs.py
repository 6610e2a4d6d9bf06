"""The programs for a GPU against the torch reference: on a GPU, or else in Triton's interpreter, on the CPU.

Run by ``tests/test_gpu_kernels.py`` in a process of its own: who wants the interpreter must say so before anything
imports Triton.
"""

import numpy as np
import pytest
import torch

from learngn import kernels
from learngn.grid import Grid
from learngn.kernels.gpu import TritonKernels
from learngn.kernels.reference import ReferenceKernels
from learngn.regularise import Diffusion
from learngn.solve import NormalSolver

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TRITON, REFERENCE = TritonKernels(), ReferenceKernels()
SHAPES = [(7, 9), (1, 6), (6, 7, 5), (5, 1, 4), (1, 1, 3), (3, 16, 19)]


def close(a, b, tolerance=2e-5):
    assert a.device == b.device
    torch.testing.assert_close(a.contiguous(), b.contiguous(), rtol=tolerance, atol=tolerance)


@pytest.fixture(params=SHAPES, ids=str)
def shape(request):
    torch.manual_seed(0)
    return request.param


def random(*shape):
    return torch.randn(*shape).to(DEVICE)


def system(shape):
    blocks, gradient, _ = REFERENCE.normal_equations(random(2, 4, *shape), random(2, 4, *shape), None, False)
    stiffness = torch.rand(2, len(shape), len(shape)).to(DEVICE) + 0.2
    return blocks, stiffness, torch.tensor([0.1, 0.3], device=DEVICE), gradient


@pytest.mark.parametrize("channels_last", [False, True])
def test_warp(shape, channels_last):
    ndim = len(shape)
    image = random(2, 3, *[n + 2 for n in shape])
    if channels_last:
        image = image.contiguous(memory_format=torch.channels_last if ndim == 2 else torch.channels_last_3d)
    matrix = np.eye(ndim + 1)
    matrix[:-1, :-1] += 0.1 * np.random.default_rng(0).standard_normal((ndim, ndim))
    matrix[:-1, -1] = 0.7
    field = 2 * random(2, ndim, *shape)
    close(TRITON.warp(image, field, matrix, shape), REFERENCE.warp(image, field, matrix, shape))
    close(TRITON.warp(image, None, matrix, shape), REFERENCE.warp(image, None, matrix, shape))


def test_absurd_displacements_stay_inside():
    for far in (1e30, -1e30, float("nan")):
        field = torch.full((1, 3, 2, 2, 2), far, device=DEVICE)
        assert torch.isfinite(TRITON.warp(random(1, 1, 2, 2, 2), field, np.eye(4), (2, 2, 2))).all()


@pytest.mark.parametrize("symmetric", [False, True])
def test_normal_equations(shape, symmetric):
    fixed, warped = random(2, 4, *shape), random(2, 4, *shape)
    for weight in (None, random(2, 1, *shape).abs()):
        ours = TRITON.normal_equations(fixed, warped, weight, symmetric)
        for got, expected in zip(ours, REFERENCE.normal_equations(fixed, warped, weight, symmetric), strict=True):
            assert got.dtype == expected.dtype
            close(got, expected)


def test_operator_and_smoothing(shape):
    blocks, stiffness, shift, rhs = system(shape)
    x = random(2, len(shape), *shape)
    operator = blocks, stiffness, shift
    close(TRITON.apply_operator(*operator, x), REFERENCE.apply_operator(*operator, x), 1e-4)
    close(TRITON.elastic(stiffness, x, None), REFERENCE.elastic(stiffness, x, None), 1e-4)
    for start in (None, x):
        close(TRITON.smooth(*operator, rhs, start, 0.8), REFERENCE.smooth(*operator, rhs, start, 0.8), 1e-4)


@pytest.mark.parametrize("size", [(9, 12), (6, 7, 5)], ids=str)
def test_solve_and_its_derivative(size, monkeypatch):
    """The whole solver with these programs inside: what it is without them, forwards and backwards."""
    torch.manual_seed(0)
    blocks, _, shift, rhs = system(size)
    stiffness = Diffusion().stiffness(Grid(size, np.eye(len(size) + 1)), rhs)
    found = []
    for name in ("triton", "torch"):
        monkeypatch.setenv("LEARNGN_KERNELS", name)
        given = [t.clone().requires_grad_() for t in (blocks, rhs)]
        lam = torch.ones(2, device=DEVICE)
        x, info = NormalSolver(tolerance=1e-6).solve(given[0], stiffness, given[1], lam, shift)
        found.append((info.iterations, x.detach(), *torch.autograd.grad((x * x).sum(), given)))
    assert found[0][0] == found[1][0]
    for got, expected in zip(found[0][1:], found[1][1:], strict=True):
        close(got, expected, 1e-3)


def test_chosen_for_single_precision_without_derivative(monkeypatch):
    monkeypatch.setenv("LEARNGN_KERNELS", "triton")
    x = torch.zeros(1, device=DEVICE)
    assert kernels.best(x).name == "triton"
    assert kernels.best(x.double()).name == "torch"
    assert kernels.best(x.requires_grad_()).name == "torch"
