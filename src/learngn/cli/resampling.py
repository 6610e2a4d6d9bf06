"""Options of commands that resample a scan: interpolation and background."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from learngn.cli.panels import OUTPUT

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
        metavar="KIND",
        help="nearest, linear (default) or bspline; label maps: always nearest.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]
BackgroundOption = Annotated[
    float | None,
    typer.Option(
        "--background",
        metavar="VALUE",
        help="Value outside the moving image; by default its background.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]


def name_of(interpolation: Interpolation | None) -> grid_map.Interpolation | None:
    """Return the name of an interpolation for :meth:`learngn.geometry.transform.Transform.warp`."""
    return None if interpolation is None else interpolation.value
