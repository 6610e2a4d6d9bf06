"""The programs for a GPU against the torch reference: on a GPU, or else in Triton's interpreter, on the CPU.

Run by ``tests/test_gpu_kernels.py`` in a process of its own: who wants the interpreter must say so before anything
imports Triton.
"""

import numpy as np
import pytest
import torch

from learngn import kernels
from learngn.geometry.grid import Grid
from learngn.kernels.gpu import TritonKernels
from learngn.regularise import Diffusion
from learngn.solve import NormalSolver
from learngn.testing import KERNEL_RULES
from learngn.testing.kernels import Case

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TRITON = TritonKernels()


@pytest.mark.parametrize("shape", [(7, 9), (1, 6), (6, 7, 5), (5, 1, 4), (1, 1, 3), (3, 16, 19)], ids=str)
@pytest.mark.parametrize("rule", ["warp", "warp_far_outside", "normal_equations", "operator", "smoothing"])
def test_rule(rule, shape):
    KERNEL_RULES[rule](Case(TRITON, shape, torch.device(DEVICE)))


@pytest.mark.parametrize("size", [(9, 12), (6, 7, 5)], ids=str)
def test_solve_and_its_derivative(size, monkeypatch):
    """The whole solver with these programs inside: what it is without them, forwards and backwards."""
    blocks, _, shift, rhs = Case(TRITON, size, torch.device(DEVICE)).system()
    stiffness = Diffusion().stiffness(Grid(size, np.eye(len(size) + 1)), rhs)
    found = []
    for name in ("triton", "reference"):
        monkeypatch.setenv("LEARNGN_KERNELS", name)
        given = [t.clone().requires_grad_() for t in (blocks, rhs)]
        lam = torch.ones(2, device=DEVICE)
        x, info = NormalSolver(tolerance=1e-6).solve(given[0], stiffness, given[1], lam, shift)
        found.append((info.iterations, x.detach(), *torch.autograd.grad((x * x).sum(), given)))
    assert found[0][0] == found[1][0]
    for got, expected in zip(found[0][1:], found[1][1:], strict=True):
        torch.testing.assert_close(got.contiguous(), expected.contiguous(), rtol=1e-3, atol=1e-3)


def test_chosen_for_single_precision_without_derivative(monkeypatch):
    monkeypatch.setenv("LEARNGN_KERNELS", "triton")
    x = torch.zeros(1, device=DEVICE)
    assert kernels.backend(x).name == "triton"
    assert kernels.backend(x.double()).name == "torch"
    assert kernels.backend(x.requires_grad_()).name == "torch"
