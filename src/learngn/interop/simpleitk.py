"""SimpleITK: LPS mm, arrays (k, j, i)."""

from __future__ import annotations

from typing import Any

from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.geometry.transform import DisplacementField, Transform
from learngn.io import from_sitk, to_itk, to_sitk


def from_simpleitk(image: Any, *, labels: bool = False) -> Image:
    """Convert a SimpleITK image; see :func:`learngn.io.from_sitk`."""
    return from_sitk(image, labels)


def to_simpleitk(image: Image) -> Any:
    """Convert an image to a SimpleITK image: scans float32, label maps of an integer type."""
    return to_sitk(image)


def field_to_simpleitk(transform: Transform, fixed: Grid) -> Any:
    """Convert a transform, affine included, to a ``SimpleITK.DisplacementFieldTransform`` on the fixed grid.

    :func:`learngn.io.to_itk` returns the chain part by part instead, which is also valid outside the grid.

    Parameters
    ----------
    transform : Transform
        Transform from the fixed to the moving world.
    fixed : Grid
        Grid of the fixed image.
    """
    return to_itk(DisplacementField(transform.on(fixed).displacement(), fixed))
