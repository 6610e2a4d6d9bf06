"""LearnGN: deformable registration of medical scans by differentiable Gauss-Newton optimisation."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from learngn._version import __version__
from learngn.errors import LearnGNError

if TYPE_CHECKING:
    from learngn.geometry.grid import Grid
    from learngn.geometry.image import Image
    from learngn.geometry.transform import Affine, Composite, DisplacementField, Transform
    from learngn.registration import Registration, register
    from learngn.settings import Settings

# Messages go to the handlers of the program that uses the package, or nowhere.
logging.getLogger(__name__).addHandler(logging.NullHandler())

# What needs NumPy or torch is imported when first used: `import learngn` and `learngn --help` stay fast.
_LAZY = {
    "Affine": "learngn.geometry.transform",
    "Composite": "learngn.geometry.transform",
    "DisplacementField": "learngn.geometry.transform",
    "Grid": "learngn.geometry.grid",
    "Image": "learngn.geometry.image",
    "Registration": "learngn.registration",
    "Settings": "learngn.settings",
    "Transform": "learngn.geometry.transform",
    "register": "learngn.registration",
}

__all__ = [
    "Affine",
    "Composite",
    "DisplacementField",
    "Grid",
    "Image",
    "LearnGNError",
    "Registration",
    "Settings",
    "Transform",
    "__version__",
    "register",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
