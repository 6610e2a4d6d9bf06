"""Datasets of VTK and arrays: points, normals, faces and data, as stored, without a change of coordinates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learngn.errors import MeshError, OutputError
from learngn.geometry.grid import FloatArray

FACES_ALONE = (".stl", ".ply", ".obj")  # formats that hold faces, but no data of cells


def points_of(dataset: Any) -> FloatArray:
    """Return the points of a dataset, in the coordinates of the file, shape (M, 3)."""
    from vtkmodules.util.numpy_support import vtk_to_numpy

    points = dataset.GetPoints()
    return np.zeros((0, 3)) if points is None else np.array(vtk_to_numpy(points.GetData()), dtype=np.float64)


def normals_of(dataset: Any) -> FloatArray | None:
    """Return the normals at the points, in the coordinates of the file, shape (M, 3)."""
    from vtkmodules.util.numpy_support import vtk_to_numpy

    normals = dataset.GetPointData().GetNormals()
    return None if normals is None else np.array(vtk_to_numpy(normals), dtype=np.float64)


def triangles_of(dataset: Any) -> NDArray[np.int64]:
    """Return the faces as triangles, shape (T, 3); polygons and strips are cut into triangles."""
    if not dataset.IsA("vtkPolyData"):
        return np.zeros((0, 3), np.int64)
    from vtkmodules.util.numpy_support import vtk_to_numpy

    cells = triangulated(dataset).GetPolys()
    return np.array(vtk_to_numpy(cells.GetConnectivityArray()), dtype=np.int64).reshape(-1, 3)


def point_data_of(dataset: Any) -> dict[str, NDArray[Any]]:
    """Return the named arrays of numbers at the points, without the normals, each of shape (M,) or (M, C)."""
    from vtkmodules.util.numpy_support import vtk_to_numpy

    data, found = dataset.GetPointData(), {}
    for number in range(data.GetNumberOfArrays()):
        array = data.GetArray(number)  # None for text
        if array is not None and array.GetName() and array is not data.GetNormals():
            found[array.GetName()] = np.array(vtk_to_numpy(array))
    return found


def dataset_of(
    points: FloatArray, triangles: NDArray[np.int64], point_data: Mapping[str, NDArray[Any]], normals: FloatArray | None
) -> Any:
    """Make polygons of arrays; raise :class:`OutputError` for data that VTK does not have."""
    from vtkmodules.util.numpy_support import numpy_to_vtkIdTypeArray
    from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData

    dataset, cells = vtkPolyData(), vtkCellArray()
    _set_points(dataset, points, points.dtype)
    offsets = np.arange(0, 3 * len(triangles) + 1, 3, dtype=np.int64)
    connectivity = np.ascontiguousarray(triangles, dtype=np.int64).ravel()
    cells.SetData(numpy_to_vtkIdTypeArray(offsets, deep=1), numpy_to_vtkIdTypeArray(connectivity, deep=1))
    dataset.SetPolys(cells)
    _set_data(dataset, point_data)
    if normals is not None:
        _set_normals(dataset, normals)
    return dataset


def _set_points(dataset: Any, points: FloatArray, dtype: Any) -> None:
    from vtkmodules.util.numpy_support import numpy_to_vtk
    from vtkmodules.vtkCommonCore import vtkPoints

    holder = vtkPoints()
    holder.SetData(numpy_to_vtk(np.ascontiguousarray(points, dtype=dtype), deep=1))
    dataset.SetPoints(holder)


def _set_data(dataset: Any, point_data: Mapping[str, NDArray[Any]]) -> None:
    """Make these the arrays of numbers at the points, in place of those of the dataset that have other values."""
    from vtkmodules.util.numpy_support import numpy_to_vtk

    data, old = dataset.GetPointData(), point_data_of(dataset)
    for name in set(old) - set(point_data):
        data.RemoveArray(name)
    for name, values in point_data.items():
        if np.asarray(values).dtype.kind not in "iuf":
            raise OutputError("mesh", f"data {name!r} of type {np.asarray(values).dtype}", "numbers", "leave it out")
        if name in old and np.array_equal(old[name], values, equal_nan=np.asarray(values).dtype.kind == "f"):
            continue  # attributes, such as the colours shown, stay
        array = numpy_to_vtk(np.ascontiguousarray(values), deep=1)
        array.SetName(name)
        data.AddArray(array)


def _set_normals(dataset: Any, normals: FloatArray) -> None:
    """Replace the normals at the points, under the name that they had."""
    from vtkmodules.util.numpy_support import numpy_to_vtk

    data = dataset.GetPointData()
    array = numpy_to_vtk(np.ascontiguousarray(normals, dtype=np.float32), deep=1)
    array.SetName(data.GetNormals().GetName() or "Normals" if data.GetNormals() is not None else "Normals")
    data.SetNormals(array)


def replaced(
    dataset: Any,
    points: FloatArray,
    normals: FloatArray | None,
    point_data: Mapping[str, NDArray[Any]],
    *,
    reverse: bool,
) -> Any:
    """Return a copy of a dataset with other points, normals and data at the points, all else shared.

    Normals of cells are left out: they follow from the points. With `reverse` the faces have the opposite winding.
    """
    from vtkmodules.util.numpy_support import vtk_to_numpy

    copy = dataset.NewInstance()
    copy.ShallowCopy(dataset)
    stored = vtk_to_numpy(dataset.GetPoints().GetData()).dtype
    _set_points(copy, points, np.float32 if stored == np.float32 else np.float64)
    if normals is not None:
        _set_normals(copy, normals)
    _set_data(copy, point_data)
    old = copy.GetCellData().GetNormals()
    if old is not None:
        copy.GetCellData().RemoveArray(old.GetName())
    if not reverse:
        return copy
    if not copy.IsA("vtkPolyData"):
        raise MeshError(
            "mesh", "a transform that mirrors", "one that does not, for an unstructured grid", "write its surface first"
        )
    from vtkmodules.vtkFiltersCore import vtkReverseSense

    reverser = vtkReverseSense()
    reverser.ReverseCellsOn()
    reverser.ReverseNormalsOff()
    reverser.SetInputData(copy)
    reverser.Update()
    return reverser.GetOutput()


def lost(dataset: Any, suffix: str) -> tuple[str, ...]:
    """Return what a format does not hold of a dataset, in the user's terms."""
    if suffix not in FACES_ALONE:
        return ()
    kept = colours_of(dataset) if suffix == ".ply" else None
    data = [name for name in point_data_of(dataset) if name != kept]
    cells = dataset.GetCellData()
    data += [cells.GetArrayName(n) or "?" for n in range(cells.GetNumberOfArrays())]
    gone = [f"the data {', '.join(data)}"] if data else []
    if dataset.IsA("vtkPolyData") and suffix != ".obj" and dataset.GetNumberOfLines() + dataset.GetNumberOfVerts():
        gone.append("lines and single points")
    return tuple(gone)


def triangulated(dataset: Any) -> Any:
    """Return a surface whose polygons and strips are cut into triangles, without lines and single points."""
    from vtkmodules.vtkFiltersCore import vtkTriangleFilter

    cutter = vtkTriangleFilter()
    cutter.PassVertsOff()
    cutter.PassLinesOff()
    cutter.SetInputData(dataset)
    cutter.Update()
    return cutter.GetOutput()


def colours_of(dataset: Any) -> str | None:
    """Return the name of the first array of colours at the points, the only data that PLY of VTK holds."""
    for name, values in point_data_of(dataset).items():
        if values.dtype == np.uint8 and values.ndim == 2 and values.shape[1] in (3, 4):
            return name
    return None
