"""The few hot operations, each behind one seam: plain torch, compiled for the CPU."""

from __future__ import annotations

import torch
from torch import Tensor

from learngn.kernels.interface import Coarsening, Guarded, Kernels, Solved, SolveStatus
from learngn.kernels.reference import ReferenceKernels
from learngn.kernels.taps import Taps, area_taps, linear_taps

__all__ = [
    "Coarsening",
    "Guarded",
    "Kernels",
    "ReferenceKernels",
    "SolveStatus",
    "Solved",
    "Taps",
    "area_taps",
    "best",
    "linear_taps",
]

_REFERENCE = ReferenceKernels()


def best(*tensors: Tensor | None) -> Kernels:
    """The fastest implementation for these tensors.

    Compiled code serves float32 (and any label type) on the CPU without autograd; the torch reference
    serves the rest: other devices, float64, and whatever must be differentiated.
    """
    given = [t for t in tensors if t is not None]
    if any(t.device.type != "cpu" or t.dtype == torch.float64 for t in given):
        return _REFERENCE
    if torch.is_grad_enabled() and any(t.requires_grad for t in given):
        return _REFERENCE
    from learngn.kernels.compiled import COMPILED

    return COMPILED
