"""``learngn info``: what runs here."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

import typer

from learngn._version import __version__
from learngn.cli import console

_PACKAGES = ("torch", "numba", "numpy", "SimpleITK")


def info(json: console.Json = False) -> None:
    """Print versions, devices, threads, and which kernels are in use.

    Example:  learngn info
    """
    found = _collect()
    if json:
        console.print_json(found)
        return
    for name, value in found.items():
        typer.echo(f"{name:<10} {', '.join(value) if isinstance(value, list) else value}")


def _collect() -> dict[str, Any]:
    import numba
    import torch

    from learngn import kernels

    devices = ["cpu", *(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))]
    return {
        "learngn": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "devices": devices,
        "threads": min(torch.get_num_threads(), numba.get_num_threads()),
        "kernels": type(kernels.best(torch.zeros(1))).__name__,
    }
