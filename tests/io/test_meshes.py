"""Meshes: coordinates of every format, data and winding kept, agreement with VTK, nibabel and ITK."""

from dataclasses import replace

import nibabel
import numpy as np
import pytest
from nibabel.gifti import GiftiCoordSystem, GiftiDataArray, GiftiImage, GiftiMetaData

from learngn import Affine
from learngn.errors import MeshError, MissingPackageError, OutputError
from learngn.io import Mesh, read_mesh, to_itk, write_mesh
from learngn.io.mesh_sizes import check_complete
from learngn.io.meshes import MESH_SUFFIXES

pytest.importorskip("vtkmodules", reason="needs the extra [shapes]")

LPS = np.array([-1.0, -1, 1])
SURFACES = tuple(s for s in MESH_SUFFIXES if s != ".vtu")


def octahedron(centre=(10.0, 20, 30), radius=5.0, **more) -> Mesh:
    corners = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], float)
    faces = [[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]]
    return Mesh(np.asarray(centre) + radius * corners, np.array(faces), corners, **more)


def volume(mesh: Mesh) -> float:
    """Signed volume: positive if the faces are counter-clockwise from outside."""
    a, b, c = np.moveaxis(mesh.points[mesh.triangles] - mesh.points.mean(axis=0), 1, 0)
    return float(np.einsum("ta,ta->", a, np.cross(b, c)) / 6)


def raw(path):
    """Points of a file as the format's own library reads them."""
    from vtkmodules import vtkIOGeometry, vtkIOLegacy, vtkIOPLY, vtkIOXML
    from vtkmodules.util.numpy_support import vtk_to_numpy

    if path.suffix == ".gii":
        return nibabel.load(path).agg_data("pointset")
    kinds = {
        ".vtk": vtkIOLegacy.vtkPolyDataReader,
        ".vtp": vtkIOXML.vtkXMLPolyDataReader,
        ".stl": vtkIOGeometry.vtkSTLReader,
        ".ply": vtkIOPLY.vtkPLYReader,
        ".obj": vtkIOGeometry.vtkOBJReader,
    }
    reader = kinds[path.suffix]()
    reader.SetFileName(str(path))
    reader.Update()
    return vtk_to_numpy(reader.GetOutput().GetPoints().GetData())


def sort(points):
    return points[np.lexsort(np.round(points, 3).T)]


@pytest.mark.parametrize("world", ["lps", "ras"])
@pytest.mark.parametrize("suffix", SURFACES)
def test_round_trip_and_coordinates_of_the_file(suffix, world, tmp_path):
    mesh, path = octahedron(world=world), tmp_path / f"a{suffix}"
    write_mesh(mesh, path)
    flip = LPS if world == "lps" and suffix != ".gii" else 1.0
    np.testing.assert_allclose(sort(raw(path) * flip), sort(mesh.points), atol=1e-4)
    back = read_mesh(path)
    np.testing.assert_allclose(sort(back.points), sort(mesh.points), atol=1e-4)
    assert volume(back) == pytest.approx(volume(mesh), rel=1e-5)
    if suffix != ".gii":  # whose coordinates are its own
        assert back.world == world
        assert f"SPACE={world.upper()}".encode() in path.read_bytes() or suffix == ".vtp"
    if suffix in (".vtk", ".vtp", ".ply", ".obj"):
        order = np.argmin(((back.points[:, None] - mesh.points) ** 2).sum(axis=2), axis=1)
        np.testing.assert_allclose(back.normals, mesh.normals[order], atol=1e-4)


@pytest.mark.parametrize("suffix", [".vtk", ".vtp", ".stl", ".ply", ".obj"])
def test_file_that_does_not_say(suffix, tmp_path):
    """As another program writes it, without SPACE=...: LPS, as in 3D Slicer, or as asked for."""
    path = tmp_path / f"a{suffix}"
    write_mesh(octahedron(world="ras"), path)
    path.write_bytes(path.read_bytes().replace(b"SPACE=RAS", b"space: no").replace(b'Name="SPACE"', b'Name="place"'))
    points = octahedron().points
    np.testing.assert_allclose(sort(read_mesh(path).points), sort(points * LPS), atol=1e-4)
    np.testing.assert_allclose(sort(read_mesh(path, world="ras").points), sort(points), atol=1e-4)


