"""Arrays of either library: what they are, where they are, and conversion between the two."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from importlib import import_module
from typing import Any, ParamSpec, TypeAlias, TypeVar

import numpy as np
from array_api_compat import array_namespace, device
from array_api_compat import is_torch_array as is_tensor
from numpy.typing import NDArray

from learngn.errors import require_packages

__all__ = [
    "Array",
    "as_numpy",
    "channels_last",
    "detached",
    "device_of",
    "differentiable",
    "empty_channels_last",
    "in_order",
    "is_tensor",
    "kind_of",
    "like",
    "namespace",
    "require_torch",
    "shared",
    "undifferentiated",
    "without_gradient",
]

# Array of NumPy or tensor of PyTorch. No common type has their operators, so that type checkers treat it as anything.
Array: TypeAlias = Any
P = ParamSpec("P")
R = TypeVar("R")


# NumPy follows the standard by itself from 2.1 on; array-api-compat would import every part of it, such as f2py.
_STANDARD = hasattr(np, "astype")


def namespace(*arrays: Array | None) -> Any:
    """Return the array API namespace of some arrays, all of one library; None is left out."""
    if _STANDARD and all(a is None or isinstance(a, np.ndarray | np.generic) for a in arrays):
        return np
    return array_namespace(*(a for a in arrays if a is not None))


def device_of(array: Array) -> Any:
    """Return the device of an array, to be passed on to functions of its namespace."""
    return device(array)


def kind_of(array: Array) -> str:
    """Return the kind of the device of an array: ``"cpu"``, ``"cuda"``, ..."""
    return str(array.device.type) if is_tensor(array) else "cpu"


def differentiable(*arrays: Array | None) -> bool:
    """Return whether an operation on these arrays is recorded to be differentiated."""
    if not any(a is not None and is_tensor(a) and a.requires_grad for a in arrays):
        return False
    return bool(sys.modules["torch"].is_grad_enabled())


def without_gradient() -> AbstractContextManager[Any]:
    """Return a context in which no operation is recorded to be differentiated."""
    torch = sys.modules.get("torch")
    return nullcontext() if torch is None else torch.no_grad()


def undifferentiated(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function so that none of its operations is recorded to be differentiated."""

    @wraps(function)
    def called(*arguments: P.args, **named: P.kwargs) -> R:
        with without_gradient():  # asked at each call: PyTorch may be imported later than the function
            return function(*arguments, **named)

    return called


def detached(array: Array) -> Array:
    """Return an array without its history of operations; it shares the memory."""
    return array.detach() if is_tensor(array) else array


def as_numpy(array: Array) -> NDArray[Any]:
    """Return an array of NumPy with the same values, without copying where that is possible."""
    return np.asarray(array.detach().cpu() if is_tensor(array) else array)


def like(values: Any, array: Array, dtype: Any = None) -> Array:
    """Return values (a number, a sequence, an array) in the library, on the device and of the type of an array.

    Parameters
    ----------
    values : array-like
    array : Array
    dtype : optional
        Type of the values, of the array's namespace; by default the array's.
    """
    if is_tensor(values) and not is_tensor(array):
        values = as_numpy(values)
    kind = array.dtype if dtype is None else dtype
    if is_tensor(values):
        return values.to(device=array.device, dtype=kind)
    xp = namespace(array)
    return xp.asarray(np.asarray(values) if is_tensor(array) else values, dtype=kind, device=device_of(array))


def channels_last(data: Array) -> Array:
    """Return data (N, C, *S) with channels last in memory, the layout that the sampling kernels read; same shape."""
    if is_tensor(data):
        torch = sys.modules["torch"]
        return data.contiguous(memory_format=torch.channels_last if data.ndim == 4 else torch.channels_last_3d)
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(data, 1, -1)), -1, 1)


def empty_channels_last(shape: Sequence[int], array: Array) -> Array:
    """Return an array (N, C, *S) of arbitrary values with channels last in memory, of the type and device of another.

    Filling it channel by channel is cheaper than joining the channels and changing the layout.
    """
    xp, (n, channels, *rest) = namespace(array), shape
    return xp.moveaxis(xp.empty((n, *rest, channels), dtype=array.dtype, device=device_of(array)), -1, 1)


def require_torch(what: str) -> Any:
    """Import PyTorch, an optional package.

    Parameters
    ----------
    what : str
        What needs it, in the user's terms ("a model").

    Raises
    ------
    MissingPackageError
        If it is not installed; the message has the commands that install it.
    """
    cpu = "or, for the CPU alone, pip install torch --index-url https://download.pytorch.org/whl/cpu"
    require_packages(what, "torch", "torch", otherwise=cpu)
    return import_module("torch")


def shared(array: Array | None, other: Array) -> Array | None:
    """Return an array in the library and on the device of another one; its type is kept."""
    if array is None or (is_tensor(array) == is_tensor(other) and device_of(array) == device_of(other)):
        return array
    return like(array, other, getattr(namespace(other), str(array.dtype).rpartition(".")[-1]))


def in_order(array: Array) -> Array:
    """Return an array with its last axis contiguous in memory, and so on (C order); copied only if it is not."""
    return array.contiguous() if is_tensor(array) else np.ascontiguousarray(array)
