"""Configuration files of a training, in TOML or JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from learngn.errors import SettingsError
from learngn.io import read_values
from learngn.learning.config import TrainingConfig


def read_config(
    path: str | Path | None = None, *, defaults: Mapping[str, Any] | None = None, **given: Any
) -> TrainingConfig:
    """Read a configuration.

    Parameters
    ----------
    path : Path, optional
        ``.toml`` or ``.json`` file; without it every key has its default.
    defaults : dict, optional
        Values of keys that are neither in the file nor in `given`.
    **given
        Values that replace those of the file, unless they are None.

    Raises
    ------
    SettingsError
        If the file cannot be read, or a key is unknown or its value out of range.
    """
    values = {} if path is None else read_values(Path(path), "training configuration", SettingsError)
    values = _merged(defaults or {}, values)
    values |= {key: value for key, value in given.items() if value is not None}
    where = "training configuration" if path is None else f"training configuration {path}"
    try:
        return TrainingConfig.model_validate(values)
    except ValidationError as failure:
        error = failure.errors()[0]
        key = ".".join(map(str, error["loc"]))
        if error["type"] == "extra_forbidden":
            raise SettingsError(where, f"the unknown key {key}", "keys of docs/training.md", "correct it") from None
        got = "nothing" if error["type"] == "missing" else repr(error["input"])
        raise SettingsError(where, f"{key}: {got}", error["msg"], "correct it") from None


def _merged(defaults: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return defaults replaced by values, table by table; a table that is null stays null."""
    merged = {**defaults, **values}
    for key, default in defaults.items():
        if isinstance(default, Mapping) and isinstance(values.get(key), Mapping):
            merged[key] = _merged(default, values[key])
    return merged