def test_file_that_says_otherwise(tmp_path):
    for name in ("a.vtk", "a.gii"):
        write_mesh(octahedron(world="ras"), tmp_path / name)
        with pytest.raises(MeshError, match="in RAS, expected LPS"):
            read_mesh(tmp_path / name, world="lps")


def polydata_with_everything():
    """Strips, quads, lines, single points; data of points and cells, text, field data and a colour."""
    from vtkmodules.vtkCommonCore import vtkFloatArray, vtkPoints, vtkStringArray, vtkUnsignedCharArray
    from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData

    data, points = vtkPolyData(), vtkPoints()
    for p in [(0, 0, 0), (4, 0, 0), (4, 4, 0), (0, 4, 0), (0, 0, 4), (4, 0, 4)]:
        points.InsertNextPoint(*p)
    data.SetPoints(points)
    for cells, put in (([(4,)], data.SetVerts), ([(0, 1, 2, 5)], data.SetLines), ([(0, 1, 2, 3)], data.SetPolys),
                       ([(0, 1, 4, 5)], data.SetStrips)):  # fmt: skip
        array = vtkCellArray()
        for cell in cells:
            array.InsertNextCell(len(cell), cell)
        put(array)
    for where, count in ((data.GetPointData(), 6), (data.GetCellData(), 4)):
        for name in ("thickness", "curvature"):
            values = vtkFloatArray()
            values.SetName(name)
            for n in range(count):
                values.InsertNextValue(n / 7)
            where.AddArray(values)
        where.SetActiveScalars("curvature")
    colour, text = vtkUnsignedCharArray(), vtkStringArray()
    colour.SetNumberOfComponents(3)
    for n in range(6):
        colour.InsertNextTuple3(n, 20 * n, 250)
        text.InsertNextValue(f"point {n}")
    colour.SetName("RGB")
    text.SetName("names")
    data.GetPointData().AddArray(colour)
    data.GetPointData().AddArray(text)
    about = vtkStringArray()
    about.SetName("about")
    about.InsertNextValue("a test")
    data.GetFieldData().AddArray(about)
    return data


@pytest.mark.parametrize("suffix", [".vtk", ".vtp"])
def test_vtk_keeps_cells_and_data(suffix, affine, tmp_path):
    from vtkmodules import vtkIOLegacy, vtkIOXML

    if affine.ndim == 2:
        pytest.skip("a mesh is in 3D")
    writer = vtkIOLegacy.vtkPolyDataWriter() if suffix == ".vtk" else vtkIOXML.vtkXMLPolyDataWriter()
    writer.SetInputData(polydata_with_everything())
    writer.SetFileName(str(tmp_path / f"a{suffix}"))
    writer.Write()
    mesh = read_mesh(tmp_path / f"a{suffix}")
    assert len(mesh.triangles) == 4
    assert set(mesh.point_data) == {"thickness", "curvature", "RGB"}
    write_mesh(mesh.map(affine), tmp_path / f"b{suffix}")
    back = read_mesh(tmp_path / f"b{suffix}")
    before, after = mesh.source, back.source
    np.testing.assert_allclose(back.points, affine.map_points(mesh.points), atol=1e-4)
    for cells in ("Verts", "Lines", "Polys", "Strips"):
        assert getattr(after, f"GetNumberOf{cells}")() == 1
    for kind in ("GetPointData", "GetCellData"):
        old, new = getattr(before, kind)(), getattr(after, kind)()
        assert {new.GetArrayName(n) for n in range(new.GetNumberOfArrays())} == {
            old.GetArrayName(n) for n in range(old.GetNumberOfArrays())
        }
        assert new.GetScalars().GetName() == "curvature"
        for n in range(4):
            assert new.GetArray("thickness").GetValue(n) == pytest.approx(
                n / 7, abs=1e-5
            )  # VTK writes text with 6 digits
    assert after.GetPointData().GetAbstractArray("names").GetValue(3) == "point 3"
    assert after.GetFieldData().GetAbstractArray("about").GetValue(0) == "a test"
    assert mesh.lost_in(tmp_path / "b.vtk") == ()
    assert "thickness" in mesh.lost_in(tmp_path / "b.stl")[0]
    assert "RGB" not in mesh.lost_in(tmp_path / "b.ply")[0]
    assert "lines and single points" in mesh.lost_in(tmp_path / "b.gii")


