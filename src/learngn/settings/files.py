"""Settings as files: JSON or TOML for reading, JSON for writing."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter

from learngn.errors import SettingsError
from learngn.io import read_values, write_json
from learngn.settings.settings import Settings


def read_settings(path: str | Path) -> Settings:
    """Read settings written by :func:`write_settings` or ``learngn tune``, or a TOML file with the same keys.

    Raises
    ------
    SettingsError
        If the file is neither JSON nor TOML (by its suffix ``.toml``), has an unknown key, or a value is out of range.
    """
    values = read_values(Path(path), "settings", SettingsError)
    try:
        return TypeAdapter(Settings).validate_python(values)
    except SettingsError as error:
        raise SettingsError(f"settings {path}, {error.what}", error.got, error.expected, "correct it") from None


def write_settings(settings: Settings, path: str | Path) -> None:
    """Write settings as JSON, atomically: the complete file or none."""
    write_json(settings.as_dict(), Path(path))
