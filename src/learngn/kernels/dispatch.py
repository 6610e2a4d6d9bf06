"""Choice of the back end by the arrays, and the kernels as plain functions that make it."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache, wraps
from importlib.util import find_spec
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from learngn.arrays import Array, cuda_devices, differentiable, is_tensor, kind_of
from learngn.errors import SettingsError
from learngn.kernels.interface import Kernels
from learngn.kernels.reference import ReferenceKernels

P = ParamSpec("P")
R = TypeVar("R")

REFERENCE = ReferenceKernels()
VARIABLE, _NAMES = "LEARNGN_KERNELS", ("auto", "reference", "triton")


def backend(*arrays: Array | None) -> Kernels:
    """Return the fastest implementation for these arrays.

    Compiled code is used for float32 (and any label type) on the CPU where nothing is differentiated, Triton for
    float32 on a GPU where nothing is differentiated, if it is installed; the reference for all other cases: float64,
    and what must be differentiated. With the environment variable ``LEARNGN_KERNELS=reference`` the reference is always
    used: for comparison, or where code cannot be compiled. With ``LEARNGN_KERNELS=triton`` Triton is used on the CPU as
    well, in its interpreter (``TRITON_INTERPRET=1``), very slowly, for tests.

    Raises
    ------
    SettingsError
        If the variable has another value, or Triton is not installed.
    """
    given = [a for a in arrays if a is not None]
    tensors = bool(given) and is_tensor(given[0])
    name = forced()
    if name == "reference" or differentiable(*given) or any(str(a.dtype).endswith("float64") for a in given):
        return _on_tensors("fused") if tensors else REFERENCE
    if tensors and (name == "triton" or any(kind_of(a) != "cpu" for a in given)):
        single = all(str(a.dtype) == "torch.float32" for a in given)
        return _on_gpu(given[0].device) if single else _on_tensors("fused")
    return _on_tensors("compiled") if tensors else _compiled()


def operation(method: Callable[Concatenate[Kernels, P], R]) -> Callable[P, R]:
    """Make a function of an operation, which calls the back end for the arrays among its arguments."""
    name = method.__name__

    @wraps(method)
    def dispatched(*arguments: P.args, **named: P.kwargs) -> R:
        given: tuple[Any, ...] = (*arguments, *named.values())
        arrays = (a for a in given if hasattr(a, "dtype") and a.ndim and not _is_matrix(a))
        return cast(R, getattr(backend(*arrays), name)(*arguments, **named))

    return dispatched


def _is_matrix(array: Array) -> bool:
    """Return whether an array is one of NumPy of two axes: an index matrix or a list of offsets, on any back end."""
    return array.ndim <= 2 and not is_tensor(array)


@lru_cache(maxsize=1)
def _compiled() -> Kernels:
    from learngn.kernels.compiled import COMPILED

    return COMPILED


@lru_cache(maxsize=2)
def _on_tensors(kind: str) -> Kernels:
    if kind == "compiled":
        from learngn.kernels.tensors import OnTensors

        return cast(Kernels, OnTensors(_compiled()))
    from learngn.kernels.fused import FUSED

    return FUSED


@lru_cache(maxsize=16)
def _on_gpu(device: Any) -> Kernels:
    """Return Triton's programs if they are installed and give the right results on this device."""
    fused = _on_tensors("fused")
    if find_spec("triton") is None:
        return fused
    from learngn.kernels._cpu_cache import places
    from learngn.kernels.gpu import TritonKernels
    from learngn.kernels.self_check import trusted

    programs = TritonKernels()
    return programs if trusted(programs, fused, device, places().folder) else fused


def compiles() -> bool:
    """Return whether compiled code is used on the CPU, unless ``LEARNGN_KERNELS`` selects another implementation."""
    return forced() == "auto"


def forced() -> str:
    """Return the value of the environment variable, checked."""
    name = os.environ.get(VARIABLE, "auto")
    name = "reference" if name == "torch" else name  # its earlier name
    if name not in _NAMES:
        raise SettingsError(f"environment variable {VARIABLE}", repr(name), " or ".join(_NAMES), "correct or unset it")
    if name == "triton" and find_spec("triton") is None:
        raise SettingsError(f"environment variable {VARIABLE}", "triton", "the package triton", "pip install triton")
    return name


def in_use() -> dict[str, str]:
    """Return the name of the implementation used on each kind of device of this machine, for display."""
    reference = forced() == "reference"
    found = {"CPU": "reference" if reference else f"{_compiled().name} (array API where differentiated)"}
    if cuda_devices():
        import torch

        name = backend(torch.zeros(1, device="cuda")).name
        found["CUDA"] = name if name == "torch" else f"{name} (PyTorch where differentiated)"
    return found


def cache_folder() -> str:
    """Return the folder in which compiled CPU kernels are cached between runs, for display."""
    if not compiles():
        return f"not used ({VARIABLE}={forced()})"
    from learngn.kernels._cpu_cache import places

    found = places()
    if found.folder is None:
        return f"none ({found.problem})"
    return str(found.folder) if found.problem is None else f"{found.folder} ({found.problem})"