@pytest.mark.parametrize("version", [42, 51])
@pytest.mark.parametrize("kind", ["surface", "grid"])
def test_sizes_of_binary_sections(version, kind, tmp_path):
    """Every section of VTK's own writers is known: whole files are read, files cut within one are refused."""
    from vtkmodules import vtkIOLegacy
    from vtkmodules.vtkFiltersCore import vtkAppendFilter

    data = polydata_with_everything()
    data.GetPointData().SetActiveScalars("RGB")
    data.GetPointData().RemoveArray("names")  # text, of which the size is not known
    data.GetFieldData().RemoveArray("about")
    writer = vtkIOLegacy.vtkPolyDataWriter()
    if kind == "grid":
        append = vtkAppendFilter()
        append.AddInputData(data)
        append.Update()
        data, writer = append.GetOutput(), vtkIOLegacy.vtkUnstructuredGridWriter()
    writer.SetInputData(data)
    writer.SetFileVersion(version)
    writer.SetFileTypeToBinary()
    writer.SetFileName(str(tmp_path / "a.vtk"))
    writer.Write()
    assert set(read_mesh(tmp_path / "a.vtk").point_data) == {"thickness", "curvature", "RGB"}
    content = (tmp_path / "a.vtk").read_bytes()
    refused = 0
    for length in range(1, len(content) - 1):
        (tmp_path / "b.vtk").write_bytes(content[:length])
        try:
            check_complete(tmp_path / "b.vtk")
        except MeshError:
            refused += 1
    assert refused > 0.8 * len(content)  # all but the beginnings of sections and their texts


def test_data_of_python_replace_those_of_the_file(tmp_path):
    mesh = octahedron(point_data={"old": np.arange(6.0), "same": np.arange(6)})
    write_mesh(mesh, tmp_path / "a.vtp")
    read = read_mesh(tmp_path / "a.vtp")
    write_mesh(replace(read, point_data={"same": np.arange(6), "new": np.eye(6, 3)}), tmp_path / "b.vtp")
    found = read_mesh(tmp_path / "b.vtp").point_data
    assert set(found) == {"same", "new"}
    np.testing.assert_array_equal(found["new"], np.eye(6, 3))
    with pytest.raises(OutputError, match="numbers"):
        write_mesh(octahedron(point_data={"text": np.array(list("abcdef"))}), tmp_path / "c.vtp")


