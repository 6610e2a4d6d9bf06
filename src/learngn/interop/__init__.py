"""Conversion of images and displacements in memory: SimpleITK, nibabel, ANTs, TorchIO, MONAI, arrays with an affine.

Each module converts the conventions of the library that it is named after, as :mod:`learngn.io` does for files. A
library is imported when one of its functions is called; only SimpleITK and nibabel are always installed.
"""

from __future__ import annotations

from learngn.interop.ants import from_ants, to_ants
from learngn.interop.anything import as_grid, as_image, is_label_map
from learngn.interop.arrays import from_array
from learngn.interop.monai import field_from_monai, field_to_monai, from_monai, to_monai
from learngn.interop.nibabel import from_nibabel, to_nibabel
from learngn.interop.simpleitk import field_to_simpleitk, from_simpleitk, to_simpleitk
from learngn.interop.torchio import from_torchio, subject_images, to_torchio
from learngn.interop.transforms import TransformLike, as_transform, transform_files
from learngn.interop.types import ImageLike

__all__ = [
    "ImageLike",
    "TransformLike",
    "as_grid",
    "as_image",
    "as_transform",
    "field_from_monai",
    "field_to_monai",
    "field_to_simpleitk",
    "from_ants",
    "from_array",
    "from_monai",
    "from_nibabel",
    "from_simpleitk",
    "from_torchio",
    "is_label_map",
    "subject_images",
    "to_ants",
    "to_monai",
    "to_nibabel",
    "to_simpleitk",
    "to_torchio",
    "transform_files",
]
