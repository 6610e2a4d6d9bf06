"""Settings for the frames of a series: one patient, one scanner, one modality, on one grid."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, TypeAlias

from learngn.errors import SettingsError
from learngn.geometry.grid import Grid
from learngn.registration import Request
from learngn.settings import Settings
from learngn.settings.levels import fitted

TransformKind: TypeAlias = Literal["deformable", "affine", "similarity", "rigid", "translation"]
DEFORMABLE: TransformKind = "deformable"
TRANSFORMS: tuple[TransformKind, ...] = ("deformable", "affine", "similarity", "rigid", "translation")

# Frames show the same intensities; directions of edges help where these fade, as in ultrasound. Symmetric, so that
# labels and points are carried by exact inverses. docs/results.md lists the measurements.
SERIES = Settings(
    "intensity,ngf:0.05",
    affine="none",
    strides=(16, 8, 4, 2),
    iterations=(16, 16, 16, 16),
    lam=(0.4, 0.04),
    symmetric=True,
)
# Of these a request replaces what it names, also if it names other features.
_ALWAYS: dict[str, Any] = {"affine": "none", "symmetric": True, "discrete": False}


def series_request(request: Request | None, grid: Grid) -> Request:
    """Return the request for a frame and the reference: what is asked for, and else what suits a series.

    Parameters
    ----------
    request : Request, optional
        Without features, preset and settings it changes :data:`SERIES`, whose levels are adapted to the grid.
    grid : Grid
        Grid of the frames.

    Raises
    ------
    SettingsError
        If the features compare label maps.
    """
    request = request or Request()
    if request.label_maps():
        raise SettingsError(
            "features", str(request.as_dict()["features"]), "features of scans", "name others, intensity for example"
        )
    if request.settings is not None or request.preset is not None:
        return request
    if request.features is not None:
        return replace(request, changes={**_ALWAYS, **request.changes})
    changes = dict(request.changes)
    settings = SERIES
    if "strides" not in changes:  # requested levels are kept
        if len(changes.get("iterations", ())) == len(settings.strides):  # they refer to the whole schedule
            settings = replace(settings, iterations=changes.pop("iterations"))
        settings = fitted(settings, grid)
    return replace(request, settings=settings, changes=changes)


def check_transform(kind: str) -> TransformKind:
    """Return the kind of a transform.

    Raises
    ------
    SettingsError
        If it is unknown.
    """
    for known in TRANSFORMS:
        if kind == known:
            return known
    raise SettingsError("transform", repr(kind), f"one of {', '.join(TRANSFORMS)}", "name one of these")
