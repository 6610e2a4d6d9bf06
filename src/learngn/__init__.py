"""LearnGN: deformable registration of medical scans by differentiable Gauss-Newton optimisation."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from learngn._version import __version__
from learngn.errors import LearnGNError

if TYPE_CHECKING:
    # isort: off
    from learngn import (
        arrays as arrays,
        atlas as atlas,
        clock as clock,
        cohort as cohort,
        errors as errors,
        evaluation as evaluation,
        features as features,
        geometry as geometry,
        interop as interop,
        io as io,
        kernels as kernels,
        learning as learning,
        linearise as linearise,
        longitudinal as longitudinal,
        memory as memory,
        model as model,
        optimise as optimise,
        phantom as phantom,
        quality as quality,
        radiotherapy as radiotherapy,
        registration as registration,
        regularise as regularise,
        report as report,
        results as results,
        series as series,
        settings as settings,
        solve as solve,
        testing as testing,
        threads as threads,
        uncertainty as uncertainty,
        workflow as workflow,
    )

    # isort: on
    from learngn.geometry.grid import Grid
    from learngn.geometry.image import Image
    from learngn.geometry.transform import Affine, Composite, DisplacementField, Transform
    from learngn.io import read_image, read_transform
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
    "read_image": "learngn.io",
    "read_transform": "learngn.io",
    "register": "learngn.registration",
}
# Packages that are imported when first used, too: `learngn.io.read_grid` needs no further import.
_PACKAGES = (
    "arrays", "atlas", "clock", "cohort", "errors", "evaluation", "features", "geometry", "interop", "io", "kernels",
    "learning", "linearise", "longitudinal", "memory", "model", "optimise", "phantom", "quality", "radiotherapy",
    "registration", "regularise", "report", "results", "series", "settings", "solve", "testing", "threads",
    "uncertainty", "workflow",
)  # fmt: skip

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
    "read_image",
    "read_transform",
    "register",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    if name in _PACKAGES:
        return import_module(f"learngn.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_PACKAGES})
