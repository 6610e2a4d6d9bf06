"""Options of commands that resample a scan: how values are interpolated, and what lies outside of it."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from learngn.geometry import grid_map


class Interpolation(str, Enum):
    """How values between the voxels are found."""

    NEAREST = "nearest"
    LINEAR = "linear"
    BSPLINE = "bspline"


InterpolationOption = Annotated[
    Interpolation | None,
    typer.Option(
        "--interpolation",
        help="How a scan is interpolated; linear by default. Label maps take the nearest voxel.",
        show_default=False,
    ),
]
BackgroundOption = Annotated[
    float | None,
    typer.Option(
        "--background",
        help="Value outside the moving scan; by default its own: air for CT, 0 for label maps and most others.",
        show_default=False,
    ),
]


def name_of(interpolation: Interpolation | None) -> grid_map.Interpolation | None:
    """The interpolation as :meth:`learngn.geometry.transform.Transform.warp` takes it."""
    return None if interpolation is None else interpolation.value
