"""``learngn info``: versions and devices, or the description of a model."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Annotated, Any

import typer

from learngn._version import __version__
from learngn.cli import console

_PACKAGES = ("numpy", "numba", "SimpleITK", "torch")


def info(
    model: Annotated[
        Path | None, typer.Argument(metavar="[MODEL]", help="Folder of a trained model.", show_default=False)
    ] = None,
    json: console.Json = False,
) -> None:
    """Print versions, devices, threads, and the kernels in use; or the description of a trained model.

    Example:  learngn info
    """
    entries = _system() if model is None else _model(model)
    if json:
        console.print_json(entries)
        return
    width = max(10, *(len(name) for name in entries))
    for name, value in entries.items():
        typer.echo(f"{name:<{width}} {', '.join(value) if isinstance(value, list) else value}")


def _model(model: Path) -> dict[str, Any]:
    """Describe a model and its training; its weights are read too, so that a damaged file is noticed."""
    from learngn.arrays import require_torch

    require_torch("a model")
    from learngn.model import read_description, read_model

    config, origin = read_description(model)
    own = config.network is not None and config.network.kind == "own"
    weights = None if own else sum(tensor.numel() for tensor in read_model(model).state_dict().values())
    settings, training = config.settings, origin.training
    validation = training.get("validation", {})
    return {
        "model": str(model),
        "version": origin.version,
        "dimension": config.ndim,
        "features": settings.features,
        "spacing": f"{config.spacing:g} mm",
        "strides": [f"{stride:g}" for stride in settings.strides],
        "iterations": [str(count) for count in settings.iterations],
        "network": config.network.kind if config.network else "none",
        "lineariser": config.lineariser.kind if config.lineariser else "analytic",
        "method": "VoxelMorph" if config.voxelmorph else "Gauss-Newton",
        "weights": weights,
        "dataset": training.get("dataset"),
        "data": training.get("data_sha256"),
        "subjects": len(training.get("subjects", [])),
        "step": training.get("step"),
        **{f"validation {name}": value for name, value in validation.items() if value is not None},
    }


def _system() -> dict[str, Any]:
    from learngn import kernels
    from learngn.arrays import cuda_devices
    from learngn.threads import thread_count

    return {
        "learngn": __version__,
        "python": platform.python_version(),
        **{name: _version_of(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "devices": ["cpu", *cuda_devices()],
        "threads": thread_count(),
        "kernels": ", ".join(f"{kind}: {name}" for kind, name in kernels.in_use().items()),
        "cache": kernels.cache_folder(),
    }


def _version_of(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version  # imported here: it takes long for what it does

    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
