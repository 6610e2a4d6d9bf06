"""Reading and writing settings as JSON files."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter

from learngn.errors import SettingsError
from learngn.io import parse_json, write_json
from learngn.settings.settings import Settings


def read_settings(path: str | Path) -> Settings:
    """Read settings written by :func:`write_settings` or ``learngn tune``.

    Raises
    ------
    SettingsError
        If the file is not such a JSON file, has an unknown key, or a value is out of range.
    """
    try:
        values = parse_json(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as failure:
        got = failure.strerror or str(failure) if isinstance(failure, OSError) else str(failure)
        raise SettingsError(
            f"settings {path}", got, "a JSON file of settings", "check the path, or write the file again"
        ) from None
    if not isinstance(values, dict):
        raise SettingsError(f"settings {path}", type(values).__name__, "an object", "write the file again")
    try:
        return TypeAdapter(Settings).validate_python(values)
    except SettingsError as error:
        raise SettingsError(f"settings {path}, {error.what}", error.got, error.expected, "correct it") from None


def write_settings(settings: Settings, path: str | Path) -> None:
    """Write settings as JSON, atomically: the complete file or none."""
    write_json(settings.as_dict(), Path(path))
