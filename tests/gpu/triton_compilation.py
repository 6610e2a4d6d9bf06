"""The programs for a GPU compiled ahead of time, without one, by Triton's compiler and NVIDIA's assembler.

Run by ``tests/test_gpu_kernels.py`` in a process of its own: the driver is replaced by one without a device, and
launches only compile. The arguments are those of the package's own launches, which matter: Triton compiles other code
for an integer that is one (an axis of a 2D grid, a single channel) or a multiple of 16.
"""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from learngn.kernels.gpu import TritonKernels

SHAPES = [(7, 9), (16, 32), (1, 6), (6, 7, 5), (32, 16, 48), (5, 1, 4), (1, 1, 1)]
ON = [pytest.param(90, shape, id=f"{shape} on sm_90") for shape in SHAPES]
ON.append(pytest.param(80, (6, 7, 5), id="(6, 7, 5) on sm_80"))
TRITON = TritonKernels()


@pytest.fixture
def compiled(capability, monkeypatch):
    """Compile at every launch for one kind of GPU; return the programs compiled."""
    driver.set_active(
        SimpleNamespace(
            get_current_target=lambda: GPUTarget("cuda", capability, 32),
            get_current_device=lambda: capability,  # what is compiled is kept by device
            get_current_stream=lambda device: 0,
        )
    )
    programs, launch = [], JITFunction.run

    def compile_only(self, *arguments, grid, warmup, **named):
        programs.append(launch(self, *arguments, grid=grid, warmup=True, **named))

    monkeypatch.setattr(JITFunction, "run", compile_only)
    return programs


def check(programs, count):
    assert len(programs) == count
    assert all(program.asm["cubin"] for program in programs)


@pytest.mark.parametrize(("capability", "shape"), ON)
@pytest.mark.parametrize(("channels", "last"), [(1, False), (12, False), (12, True)], ids=["one", "first", "last"])
def test_warp(shape, channels, last, compiled):
    image = torch.zeros(2, channels, *shape)
    if last:
        image = torch.movedim(torch.movedim(image, 1, -1).contiguous(), -1, 1)
    matrix = np.eye(len(shape) + 1)
    TRITON.warp(image, torch.zeros(2, len(shape), *shape), matrix, shape)
    TRITON.warp(image, None, matrix, shape)
    check(compiled, 2)


@pytest.mark.parametrize(("capability", "shape"), ON)
@pytest.mark.parametrize("channels", [1, 12])
def test_normal_equations(shape, channels, compiled):
    image, weight = torch.zeros(2, channels, *shape), torch.zeros(2, 1, *shape)
    for symmetric in (False, True):
        TRITON.normal_equations(image, image, weight, symmetric)
        TRITON.normal_equations(image, image, None, symmetric)
    check(compiled, 4)


@pytest.mark.parametrize(("capability", "shape"), ON)
def test_operator_and_smoothing(shape, compiled):
    ndim = len(shape)
    blocks, field = torch.zeros(2, ndim * (ndim + 1) // 2, *shape), torch.zeros(2, ndim, *shape)
    stiffness, shift = torch.zeros(2, ndim, ndim), torch.zeros(2)
    TRITON.apply_operator(blocks, stiffness, shift, field)
    TRITON.elastic(stiffness, field, None)
    TRITON.smooth(blocks, stiffness, shift, field, None, 0.8)
    TRITON.smooth(blocks, stiffness, shift, field, field, 0.8)
    check(compiled, 4)
