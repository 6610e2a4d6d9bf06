"""Triton kernels for float32 on a GPU; each reads its inputs and writes its outputs in one pass.

Without a GPU, tests run them in Triton's interpreter, where they agree with the reference, and compile them for two
kinds of GPU. At their first use on a GPU they are compared with the reference, see :mod:`learngn.kernels.self_check`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learngn.kernels import _gpu_programs as programs
from learngn.kernels.fused import TorchKernels

# Contracted as by PyTorch's own kernels; unless this is stated, Triton 3.9 warns that its default will change.
_OPTIONS = {"enable_fp_fusion": True}


class TritonKernels(TorchKernels):
    """Sampling, linearisation, operator and smoothing in Triton; other operations use the reference on the device."""

    name = "triton"

    def _sampled(
        self, image: Tensor, field: Tensor | None, matrix: NDArray[np.float64], shape: Sequence[int]
    ) -> Tensor:
        n, channels = image.shape[:2]
        source, (of_channel, of_voxel) = _strided(image)
        out = image.new_empty((n, channels, *shape))
        rows = torch.as_tensor(_thick(matrix), dtype=torch.float32, device=image.device)
        displaced = field is not None
        before = _solid(image.shape[2:])
        programs.sample[_programs(n, shape)](
            source, field.contiguous() if field is not None else out, rows, out, channels, of_channel, of_voxel,
            channels * math.prod(before), *before, math.prod(shape), *_solid(shape),
            DISPLACED=displaced, AXES=len(shape), BLOCK=programs.BLOCK, **_OPTIONS,
        )  # fmt: skip
        return out

    def normal_equations(
        self, fixed: Tensor, warped: Tensor, weight: Tensor | None, symmetric: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        (n, channels), shape = fixed.shape[:2], fixed.shape[2:]
        ndim = len(shape)
        blocks = fixed.new_empty((n, ndim * (ndim + 1) // 2, *shape))
        gradient = fixed.new_empty((n, ndim, *shape))
        grid = _programs(n, shape)
        energy = torch.empty((n, grid[0]), dtype=torch.float64, device=fixed.device)
        programs.linearise[grid](
            fixed.contiguous(), warped.contiguous(), blocks if weight is None else weight.contiguous(),
            blocks, gradient, energy, channels, math.prod(shape), *_solid(shape),
            SYMMETRIC=symmetric, WEIGHTED=weight is not None, AXES=ndim, BLOCK=programs.BLOCK, **_OPTIONS,
        )  # fmt: skip
        return blocks, gradient, energy.sum(1)

    def apply_operator(self, blocks: Tensor, stiffness: Tensor, shift: Tensor, x: Tensor) -> Tensor:
        return _operate(programs.APPLY, blocks, stiffness, shift, x, x, 0.0)

    def smooth(
        self, blocks: Tensor, stiffness: Tensor, shift: Tensor, rhs: Tensor, x: Tensor | None, omega: float
    ) -> Tensor:
        mode = programs.RELAX_FROM_ZERO if x is None else programs.RELAX
        return _operate(mode, blocks, stiffness, shift, rhs, rhs if x is None else x, omega)

    def elastic(self, stiffness: Tensor, x: Tensor, faces: Tensor | None) -> Tensor:
        if faces is not None:
            product: Tensor = super().elastic(stiffness, x, faces)
            return product
        return _operate(programs.ELASTIC, x, stiffness, x, x, x, 0.0)


def _operate(
    mode: object, blocks: Tensor, stiffness: Tensor, shift: Tensor, rhs: Tensor, x: Tensor, omega: float
) -> Tensor:
    n, ndim, shape = x.shape[0], x.shape[1], x.shape[2:]
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    weights = stiffness.to(x).expand(n, ndim, ndim).contiguous()
    programs.operate[_programs(n, shape)](
        blocks.contiguous(), weights, shift.to(x).contiguous(), rhs.contiguous(), x.contiguous(), out,
        omega, math.prod(shape), *_solid(shape), MODE=mode, AXES=ndim, BLOCK=programs.BLOCK, **_OPTIONS,
    )  # fmt: skip
    return out


def _programs(n: int, shape: Sequence[int]) -> tuple[int, int]:
    """Return the numbers of programs for the voxels and the samples."""
    return -(-math.prod(shape) // programs.BLOCK), n


def _solid(shape: Sequence[int]) -> tuple[int, int, int]:
    """Return the shape along three axes; a 2D grid is one plane."""
    sides = (1,) * (3 - len(shape)) + tuple(shape)
    return sides[0], sides[1], sides[2]


def _thick(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the first three rows of a homogeneous index matrix for three axes, as a flat tensor."""
    lacking = 4 - len(matrix)
    whole = np.eye(4)
    whole[lacking:, lacking:] = matrix
    return whole[:3].ravel()


def _strided(image: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Return an image in its memory format, channels first or last, and the strides of channel and voxel."""
    last = torch.channels_last if image.ndim == 4 else torch.channels_last_3d
    if not image.is_contiguous() and image.is_contiguous(memory_format=last):
        return image, (1, image.shape[1])
    return image.contiguous(), (math.prod(image.shape[2:]), 1)
