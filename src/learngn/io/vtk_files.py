"""Meshes of VTK, in all its formats; the dataset that was read is kept, so that what it holds is written again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from learngn.errors import MeshError, OutputError, require_packages
from learngn.io.atomic import atomic_path
from learngn.io.mesh_sizes import check_complete
from learngn.io.point_set import World
from learngn.io.vtk_arrays import FACES_ALONE, colours_of, triangulated

VTK_SUFFIXES = (".vtk", ".vtp", ".vtu", ".stl", ".ply", ".obj")
_SPACE = "SPACE"  # as in NRRD; 3D Slicer reads and writes it in headers, comments and field data
_LEGACY = 42  # version of .vtk which VTK older than 9 and most other programs read


def require_vtk(what: str) -> None:
    """Raise :class:`MissingPackageError` if the package vtk is not installed."""
    require_packages(what, "shapes", "vtkmodules")


def read_vtk(path: Path) -> tuple[Any, World | None]:
    """Read a file.

    Returns
    -------
    dataset : vtkPolyData or vtkUnstructuredGrid
    world : {"lps", "ras"} or None
        What the file says of its coordinates, in the way of 3D Slicer.

    Raises
    ------
    MeshError
        If VTK cannot read it, or it holds an image.
    MissingPackageError
        Without the package vtk.
    """
    require_vtk(f"mesh {path}")
    check_complete(path)
    reader = _reader(path)
    reader.SetFileName(str(path))
    with _errors_of(reader) as errors:
        reader.Update()
        dataset = reader.GetOutput()
    if errors or dataset is None:
        got = f"a file that VTK cannot read ('{errors[0] if errors else 'no dataset'}')"
        raise MeshError(f"mesh {path}", got, f"a complete {path.suffix.lower()} file", "check or fetch it again")
    if not (dataset.IsA("vtkPolyData") or dataset.IsA("vtkUnstructuredGrid")):
        raise MeshError(
            f"mesh {path}", f"a {dataset.GetClassName()}", "polygons or an unstructured grid",
            "save an image as .nii.gz, and a grid of points as an unstructured one",
        )  # fmt: skip
    return dataset, _world(reader, dataset)


def _reader(path: Path) -> Any:
    from vtkmodules import vtkIOGeometry, vtkIOLegacy, vtkIOPLY, vtkIOXML

    suffix = path.suffix.lower()
    if suffix != ".vtk":
        return {
            ".vtp": vtkIOXML.vtkXMLPolyDataReader,
            ".vtu": vtkIOXML.vtkXMLUnstructuredGridReader,
            ".stl": vtkIOGeometry.vtkSTLReader,
            ".ply": vtkIOPLY.vtkPLYReader,
            ".obj": vtkIOGeometry.vtkOBJReader,
        }[suffix]()
    reader = vtkIOLegacy.vtkDataSetReader()
    for kind in ("Scalars", "Vectors", "Normals", "Tensors", "ColorScalars", "TCoords", "Fields"):
        getattr(reader, f"ReadAll{kind}On")()  # by default the first of each alone
    return reader


def _world(reader: Any, dataset: Any) -> World | None:
    texts: list[str] = []
    if hasattr(reader, "GetHeader"):
        texts.append(reader.GetHeader() or "")
    if hasattr(reader, "GetComment"):
        texts.append(reader.GetComment() or "")
    if hasattr(reader, "GetComments"):
        comments = reader.GetComments()
        texts += [comments.GetValue(n) for n in range(comments.GetNumberOfValues())]
    stored = dataset.GetFieldData().GetAbstractArray(_SPACE)
    if stored is not None and stored.GetNumberOfValues():
        texts.append(f"{_SPACE}={stored.GetValue(0)}")
    for text in texts:
        if found := re.search(rf"{_SPACE}=(LPS|RAS)", text):
            return "lps" if found[1] == "LPS" else "ras"
    return None


def write_vtk(dataset: Any, path: Path, world: World) -> None:
    """Write a dataset, atomically, with a note of its coordinates that 3D Slicer reads.

    Raises
    ------
    OutputError
        If the format cannot hold it, or the file cannot be written.
    MissingPackageError
        Without the package vtk.
    """
    suffix, note = path.suffix.lower(), f"{_SPACE}={world.upper()}"
    is_surface = bool(dataset.IsA("vtkPolyData"))
    if is_surface != (suffix != ".vtu") and suffix != ".vtk":
        kind = "a surface" if is_surface else "an unstructured grid"
        raise OutputError(f"output {path}", kind, f"what {suffix} holds", "write .vtk instead")
    if suffix in FACES_ALONE and not dataset.GetNumberOfPolys() + dataset.GetNumberOfStrips():
        raise OutputError(f"output {path}", "a mesh without faces", f"faces, for {suffix}", "write .vtp instead")
    writer = _writer(dataset, suffix, note)
    with atomic_path(path) as temporary:
        writer.SetFileName(str(temporary))
        with _errors_of(writer) as errors:
            done = writer.Write()
        if errors or not done or not temporary.is_file():
            why = errors[0] if errors else "not written"
            raise OutputError(
                f"output {path}", f"'{why}' from VTK", "a mesh that it can write", "check the disk's space"
            )
        if suffix == ".obj":  # its writer has no comments
            temporary.write_bytes(f"# LearnGN. {note}\n".encode() + temporary.read_bytes())


def _writer(dataset: Any, suffix: str, note: str) -> Any:
    from vtkmodules import vtkIOGeometry, vtkIOLegacy, vtkIOPLY, vtkIOXML

    surface = dataset.IsA("vtkPolyData")
    if suffix == ".vtk":
        writer = vtkIOLegacy.vtkPolyDataWriter() if surface else vtkIOLegacy.vtkUnstructuredGridWriter()
        writer.SetFileVersion(_LEGACY)
        writer.SetFileTypeToBinary()
        writer.SetHeader(f"LearnGN. {note}")
    elif suffix in (".vtp", ".vtu"):
        writer = vtkIOXML.vtkXMLPolyDataWriter() if surface else vtkIOXML.vtkXMLUnstructuredGridWriter()
        dataset = _noted(dataset, note)
    elif suffix == ".stl":
        writer, dataset = vtkIOGeometry.vtkSTLWriter(), triangulated(dataset)
        writer.SetFileTypeToBinary()
        writer.SetHeader(f"LearnGN. {note}")
    elif suffix == ".ply":
        writer, dataset = vtkIOPLY.vtkPLYWriter(), triangulated(dataset)
        writer.SetFileTypeToBinary()
        writer.AddComment(f"LearnGN. {note}")
        if (name := colours_of(dataset)) is not None:
            writer.SetArrayName(name)
            writer.SetEnableAlpha(dataset.GetPointData().GetArray(name).GetNumberOfComponents() == 4)
    else:
        writer = vtkIOGeometry.vtkOBJWriter()
    writer.SetInputData(dataset)
    return writer


def _noted(dataset: Any, note: str) -> Any:
    """Return a copy of a dataset with the name of its coordinates in its field data."""
    from vtkmodules.vtkCommonCore import vtkStringArray
    from vtkmodules.vtkCommonDataModel import vtkFieldData

    copy, field, name = dataset.NewInstance(), vtkFieldData(), vtkStringArray()
    copy.ShallowCopy(dataset)
    field.ShallowCopy(copy.GetFieldData())
    field.RemoveArray(_SPACE)
    name.SetName(_SPACE)
    name.InsertNextValue(note.partition("=")[2])
    field.AddArray(name)
    copy.SetFieldData(field)
    return copy


@contextmanager
def _errors_of(process: Any) -> Iterator[list[str]]:
    """Collect the errors of a reader or writer instead of showing them."""
    from vtkmodules.vtkCommonCore import vtkLogger

    errors: list[str] = []

    def note(_: Any, __: str, text: str) -> None:
        errors.append(text.strip().splitlines()[-1].partition("): ")[2].strip() or text.strip())

    note.CallDataType = "string0"  # type: ignore[attr-defined]
    tags = [process.AddObserver(event, note) for event in ("ErrorEvent", "WarningEvent")]
    shown = vtkLogger.GetCurrentVerbosityCutoff()
    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_OFF)
    try:
        yield errors
    finally:
        vtkLogger.SetStderrVerbosity(shown)
        for tag in tags:
            process.RemoveObserver(tag)
