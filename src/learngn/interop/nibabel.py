"""nibabel: RAS mm, arrays (i, j, k)."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from learngn.arrays import as_numpy
from learngn.errors import HeaderWarning, ImageError
from learngn.geometry.image import Image
from learngn.interop.arrays import from_array, library, one_channel
from learngn.io.geometry import volume_affine
from learngn.io.orientation import in_millimetres, length_of_unit, notes_of
from learngn.io.source import label_values


def from_nibabel(image: Any, *, labels: bool = False) -> Image:
    """Convert an image of nibabel.

    Parameters
    ----------
    image : nibabel.spatialimages.SpatialImage
        2D or 3D; further axes of length 1 are dropped. Its values are scaled as its header says, and its affine is
        converted to mm if the unit of a NIfTI header is metres or micrometres.
    labels : bool
        Whether the image is a label map.

    Raises
    ------
    ImageError
        If it has more dimensions, or colours.
    LearnGNError
        As :func:`from_array` does.

    Warns
    -----
    HeaderWarning
        As for files: see :func:`learngn.io.read_image`.
    """
    values = np.asanyarray(image.dataobj)
    if values.dtype.fields is not None:
        raise ImageError("image of nibabel", "colours", "one value a voxel", "convert it to grey")
    while values.ndim > 3 and values.shape[-1] == 1:
        values = values[..., 0]
    if image.affine is None:
        raise ImageError("image of nibabel", "no affine", "an image with its place", "give it an affine")
    affine, header = np.asarray(image.affine, dtype=np.float64), image.header
    if hasattr(header, "get_xyzt_units"):
        affine = in_millimetres(affine, length_of_unit(header))
        for note in notes_of(header):
            warnings.warn(HeaderWarning("image of nibabel", note), stacklevel=2)
    return from_array(values, affine, labels=labels)


def to_nibabel(image: Image) -> Any:
    """Convert an image, (1, 1, *S), to a ``nibabel.Nifti1Image``: scans float32, label maps of an integer type.

    Raises
    ------
    ShapeError
        If it has more than one sample or channel.
    """
    nibabel = library("nibabel")
    values = as_numpy(one_channel(image))
    array = label_values(values) if image.labels else values.astype(np.float32)
    affine = volume_affine(image.grid)
    made = nibabel.Nifti1Image(np.array(array), affine)
    # Both codes, as some programs read only the sform or only the qform.
    made.header.set_sform(affine, code="scanner")
    made.header.set_qform(affine, code="scanner")
    made.header.set_xyzt_units("mm")
    return made
