"""Surfaces and other meshes, as points in the world: formats of VTK, STL, PLY, OBJ and GIFTI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from learngn.errors import MeshError, OutputError
from learngn.geometry.carrying import Carried
from learngn.geometry.grid import FloatArray
from learngn.io import vtk_arrays, vtk_files
from learngn.io.files import check_exists, check_name
from learngn.io.gifti_files import GIFTI_SUFFIX, lost_in_gifti, read_gifti, write_gifti
from learngn.io.itk import lps
from learngn.io.point_set import PointSet, World, checked_points

MESH_SUFFIXES = (*vtk_files.VTK_SUFFIXES, GIFTI_SUFFIX)
_MIRROR_PROBE = 1000  # points, about, at which a mesh without normals asks whether a transform mirrors
_DEFAULT: World = "lps"  # of files that do not say, as in 3D Slicer


@dataclass(frozen=True, eq=False)
class Mesh(PointSet):
    """Mesh in the world: points, and the faces between them.

    Parameters
    ----------
    points : array, shape (M, 3) [RAS mm]
    triangles : array, shape (T, 3), int
        Numbers of the three points of each face, counter-clockwise from outside. Polygons of a file are cut into
        triangles here; in files they stay what they are.
    normals : array, shape (M, 3), optional
        Normals at the points [RAS].
    point_data : mapping of str to array, shape (M,) or (M, C)
        Values at the points, such as thickness. They are kept as they are: vectors among them are not turned.
    world : {"lps", "ras"}
        Coordinates in which a file is written, unless its format has its own.
    source : object, optional
        What the file's library has read: cells of all kinds and their data, which are written again.
    mirrored : bool
        Whether the faces of `source` have the opposite winding of `triangles`, after a transform that mirrors.
    """

    kind: ClassVar[str] = "mesh"

    points: FloatArray
    triangles: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 3), np.int64))
    normals: FloatArray | None = None
    point_data: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    world: World = _DEFAULT
    source: Any = None
    mirrored: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "points", checked_points(self.points, "mesh", MeshError))
        triangles = np.asarray(self.triangles, dtype=np.int64)
        if triangles.ndim != 2 or triangles.shape[1] != 3:
            raise MeshError("mesh", f"triangles of shape {triangles.shape}", "(T, 3)", "pass a row for each")
        if triangles.size and not 0 <= triangles.min() <= triangles.max() < len(self.points):
            got = f"points {triangles.min()} to {triangles.max()} in its triangles"
            raise MeshError("mesh", got, f"0 to {len(self.points) - 1}", "check the triangles")
        object.__setattr__(self, "triangles", triangles)
        lengths = {name: len(values) for name, values in self.point_data.items()}
        if self.normals is not None:
            lengths["normals"] = len(self.normals)
        for name, length in lengths.items():
            if length != len(self.points):
                raise MeshError("mesh", f"{length} values of {name}", f"{len(self.points)}, one a point", "check them")

    def __repr__(self) -> str:
        return f"Mesh({len(self.points)} points, {len(self.triangles)} triangles)"

    def carried(self, carried: Carried) -> Mesh:
        """See :meth:`PointSet.carried`; where the transform mirrors, faces get the opposite winding."""
        every = 1 if self.normals is not None else max(1, len(self.points) // _MIRROR_PROBE)
        jacobian = carried.jacobian(every)
        # A fold changes the sign at some points; a map that mirrors does at most of them.
        mirrors = float(np.median(np.linalg.det(jacobian))) < 0
        normals = self.normals
        if normals is not None:
            turned = np.einsum("mba,mb->ma", np.linalg.pinv(jacobian), normals)  # by the inverse's transpose
            normals = turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-12)
        return replace(
            self,
            points=carried.points,
            triangles=self.triangles[:, ::-1] if mirrors else self.triangles,
            normals=normals,
            mirrored=self.mirrored != mirrors,
        )

    def lost_in(self, path: Path) -> tuple[str, ...]:
        """See :meth:`PointSet.lost_in`."""
        suffix = path.suffix.lower()
        if suffix == GIFTI_SUFFIX:
            return lost_in_gifti(self.source, self.point_data)
        if _is_vtk(self.source):
            return vtk_arrays.lost(self.source, suffix)
        return (
            (f"the data {', '.join(self.point_data)}",) if suffix in vtk_arrays.FACES_ALONE and self.point_data else ()
        )


def _is_vtk(source: Any) -> bool:
    return hasattr(source, "IsA")


def read_mesh(path: str | Path, *, world: World | None = None) -> Mesh:
    """Read a mesh.

    Parameters
    ----------
    path : Path
        - ``.vtk``, ``.vtp``, ``.vtu``, ``.stl``, ``.ply`` or ``.obj``, with the extra ``[shapes]``. Their coordinates
          are those that the file names in the way of 3D Slicer (``SPACE=RAS`` in the header or a comment), else
          `world`.
        - ``.gii`` of GIFTI: a surface, in RAS mm; a transform of the file to the scanner's coordinates is applied.
    world : {"lps", "ras"}, optional
        Coordinates of a file that names none, by default LPS, as in 3D Slicer.

    Returns
    -------
    Mesh

    Raises
    ------
    MeshError
        If the file cannot be read, has no points, or names other coordinates than `world`.
    MissingPackageError
        Without the extra ``[shapes]``; GIFTI does not need it.
    """
    path = Path(path)
    what, suffix = f"mesh {path}", path.suffix.lower()
    if suffix not in MESH_SUFFIXES:
        raise MeshError(what, f"the suffix {suffix!r}", f"one of {', '.join(MESH_SUFFIXES)}", "name a mesh")
    check_exists(path, "mesh", MeshError)
    if path.is_dir():
        raise MeshError(what, "a folder", "a file", "name the file itself")
    if suffix == GIFTI_SUFFIX:
        _check_world(what, "ras", world)
        surface = read_gifti(path)
        points = checked_points(surface.points, what, MeshError)
        return Mesh(points, surface.triangles, None, surface.point_data, _DEFAULT, surface.image)
    dataset, named = vtk_files.read_vtk(path)
    _check_world(what, named, world)
    points = checked_points(vtk_arrays.points_of(dataset), what, MeshError)
    normals, triangles = vtk_arrays.normals_of(dataset), vtk_arrays.triangles_of(dataset)
    used = named or world or _DEFAULT
    if used == "lps":
        points = points @ lps(3)
        normals = None if normals is None else normals @ lps(3)
    return Mesh(points, triangles, normals, vtk_arrays.point_data_of(dataset), used, dataset)


def write_mesh(mesh: Mesh, path: str | Path) -> None:
    """Write a mesh, atomically, in the format that the suffix names.

    Parameters
    ----------
    mesh : Mesh
    path : Path
        Suffixes as in :func:`read_mesh`; :meth:`Mesh.lost_in` tells what the format would not hold. VTK's formats, STL,
        PLY and OBJ are written in the coordinates :attr:`Mesh.world`, and say so in the way of 3D Slicer. GIFTI is
        written in the scanner's RAS coordinates.

    Raises
    ------
    OutputError
        If the format cannot hold the mesh, or the file cannot be written.
    MissingPackageError
        Without the extra ``[shapes]``; GIFTI does not need it.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    check_name(path, "output", OutputError)
    if suffix not in MESH_SUFFIXES:
        raise OutputError(f"output {path}", f"the suffix {suffix!r}", f"one of {', '.join(MESH_SUFFIXES)}", "rename it")
    if suffix == GIFTI_SUFFIX:
        write_gifti(mesh.points, mesh.triangles, mesh.point_data, None if _is_vtk(mesh.source) else mesh.source, path)
        return
    vtk_files.require_vtk(f"output {path}")
    flip = lps(3) if mesh.world == "lps" else np.eye(3)
    points, normals = mesh.points @ flip + 0.0, None if mesh.normals is None else mesh.normals @ flip + 0.0
    if _is_vtk(mesh.source):
        dataset = vtk_arrays.replaced(mesh.source, points, normals, mesh.point_data, reverse=mesh.mirrored)
    else:
        dataset = vtk_arrays.dataset_of(points, mesh.triangles, mesh.point_data, normals)
    vtk_files.write_vtk(dataset, path, mesh.world)


def _check_world(what: str, named: World | None, given: World | None) -> None:
    if named is not None and given is not None and named != given:
        raise MeshError(what, f"a file in {named.upper()}", f"{given.upper()}, as asked for", "leave the option out")
