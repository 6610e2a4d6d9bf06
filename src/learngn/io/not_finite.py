"""NaN and infinity in NIfTI files: ITK reads them as zero without a word, so they are looked up in the file itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from isal import igzip
from numpy.typing import NDArray

_FLOATS = {"16": "f4", "64": "f8"}  # NIfTI-1, field `datatype`


def restore_not_finite(image: Any, path: Path, header: Any) -> Any:
    """Give an image that ITK has read from a NIfTI file the values that are not finite back.

    Parameters
    ----------
    image : SimpleITK.Image
        As read.
    path : Path
        Its file, complete.
    header : SimpleITK.ImageFileReader
        That has read the file's header.

    Returns
    -------
    SimpleITK.Image
        The image itself, unless the file has such values.
    """
    if not header.HasMetaDataKey("vox_offset") or header.GetMetaData("datatype") not in _FLOATS:
        return image
    values = _stored(path, header)
    wrong = ~np.isfinite(values)
    if not wrong.any():
        return image
    components = image.GetNumberOfComponentsPerPixel()
    array = sitk.GetArrayFromImage(image)
    # The file has the components of vectors one after the other, ITK's array side by side.
    flat = array.reshape(-1, components)
    places = wrong.reshape(components, -1).T
    flat[places] = values.reshape(components, -1).T[places]
    restored = sitk.GetImageFromArray(flat.reshape(array.shape), isVector=components > 1)
    restored.CopyInformation(image)
    for key in image.GetMetaDataKeys():
        restored.SetMetaData(key, image.GetMetaData(key))
    return restored


def _stored(path: Path, header: Any) -> NDArray[Any]:
    """Values as the file has them, flat."""
    raw = path.read_bytes()
    if path.suffix.lower() == ".gz":
        raw = igzip.decompress(raw)  # type: ignore[no-untyped-call]
    order = "<" if int.from_bytes(raw[:4], "little") == 348 else ">"  # the header's own size tells the byte order
    start = int(float(header.GetMetaData("vox_offset")))
    sizes = [max(1, int(header.GetMetaData(f"dim[{axis}]"))) for axis in range(1, 8)]
    count = int(np.prod(sizes))
    kind = np.dtype(order + _FLOATS[header.GetMetaData("datatype")])
    return np.frombuffer(raw, dtype=kind, count=count, offset=start)
