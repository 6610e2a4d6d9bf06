"""Conversion of any supported transform: files, matrices, transforms of SimpleITK, and chains of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from learngn.errors import TransformError
from learngn.geometry.grid import Grid
from learngn.geometry.transform import Affine, Composite, Transform
from learngn.io import from_itk, read_named_transform, split_format


class SimpleITKTransform(Protocol):
    """A ``SimpleITK.Transform``."""

    def GetDimension(self) -> Any: ...  # noqa: D102
    def TransformPoint(self, point: Any) -> Any: ...  # noqa: D102


TransformLike: TypeAlias = str | Path | Transform | NDArray[np.floating[Any]] | SimpleITKTransform
"""Transforms that functions take: a path, ``"FORMAT:FILE"``, a :class:`~learngn.geometry.transform.Transform`, a
homogeneous matrix in RAS mm, or a transform of SimpleITK; see :func:`~learngn.interop.as_transform`."""


def as_transform(
    source: TransformLike | Sequence[TransformLike], *, fixed: Grid | None = None, moving: Grid | None = None
) -> Transform:
    """Convert a path or a transform of another library, from the fixed to the moving world.

    Parameters
    ----------
    source : TransformLike or sequence of these
        A path, or ``"FORMAT:FILE"`` for formats that a file does not tell (:func:`learngn.io.read_transform`); a
        :class:`Transform`; a homogeneous matrix, shape (D+1, D+1), fixed RAS mm to moving RAS mm; a transform of
        SimpleITK. Several are applied to points of the fixed image in the given order.
    fixed, moving : Grid, optional
        Grids of the images, for formats that need them.

    Raises
    ------
    TransformError
        If the source has another type, cannot be read, or is no transform.
    """
    if isinstance(source, Transform):
        return source
    if isinstance(source, str | Path):
        return read_named_transform(source, fixed=fixed, moving=moving)
    if isinstance(source, np.ndarray):
        return Affine(np.asarray(source, dtype=np.float64))
    if hasattr(source, "TransformPoint"):
        return from_itk(source, fixed)
    if isinstance(source, Sequence) and source:
        return Composite(tuple(as_transform(part, fixed=fixed, moving=moving) for part in source))
    raise TransformError(
        "transform",
        f"a {type(source).__module__}.{type(source).__name__}",
        "a path, a Transform, a matrix, a transform of SimpleITK, or a sequence of these",
        "convert it to one of these",
    )


def transform_files(source: TransformLike | Sequence[TransformLike]) -> tuple[Path, ...]:
    """Return the files of a transform, in order."""
    if isinstance(source, str | Path):
        return (split_format(source)[1],)
    if isinstance(source, Sequence):
        return tuple(path for part in source for path in transform_files(part))
    return ()
