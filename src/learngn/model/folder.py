"""Folder of a model: ``model.json`` and ``weights.safetensors``. Reading it runs no code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from learngn._version import __version__
from learngn.errors import ModelError, SettingsError
from learngn.io import atomic_path, parse_json, write_json
from learngn.model.architecture import ModelConfig
from learngn.model.model import Model

FORMAT = 1
CONFIG_NAME, WEIGHTS_NAME = "model.json", "weights.safetensors"


@dataclass(frozen=True)
class Provenance:
    """Origin of a model.

    Attributes
    ----------
    version : str
        Version of LearnGN.
    training : dict
        Data set and its hash, configuration, number of steps and validation scores of the training; and the model's
        ``experience``.
    """

    version: str = __version__
    training: Mapping[str, Any] = field(default_factory=dict)


def write_model(model: Model, directory: str | Path, provenance: Provenance | None = None) -> None:
    """Write a model to a folder, which is made if need be; weights first, so that no description lacks its weights.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    origin = provenance or Provenance()
    with atomic_path(directory / WEIGHTS_NAME) as temporary:
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in _stored(model).items()}
        temporary.write_bytes(save(weights))
    description = {
        "format": FORMAT,
        "version": origin.version,
        "architecture": model.config.model_dump(mode="json"),
        "training": {**_known(model), **origin.training},
    }
    write_json(description, directory / CONFIG_NAME)


def read_description(directory: str | Path) -> tuple[ModelConfig, Provenance]:
    """Read the architecture and the origin of a model, without its weights.

    Raises
    ------
    ModelError
        If the folder has no model, or a model of another format.
    """
    path = Path(directory) / CONFIG_NAME
    try:
        description = parse_json(path.read_text(encoding="utf-8"))
    except OSError as failure:
        raise ModelError(
            f"model {directory}", f"no file {CONFIG_NAME}", "a folder that learngn train has written", "check the path"
        ) from failure
    except ValueError as failure:
        raise ModelError(f"model file {path}", "no JSON", "what learngn train writes", "copy it again") from failure
    format_ = description.get("format") if isinstance(description, dict) else None
    if format_ != FORMAT:
        raise ModelError(
            f"model file {path}",
            f"format {format_!r} of version {description.get('version') if isinstance(description, dict) else None}",
            f"format {FORMAT}, of LearnGN {__version__}",
            "train the model again, or install the version that has written it",
        )
    try:
        config = ModelConfig.model_validate(description["architecture"])
    except SettingsError as error:
        raise ModelError(f"model file {path}, {error.what}", error.got, error.expected, "train it again") from error
    except (KeyError, ValidationError) as failure:
        raise ModelError(f"model file {path}", _first(failure), "a known architecture", "train it again") from failure
    return config, Provenance(str(description.get("version")), description.get("training", {}))


def read_model(directory: str | Path, *, network: nn.Module | None = None) -> Model:
    """Read a model; it is in evaluation mode.

    Parameters
    ----------
    directory : Path
    network : nn.Module, optional
        Your own network, if the model was trained with one; its weights are read from the file.

    Raises
    ------
    ModelError
        If the folder has no model, a model of another format, or weights that are truncated or do not fit.
    """
    config, origin = read_description(directory)
    model = Model(config, network)
    model.experience = origin.training.get("experience")
    named = origin.training.get("named_modalities")
    model.given = None if named is None else (str(named[0]), str(named[1]))
    path = Path(directory) / WEIGHTS_NAME
    try:
        weights = load_file(path)
    except OSError as failure:
        raise ModelError(
            f"model {directory}", f"no file {WEIGHTS_NAME}", "weights", "copy the whole folder"
        ) from failure
    except SafetensorError as failure:
        raise ModelError(
            f"weights {path}", f"a broken file ({failure})", "what learngn train has written", "copy it again"
        ) from failure
    try:
        if weights.keys() != _stored(model).keys():
            raise RuntimeError("other names")
        model.load_state_dict(weights, strict=False)  # what encoders share is stored once
    except RuntimeError as failure:
        raise ModelError(
            f"weights {path}", "tensors of another architecture", f"those of {CONFIG_NAME}", "copy both files together"
        ) from failure
    return model.eval()


def _known(model: Model) -> dict[str, Any]:
    """Return what a model knows beside its weights, so that other processes know it, too."""
    named = None if model.given is None else list(model.given)
    known = {"experience": model.experience, "named_modalities": named}
    return {name: value for name, value in known.items() if value is not None}


def _stored(model: Model) -> dict[str, Tensor]:
    """Return the tensors of a model by name; those that encoders of two modalities share, once."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _first(failure: KeyError | ValidationError) -> str:
    if isinstance(failure, KeyError):
        return f"no {failure}"
    error = failure.errors()[0]
    return f"{'.'.join(map(str, error['loc']))}: {error['msg']}"
