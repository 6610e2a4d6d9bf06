"""Options of commands that resample a scan: interpolation and background."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from learngn.geometry import grid_map


class Interpolation(str, Enum):
    """Methods of interpolation."""

    NEAREST = "nearest"
    LINEAR = "linear"
    BSPLINE = "bspline"


InterpolationOption = Annotated[
    Interpolation | None,
    typer.Option(
        "--interpolation",
        help="Interpolation of scans, by default linear. Label maps always use the nearest voxel.",
        show_default=False,
    ),
]
BackgroundOption = Annotated[
    float | None,
    typer.Option(
        "--background",
        help="Value outside the moving scan; by default its background: air for CT, 0 for label maps and most others.",
        show_default=False,
    ),
]


def name_of(interpolation: Interpolation | None) -> grid_map.Interpolation | None:
    """Return the name of an interpolation for :meth:`learngn.geometry.transform.Transform.warp`."""
    return None if interpolation is None else interpolation.value
