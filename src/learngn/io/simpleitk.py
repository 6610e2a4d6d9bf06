"""SimpleITK, imported when it is first used: to read and write NIfTI takes none of it, and little time."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class _Deferred:
    """Module that is imported when one of its attributes is first asked for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self._name), attribute)


sitk: Any = _Deferred("SimpleITK")
