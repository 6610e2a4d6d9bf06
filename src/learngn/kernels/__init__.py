"""Kernels: the operations that take most of the time, in plain torch, compiled for the CPU, and in Triton for a GPU."""

from __future__ import annotations

import os
from functools import lru_cache
from importlib.util import find_spec

import torch
from torch import Tensor

from learngn.errors import SettingsError
from learngn.kernels.interface import Coarsening, Guarded, Kernels, Solved, SolveStatus
from learngn.kernels.reference import ReferenceKernels
from learngn.kernels.taps import Taps, area_taps, box_taps, linear_taps

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
    "box_taps",
    "cache_folder",
    "compiles",
    "in_use",
    "linear_taps",
]

_REFERENCE = ReferenceKernels()
_VARIABLE, _NAMES = "LEARNGN_KERNELS", ("auto", "torch", "triton")


def best(*tensors: Tensor | None) -> Kernels:
    """Return the fastest implementation for these tensors.

    Compiled code is used for float32 (and any label type) on the CPU without autograd, Triton for float32 on a GPU
    without autograd, if it is installed; the torch reference for all other cases: float64, and whatever must be
    differentiated. With the environment variable ``LEARNGN_KERNELS=torch`` the reference is always used: for
    comparison, or where code cannot be compiled. With ``LEARNGN_KERNELS=triton`` Triton is used on the CPU as well, in
    its interpreter (``TRITON_INTERPRET=1``), very slowly, for tests.

    Raises
    ------
    SettingsError
        If the variable has another value, or Triton is not installed.
    """
    forced = _forced()
    if forced == "torch":
        return _REFERENCE
    given = [t for t in tensors if t is not None]
    if any(t.dtype == torch.float64 for t in given):
        return _REFERENCE
    if torch.is_grad_enabled() and any(t.requires_grad for t in given):
        return _REFERENCE
    if forced == "triton" or any(t.device.type != "cpu" for t in given):
        return _on_gpu() if all(t.dtype == torch.float32 for t in given) else _REFERENCE
    from learngn.kernels.compiled import COMPILED

    return COMPILED


def compiles() -> bool:
    """Return whether compiled code is used on the CPU, unless ``LEARNGN_KERNELS`` selects another implementation."""
    return _forced() == "auto"


@lru_cache(maxsize=1)
def _on_gpu() -> Kernels:
    if find_spec("triton") is None:
        return _REFERENCE
    from learngn.kernels.gpu import TritonKernels

    return TritonKernels()


def in_use() -> dict[str, str]:
    """Return the name of the implementation used on each kind of device of this machine, for display."""
    found = {"CPU": best(torch.zeros(1)).name}
    if torch.cuda.is_available():
        found["CUDA"] = best(torch.zeros(1, device="cuda")).name
    return {
        device: name if name == "torch" else f"{name} (PyTorch where differentiated)" for device, name in found.items()
    }


def cache_folder() -> str:
    """Return the folder in which compiled CPU kernels are cached between runs, for display."""
    if not compiles():
        return f"not used ({_VARIABLE}={_forced()})"
    from learngn.kernels._cpu_cache import places

    found = places()
    if found.folder is None:
        return f"none ({found.problem})"
    return str(found.folder) if found.problem is None else f"{found.folder} ({found.problem})"


def _forced() -> str:
    name = os.environ.get(_VARIABLE, "auto")
    if name not in _NAMES:
        raise SettingsError(f"environment variable {_VARIABLE}", repr(name), " or ".join(_NAMES), "correct or unset it")
    if name == "triton" and find_spec("triton") is None:
        raise SettingsError(f"environment variable {_VARIABLE}", "triton", "the package triton", "pip install triton")
    return name
