"""``learngn info``: versions, devices and caches, or the description of a model."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from learngn._version import __version__
from learngn.cli import console
from learngn.cli.panels import INPUT

_PACKAGES = ("numpy", "scipy", "numba", "SimpleITK", "nibabel")
_OPTIONAL = {  # by extra of this project; triton comes with PyTorch for CUDA
    "torch": ("torch", "safetensors", "triton"),
    "train": ("lightning-fabric", "monai", "tensorboard"),
    "cohort": ("distributed", "dask-jobqueue", "bokeh"),
    "plot": ("matplotlib",),
    "shapes": ("trx-python", "vtk"),
}
_MISSING = "not installed"
_MEGABYTE = 1e6  # bytes


def info(
    model: Annotated[
        Path | None,
        typer.Argument(metavar="[MODEL]", help="Folder of a trained model.", show_default=False, rich_help_panel=INPUT),
    ] = None,
    json: console.Json = False,
) -> None:
    """Print versions, optional packages, devices, caches, presets; or the description of a trained model.

    Example:  learngn info
    """
    entries = _system() if model is None else _model(model)
    if json:
        console.print_json(entries)
        return
    width = max(10, *(len(name) for name in entries))
    for name, value in entries.items():
        typer.echo(f"{name:<{width}} {_shown(value)}")


def _shown(value: Any) -> str:
    """Return a value as text: names of packages or kinds with what belongs to them, or a list."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {item}" for name, item in value.items())
    return ", ".join(value) if isinstance(value, list) else str(value)


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
    from learngn.features.combined import FEATURES, FILE_FEATURES
    from learngn.settings import PRESETS
    from learngn.threads import processors, thread_count

    gpus = cuda_devices()
    return {
        "learngn": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{name: _version_of(name) for name in _PACKAGES},
        **{f"[{extra}]": {name: _version_of(name) for name in names} for extra, names in _OPTIONAL.items()},
        "devices": ["cpu", *gpus],
        "CUDA": _cuda(gpus),
        "cores": f"{processors()} of {os.cpu_count()} for this process",
        "threads": thread_count(),
        "kernels": ", ".join(f"{kind}: {name}" for kind, name in kernels.in_use().items()),
        "cache": kernels.cache_folder(),
        "cache size": _cache_size(),
        "presets": list(PRESETS),
        "features": [*FEATURES, *(f"{name}=PATH" for name in FILE_FEATURES)],
    }


def _cuda(gpus: list[str]) -> str:
    """Return whether registrations can use a GPU, and if not, what is missing."""
    from learngn.arrays.devices import has_driver

    if gpus:
        triton = _version_of("triton")
        return "ready, by PyTorch alone (no triton)" if triton == _MISSING else f"ready, Triton {triton}"
    if not has_driver():
        return "no driver of NVIDIA found"
    return "driver found, no PyTorch" if _version_of("torch") == _MISSING else "driver found, PyTorch without a device"


def _cache_size() -> str:
    """Return the size of the files in which compiled kernels are kept."""
    from learngn.kernels import compiles
    from learngn.kernels._cpu_cache import places

    folder = places().folder if compiles() else None
    files = [] if folder is None else [file for kind in ("*.nbi", "*.nbc") for file in folder.glob(kind)]
    return f"{sum(file.stat().st_size for file in files) / _MEGABYTE:.1f} MB in {len(files)} files"


def _version_of(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version  # imported here: it takes long for what it does

    try:
        return version(package)
    except PackageNotFoundError:
        return _MISSING
