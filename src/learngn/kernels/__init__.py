"""The few hot operations, each behind one seam: plain torch, compiled for the CPU."""

from __future__ import annotations

import os

import torch
from torch import Tensor

from learngn.errors import SettingsError
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
    "in_use",
    "linear_taps",
]

_REFERENCE = ReferenceKernels()
_VARIABLE, _NAMES = "LEARNGN_KERNELS", ("auto", "torch")


def best(*tensors: Tensor | None) -> Kernels:
    """The fastest implementation for these tensors.

    Compiled code serves float32 (and any label type) on the CPU without autograd; the torch reference
    serves the rest: other devices, float64, and whatever must be differentiated. The environment variable
    ``LEARNGN_KERNELS=torch`` has the reference serve everything: to compare, or where code cannot be compiled.

    Raises
    ------
    SettingsError
        If the variable names something else.
    """
    if _forced() == "torch":
        return _REFERENCE
    given = [t for t in tensors if t is not None]
    if any(t.device.type != "cpu" or t.dtype == torch.float64 for t in given):
        return _REFERENCE
    if torch.is_grad_enabled() and any(t.requires_grad for t in given):
        return _REFERENCE
    from learngn.kernels.compiled import COMPILED

    return COMPILED


def in_use() -> dict[str, str]:
    """What serves each kind of device of this machine, for people: device to implementation."""
    device = "CUDA" if torch.cuda.is_available() else None
    compiled = best(torch.zeros(1)).name
    return {"CPU": f"{compiled} (PyTorch where differentiated)", **({device: _REFERENCE.name} if device else {})}


def _forced() -> str:
    name = os.environ.get(_VARIABLE, "auto")
    if name not in _NAMES:
        raise SettingsError(f"environment variable {_VARIABLE}", repr(name), " or ".join(_NAMES), "mend or unset it")
    return name
