"""Devices for the computation: the CPU, or a GPU of NVIDIA if PyTorch is installed."""

from __future__ import annotations

import ctypes.util
import re
import shutil
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from learngn.arrays.array import require_torch
from learngn.errors import SettingsError

_SIGNS = "/proc/driver/nvidia/version", "/dev/nvidiactl"
_NAME = re.compile(r"auto|cpu|cuda(:\d+)?")


def check_device_name(name: str) -> None:
    """Raise :class:`SettingsError` unless a device has the name ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``."""
    if not _NAME.fullmatch(name):
        raise SettingsError("device", repr(name), "auto, cpu or cuda", "see learngn info")


def chosen_device(name: str) -> str:
    """Return the device that a name stands for; for ``"auto"`` a GPU if there is one, else the CPU.

    Raises
    ------
    SettingsError
        If the name is unknown, or this machine has no such device.
    MissingPackageError
        If a GPU is named and PyTorch is not installed.
    """
    check_device_name(name)
    if name == "auto":
        return "cuda" if cuda_devices() else "cpu"
    if name.startswith("cuda"):
        require_torch("computing on a GPU")
        if len(cuda_devices()) <= int(name.partition(":")[2] or 0):
            raise SettingsError("device", repr(name), "one that this machine has", "see learngn info")
    return name


def cuda_devices() -> list[str]:
    """Return the names of the GPUs that PyTorch can use; none if it is not installed."""
    # Importing PyTorch takes seconds, so that it is asked only where a driver is installed.
    if not has_driver() or find_spec("torch") is None:
        return []
    torch = import_module("torch")
    return [str(torch.cuda.get_device_name(number)) for number in range(torch.cuda.device_count())]


def has_driver() -> bool:
    """Return whether a driver of NVIDIA seems to be installed."""
    # The loaded driver shows itself in /proc or /dev; under Windows and its Linux subsystem, the driver's program is on
    # the search path, or its library among those of the system. Looking for a library takes long on Linux.
    if any(Path(path).exists() for path in _SIGNS) or shutil.which("nvidia-smi") is not None:
        return True
    return sys.platform == "win32" and ctypes.util.find_library("nvcuda") is not None
