"""Surfaces of GIFTI (.gii), read and written by nibabel."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

import numpy as np
from numpy.typing import NDArray

from learngn.errors import MeshError, OutputError
from learngn.geometry.grid import FloatArray, apply_affine
from learngn.io.atomic import atomic_path

GIFTI_SUFFIX = ".gii"
_POINTS, _TRIANGLES, _NO_INTENT = "NIFTI_INTENT_POINTSET", "NIFTI_INTENT_TRIANGLE", "NIFTI_INTENT_NONE"
_OF_THE_SCAN = (1, 2)  # NIFTI_XFORM_SCANNER_ANAT and NIFTI_XFORM_ALIGNED_ANAT
_SCANNER = 1
# FreeSurfer's description of the volume from which a surface was made: no longer true of a surface that was carried.
_OF_THE_VOLUME = "VolGeom"


@dataclass(frozen=True, eq=False)
class GiftiSurface:
    """Content of a file: points [RAS mm], triangles, data at the points, and nibabel's image."""

    points: FloatArray
    triangles: NDArray[np.int64]
    point_data: dict[str, NDArray[Any]]
    image: Any


def read_gifti(path: Path) -> GiftiSurface:
    """Read a surface.

    Points are in the coordinates of the scanner (or of an aligned scan) if the file says so, else its matrix is applied
    if it leads there; otherwise they are taken as they are.

    Raises
    ------
    MeshError
        If nibabel cannot read the file, or it holds no surface.
    """
    from nibabel.filebasedimages import ImageFileError

    gifti: Any = import_module("nibabel.gifti")  # most of its functions have no types
    try:
        image = gifti.GiftiImage.from_filename(path)
    except (ImageFileError, ExpatError, ValueError, KeyError, TypeError, IndexError, OSError, EOFError) as failure:
        raise MeshError(
            f"mesh {path}", f"a file that nibabel cannot read ({type(failure).__name__}: {failure})", "GIFTI",
            "check or fetch it again",
        ) from failure  # fmt: skip
    places = image.get_arrays_from_intent(_POINTS)
    if len(places) != 1:
        raise MeshError(
            f"mesh {path}", f"{len(places) or 'no'} arrays of points", "one, of a surface (.surf.gii)",
            "name the surface: data on it (.func.gii, .shape.gii, .label.gii) need not be carried",
        )  # fmt: skip
    faces = image.get_arrays_from_intent(_TRIANGLES)
    points = _in_the_scan(np.asarray(places[0].data, dtype=np.float64), places[0].coordsys)
    triangles = np.asarray(faces[0].data, dtype=np.int64) if faces else np.zeros((0, 3), np.int64)
    data = {}
    for number, array in enumerate(image.darrays):
        values = np.asarray(array.data)
        if array is not places[0] and array not in faces and values.ndim in (1, 2) and len(values) == len(points):
            data[array.meta.get("Name") or f"data {number}"] = values
    return GiftiSurface(points, triangles, data, image)


def _in_the_scan(points: FloatArray, system: Any) -> FloatArray:
    if system is None or system.dataspace in _OF_THE_SCAN or system.xformspace not in _OF_THE_SCAN:
        return points
    return apply_affine(np.asarray(system.xform, dtype=np.float64), points)


def lost_in_gifti(source: Any, point_data: Mapping[str, NDArray[Any]]) -> tuple[str, ...]:
    """Return what GIFTI does not hold of a mesh that another library has read."""
    if not hasattr(source, "IsA"):
        return ()
    gone = [name for name, values in point_data.items() if np.asarray(values).dtype.kind not in "iuf"]
    cells = source.GetCellData()
    gone += [cells.GetArrayName(n) or "?" for n in range(cells.GetNumberOfArrays())]
    found = [f"the data {', '.join(gone)}"] if gone else []
    if source.GetPointData().GetNormals() is not None:
        found.append("normals")
    if source.IsA("vtkPolyData") and source.GetNumberOfLines() + source.GetNumberOfVerts():
        found.append("lines and single points")
    return tuple(found)


def write_gifti(
    points: FloatArray,
    triangles: NDArray[np.int64],
    point_data: Mapping[str, NDArray[Any]],
    source: Any,
    path: Path,
) -> None:
    """Write a surface in the scanner's coordinates, atomically.

    Parameters
    ----------
    points : array, shape (M, 3) [RAS mm]
    triangles : array, shape (T, 3)
    point_data : mapping of str to array, shape (M,) or (M, C)
        Written if there is no `source`, which has its own.
    source : GiftiImage or None
        Image whose other arrays, labels and metadata are kept.
    path : Path

    Raises
    ------
    OutputError
        If there are no triangles, or the file cannot be written.
    """
    gifti: Any = import_module("nibabel.gifti")
    if not len(triangles):
        raise OutputError(f"output {path}", "a mesh without faces", "a surface", "write .vtp instead")
    system = gifti.GiftiCoordSystem(_SCANNER, _SCANNER, np.eye(4))
    image = copy.deepcopy(source) if source is not None else gifti.GiftiImage()
    if source is None:
        image.add_gifti_data_array(gifti.GiftiDataArray(points.astype(np.float32), _POINTS, "NIFTI_TYPE_FLOAT32"))
        image.add_gifti_data_array(gifti.GiftiDataArray(triangles.astype(np.int32), _TRIANGLES, "NIFTI_TYPE_INT32"))
        for name, values in point_data.items():
            kind = np.dtype(np.int32 if np.asarray(values).dtype.kind in "iu" else np.float32)
            array = gifti.GiftiDataArray(np.asarray(values).astype(kind), _NO_INTENT, f"NIFTI_TYPE_{kind.name.upper()}")
            array.meta = gifti.GiftiMetaData({"Name": name})
            image.add_gifti_data_array(array)
    (place,) = image.get_arrays_from_intent(_POINTS)
    place.data, place.coordsys = points.astype(np.float32), system
    place.meta = gifti.GiftiMetaData(
        {key: value for key, value in place.meta.items() if not key.startswith(_OF_THE_VOLUME)}
    )
    for array in image.get_arrays_from_intent(_TRIANGLES):
        array.data = triangles.astype(np.int32)
    with atomic_path(path) as temporary:
        image.to_filename(temporary)
