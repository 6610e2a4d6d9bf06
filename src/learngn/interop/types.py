"""Types of the images that functions take, described by what they have, as the libraries are optional."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, TypeAlias

from numpy.typing import ArrayLike

from learngn.arrays import Array
from learngn.geometry.image import Image


class SimpleITKImage(Protocol):
    """A ``SimpleITK.Image``."""

    def GetSpacing(self) -> Any: ...  # noqa: D102
    def GetOrigin(self) -> Any: ...  # noqa: D102
    def GetDirection(self) -> Any: ...  # noqa: D102


class NibabelImage(Protocol):
    """A ``nibabel.spatialimages.SpatialImage``, such as ``Nifti1Image``."""

    @property
    def dataobj(self) -> Any: ...  # noqa: D102
    @property
    def affine(self) -> Any: ...  # noqa: D102
    @property
    def header(self) -> Any: ...  # noqa: D102


class ANTsImage(Protocol):
    """An ``ants.ANTsImage``."""

    @property
    def spacing(self) -> Any: ...  # noqa: D102
    @property
    def origin(self) -> Any: ...  # noqa: D102
    @property
    def direction(self) -> Any: ...  # noqa: D102
    def numpy(self) -> Any: ...  # noqa: D102


class TorchIOImage(Protocol):
    """A ``torchio.ScalarImage`` or ``torchio.LabelMap``."""

    @property
    def data(self) -> Any: ...  # noqa: D102
    @property
    def affine(self) -> Any: ...  # noqa: D102
    @property
    def spatial_shape(self) -> Any: ...  # noqa: D102


class MetaTensor(Protocol):
    """A ``monai.data.MetaTensor``."""

    @property
    def meta(self) -> Any: ...  # noqa: D102
    @property
    def affine(self) -> Any: ...  # noqa: D102
    def as_tensor(self) -> Any: ...  # noqa: D102


ImageLike: TypeAlias = (
    str
    | Path
    | Image
    | tuple[ArrayLike | Array, ArrayLike]
    | SimpleITKImage
    | NibabelImage
    | ANTsImage
    | TorchIOImage
    | MetaTensor
)
"""Images that functions take: a path, an :class:`~learngn.Image`, an image of SimpleITK, nibabel, ANTs, TorchIO or
MONAI, or ``(array, affine)``; see :func:`~learngn.interop.as_image`."""