@pytest.mark.parametrize("suffix", [".vtk", ".vtp", ".gii"])
def test_against_itk(suffix, grid, chain, points, tmp_path):
    if grid.ndim == 2:
        pytest.skip("a mesh is in 3D")
    write_mesh(Mesh(points, np.arange(18).reshape(6, 3)), tmp_path / f"a{suffix}")
    mesh, itk = read_mesh(tmp_path / f"a{suffix}"), to_itk(chain)
    moved = mesh.map(chain)
    theirs = np.array([itk.TransformPoint((LPS * p).tolist()) for p in mesh.points]) * LPS
    np.testing.assert_allclose(moved.points, theirs, atol=1e-3)
    write_mesh(moved, tmp_path / f"b{suffix}")
    back = read_mesh(tmp_path / f"b{suffix}").map(chain, inverse=True)
    np.testing.assert_allclose(back.points, mesh.points, atol=1e-3)
    np.testing.assert_array_equal(back.triangles, mesh.triangles)


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("suffix", ["", ".vtp", ".obj", ".gii"])
def test_mirrored_faces_still_face_outwards(suffix, inverse, tmp_path):
    matrix = np.array([[-1.0, 0.2, 0, 3], [0, 1.5, 0, 0], [0, 0.1, 0.8, -7], [0, 0, 0, 1]])
    mesh = octahedron()
    if suffix:
        write_mesh(mesh, tmp_path / f"a{suffix}")
        mesh = read_mesh(tmp_path / f"a{suffix}")
    moved = mesh.map(Affine(matrix), inverse=inverse)
    scale = 1.2 ** (-1 if inverse else 1)
    assert volume(moved) == pytest.approx(volume(mesh) * scale, rel=1e-5)
    path = tmp_path / f"b{suffix or '.stl'}"
    write_mesh(moved, path)
    assert volume(read_mesh(path)) == pytest.approx(volume(mesh) * scale, rel=1e-4)
    again = moved.map(Affine(matrix), inverse=not inverse)
    assert volume(again) == pytest.approx(volume(mesh), rel=1e-4)
    assert not again.mirrored


def test_normals_stay_at_right_angles(tmp_path):
    """Those of a sheared sphere, whose outward direction is known: by the inverse's transpose, not by the matrix."""
    matrix = np.array([[1, 0.8, 0, 3], [0, 1.5, 0, 0], [0, 0.1, 0.8, -7], [0, 0, 0, 1.0]])
    mesh = octahedron(centre=(0, 0, 0))
    for inverse in (False, True):
        linear = np.linalg.inv(matrix)[:3, :3] if inverse else matrix[:3, :3]
        expected = mesh.normals @ np.linalg.inv(linear)
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        np.testing.assert_allclose(mesh.map(Affine(matrix), inverse=inverse).normals, expected, atol=1e-6)
    write_mesh(mesh, tmp_path / "a.vtp")
    write_mesh(read_mesh(tmp_path / "a.vtp").map(Affine(matrix)), tmp_path / "b.vtp")
    np.testing.assert_allclose(read_mesh(tmp_path / "b.vtp").normals, mesh.map(Affine(matrix)).normals, atol=1e-6)


def test_unstructured_grid(tmp_path):
    from vtkmodules.vtkCommonCore import vtkPoints
    from vtkmodules.vtkCommonDataModel import vtkUnstructuredGrid

    data, points = vtkUnstructuredGrid(), vtkPoints()
    for p in np.eye(4, 3) * 3:
        points.InsertNextPoint(*p)
    data.SetPoints(points)
    data.InsertNextCell(10, 4, [0, 1, 2, 3])  # a tetrahedron
    shift = np.eye(4)
    shift[:3, 3] = 1, 2, 3
    for suffix in (".vtk", ".vtu"):
        mesh = Mesh(np.eye(4, 3) * 3 * LPS, source=data)
        write_mesh(mesh.map(Affine(shift)), tmp_path / f"a{suffix}")
        back = read_mesh(tmp_path / f"a{suffix}")
        np.testing.assert_allclose(back.points, mesh.points + np.array([1, 2, 3]))
        assert back.source.GetCellType(0) == 10
        with pytest.raises(MeshError, match="mirrors"):
            write_mesh(back.map(Affine(np.diag([-1.0, 1, 1, 1]))), tmp_path / "b.vtu")
        for name in ("b.vtp", "b.stl", "b.gii"):
            with pytest.raises(OutputError):
                write_mesh(back, tmp_path / name)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("b")]


