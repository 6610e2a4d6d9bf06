"""Settings as JSON files."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter

from learngn.errors import SettingsError
from learngn.io import parse_json, write_json
from learngn.settings.settings import Settings


def read_settings(path: str | Path) -> Settings:
    """Read settings that :func:`write_settings`, or ``learngn tune``, has written.

    Raises
    ------
    SettingsError
        If the file is no such JSON, has an unknown key, or a value is out of range.
    """
    try:
        values = parse_json(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as failure:
        got = failure.strerror or str(failure) if isinstance(failure, OSError) else str(failure)
        raise SettingsError(
            f"settings {path}", got, "a JSON file of settings", "check the path, or write it anew"
        ) from None
    if not isinstance(values, dict):
        raise SettingsError(f"settings {path}", type(values).__name__, "an object", "write it anew")
    try:
        return TypeAdapter(Settings).validate_python(values)
    except SettingsError as refused:
        raise SettingsError(f"settings {path}, {refused.what}", refused.got, refused.expected, "correct it") from None


def write_settings(settings: Settings, path: str | Path) -> None:
    """Write settings as JSON; the file appears whole or not at all."""
    write_json(settings.as_dict(), Path(path))
