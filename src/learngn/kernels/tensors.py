"""Kernels for NumPy's arrays, applied to tensors of PyTorch that share their memory."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from learngn.arrays import as_numpy, is_tensor


class OnTensors:
    """Adaptor of a back end: it takes and returns tensors on the CPU, without copying them.

    Parameters
    ----------
    kernels : Kernels
        Back end for arrays of NumPy.
    """

    def __init__(self, kernels: Any) -> None:
        self._kernels = kernels
        self.name: str = kernels.name

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        return partial(_call, getattr(self._kernels, operation))


def _call(operation: Callable[..., Any], *arguments: Any) -> Any:
    return _to_tensors(operation(*(_to_arrays(argument) for argument in arguments)))


def _to_arrays(value: Any) -> Any:
    if is_tensor(value):
        return as_numpy(value)
    return [_to_arrays(v) for v in value] if isinstance(value, list | tuple) else value


def _to_tensors(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return sys.modules["torch"].from_numpy(value)
    if isinstance(value, tuple):
        return tuple(_to_tensors(v) for v in value)
    return value
