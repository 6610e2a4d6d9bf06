"""Registrations on a CUDA device agree with the CPU."""

import numpy as np
import pytest
import torch

import learngn
from learngn.kernels.fused import TorchKernels
from learngn.phantom import abdomens
from learngn.settings import Settings
from learngn.testing import KERNEL_RULES
from learngn.testing.kernels import SHAPES, Case

pytestmark = pytest.mark.gpu

LEVELS = {"affine": "affine", "strides": (4, 2), "iterations": (3, 3), "lam": (3.0, 0.5)}
SCANS = "mind,intensity:10"


def on_both(shape, settings):
    """Register two phantoms on the CPU and on the GPU."""
    chosen = [p.labels if "organ" in settings.features else p.scan for p in abdomens(2, shape, seed=0)]
    results = [
        learngn.register(*(image.to(device) for image in chosen), settings=settings) for device in ("cpu", "cuda")
    ]
    assert results[1].displacement.data.device.type == "cuda"
    return results


def assert_agree(here, there, *, voxels=0.02):
    difference = (here.displacement.data - there.displacement.data.cpu()).norm(dim=1)
    assert float(difference.mean()) < voxels
    np.testing.assert_allclose(here.affine.matrix, there.affine.matrix, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("features", [SCANS, "organ-distance"])
def test_same_as_on_the_cpu(features):
    assert_agree(*on_both((48, 40, 32), Settings(features, **LEVELS)))


def test_a_plane():
    assert_agree(*on_both((64, 56), Settings(SCANS, **LEVELS)))


@pytest.mark.parametrize(
    "changes",
    [
        {"robust": "huber:0.5"},
        {"overlap": True},
        {"symmetric": True},
        {"diffeomorphic": True},
        {"discrete": True},
        {"regulariser": "curvature"},
        {"regulariser": "edges"},
        {"update": "exponential"},
        {"update": "additive"},
        {"update": "published"},
        {"update": "adam"},
    ],
    ids=lambda changes: "-".join(map(str, *changes.items())),
)
def test_every_option(changes):
    assert_agree(*on_both((48, 40, 32), Settings(SCANS, **LEVELS, **changes)), voxels=0.05)


def test_uncertainty():
    here, there = on_both((48, 40, 32), Settings(SCANS, **LEVELS, uncertainty=True))
    ours, theirs = (np.asarray(torch.as_tensor(result.uncertainty.deviation.data).cpu()) for result in (here, there))
    assert abs(ours - theirs).mean() < 0.02 * ours.mean()


@pytest.mark.parametrize("rule", KERNEL_RULES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_kernels_of_torch(rule, shape):
    KERNEL_RULES[rule](Case(TorchKernels(), shape, torch.device("cuda")))