def gifti(path, points, *, dataspace=0, xformspace=0, matrix=None, more=()):
    system = GiftiCoordSystem(dataspace, xformspace, np.eye(4) if matrix is None else matrix)
    place = GiftiDataArray(points.astype(np.float32), "NIFTI_INTENT_POINTSET", "NIFTI_TYPE_FLOAT32", coordsys=system)
    place.meta = GiftiMetaData({"AnatomicalStructurePrimary": "CortexLeft", "VolGeomC_R": "4.0"})
    faces = GiftiDataArray(np.array([[0, 1, 2], [0, 2, 3]], np.int32), "NIFTI_INTENT_TRIANGLE", "NIFTI_TYPE_INT32")
    nibabel.save(GiftiImage(darrays=[place, faces, *more]), path)


POINTS = np.array([[1.0, 2, 3], [4, 0, 1], [0, 5, 2], [3, 3, 3]])


@pytest.mark.parametrize(
    ("dataspace", "xformspace", "moves"),
    [(0, 0, False), (0, 3, False), (1, 1, False), (1, 3, False), (0, 1, True), (3, 1, True), (0, 2, True)],
)
def test_gifti_in_the_scanners_coordinates(dataspace, xformspace, moves, tmp_path):
    matrix = np.array([[0, -1.0, 0, 5], [1, 0, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1]])
    thickness = GiftiDataArray(np.arange(4, dtype=np.float32), "NIFTI_INTENT_SHAPE", "NIFTI_TYPE_FLOAT32")
    thickness.meta = GiftiMetaData({"Name": "thickness"})
    gifti(tmp_path / "a.surf.gii", POINTS, dataspace=dataspace, xformspace=xformspace, matrix=matrix, more=[thickness])
    mesh = read_mesh(tmp_path / "a.surf.gii")
    expected = POINTS @ matrix[:3, :3].T + matrix[:3, 3] if moves else POINTS
    np.testing.assert_allclose(mesh.points, expected, atol=1e-5)
    np.testing.assert_array_equal(mesh.point_data["thickness"], np.arange(4))
    write_mesh(mesh, tmp_path / "b.gii")
    back = nibabel.load(tmp_path / "b.gii")
    place = back.get_arrays_from_intent("NIFTI_INTENT_POINTSET")[0]
    np.testing.assert_allclose(place.data, expected, atol=1e-5)
    assert (place.coordsys.dataspace, place.coordsys.xformspace) == (1, 1)
    np.testing.assert_array_equal(place.coordsys.xform, np.eye(4))
    assert dict(place.meta) == {"AnatomicalStructurePrimary": "CortexLeft"}
    assert len(back.darrays) == 3
    np.testing.assert_allclose(read_mesh(tmp_path / "b.gii").points, expected, atol=1e-5)


def test_gifti_to_vtk_and_back(tmp_path):
    mesh = octahedron(point_data={"area": np.arange(6, dtype=np.float32), "region": np.arange(6)})
    write_mesh(mesh, tmp_path / "a.gii")
    write_mesh(read_mesh(tmp_path / "a.gii"), tmp_path / "b.vtp")
    write_mesh(read_mesh(tmp_path / "b.vtp"), tmp_path / "c.gii")
    back = read_mesh(tmp_path / "c.gii")
    np.testing.assert_allclose(back.points, mesh.points, atol=1e-5)
    np.testing.assert_array_equal(back.triangles, mesh.triangles)
    for name, values in mesh.point_data.items():
        np.testing.assert_array_equal(back.point_data[name], values)


def test_gifti_without_a_surface(tmp_path):
    values = GiftiDataArray(np.arange(4, dtype=np.float32), "NIFTI_INTENT_SHAPE", "NIFTI_TYPE_FLOAT32")
    nibabel.save(GiftiImage(darrays=[values]), tmp_path / "a.shape.gii")
    with pytest.raises(MeshError, match="no arrays of points"):
        read_mesh(tmp_path / "a.shape.gii")


def test_without_vtk(tmp_path, monkeypatch):
    write_mesh(octahedron(), tmp_path / "a.vtk")
    monkeypatch.setattr("learngn.errors.find_spec", lambda name: None)
    for action in (lambda: read_mesh(tmp_path / "a.vtk"), lambda: write_mesh(octahedron(), tmp_path / "b.vtk")):
        with pytest.raises(MissingPackageError, match=r"pip install 'learngn\[shapes\]'"):
            action()
    write_mesh(octahedron(), tmp_path / "a.gii")  # nibabel is always there
    assert len(read_mesh(tmp_path / "a.gii").points) == 6


@pytest.mark.parametrize("suffix", MESH_SUFFIXES)
def test_files_that_are_none(suffix, tmp_path, capfd):
    for content in (b"hello\n", b"", b"\0\1\2" * 200, b"<VTKFile><nope", b"ply\nformat ascii 1.0\nelement", b"v 1 2\n"):
        (tmp_path / f"a{suffix}").write_bytes(content)
        with pytest.raises(MeshError):
            read_mesh(tmp_path / f"a{suffix}")
    with pytest.raises(MeshError, match="no such file"):
        read_mesh(tmp_path / f"b{suffix}")
    assert capfd.readouterr() == ("", "")  # VTK's own messages


@pytest.mark.parametrize("suffix", [".vtk", ".vtp", ".stl", ".ply", ".gii"])
def test_truncated(suffix, tmp_path):
    mesh = octahedron(point_data={"area": np.arange(6, dtype=np.float32)})
    whole, part = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    write_mesh(mesh, whole)
    expected, content = read_mesh(whole), whole.read_bytes()
    for length in range(0, len(content) - 1, max(1, len(content) // 150)):
        part.write_bytes(content[:length])
        try:
            found = read_mesh(part)
        except MeshError:
            continue
        # .vtk may end after any of its sections; of other files, what nobody needs may be missing.
        np.testing.assert_array_equal(found.points, expected.points)
        assert len(found.triangles) == 8 or (suffix == ".vtk" and not found.triangles.size)
        assert suffix == ".vtk" or set(found.point_data) == set(expected.point_data)
        for name, values in found.point_data.items():
            np.testing.assert_array_equal(values, expected.point_data[name])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"points": np.zeros((0, 3))}, "no points"),
        ({"points": np.zeros((4, 2))}, "shape"),
        ({"points": np.full((4, 3), np.nan)}, "not finite"),
        ({"triangles": [[0, 1, 9]]}, "points 0 to 9"),
        ({"triangles": [[0, 1]]}, "triangles of shape"),
        ({"normals": np.zeros((3, 3))}, "3 values of normals"),
        ({"point_data": {"a": np.zeros(3)}}, "3 values of a"),
    ],
)
def test_meshes_that_make_no_sense(arguments, message):
    with pytest.raises(MeshError, match=message):
        Mesh(**{"points": POINTS, "triangles": [[0, 1, 2]], **arguments})


def test_empty_and_images_in_vtk(tmp_path):
    from vtkmodules import vtkIOLegacy
    from vtkmodules.vtkCommonDataModel import vtkImageData, vtkPolyData

    for dataset, writer, message in (
        (vtkPolyData(), vtkIOLegacy.vtkPolyDataWriter(), "no points"),
        (vtkImageData(), vtkIOLegacy.vtkStructuredPointsWriter(), "vtk(ImageData|StructuredPoints)"),
    ):
        writer.SetInputData(dataset)
        writer.SetFileName(str(tmp_path / "a.vtk"))
        writer.Write()
        with pytest.raises(MeshError, match=message):
            read_mesh(tmp_path / "a.vtk")


def test_outputs_that_cannot_be(tmp_path):
    cloud = Mesh(POINTS)
    for name in ("a.stl", "a.ply", "a.obj", "a.gii", "a.vtu", "a.csv", "nowhere/a.vtk"):
        with pytest.raises(OutputError):
            write_mesh(cloud, tmp_path / name)
    assert not list(tmp_path.iterdir())
    with pytest.raises(MeshError, match="suffix"):
        read_mesh(tmp_path / "a.csv")
