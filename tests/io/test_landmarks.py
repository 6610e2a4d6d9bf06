"""Landmarks: the header names the space; a wrong line is named."""

import json
from dataclasses import replace

import numpy as np
import pytest

from learngn import Grid
from learngn.errors import LandmarkError
from learngn.io import Landmarks, is_landmarks, read_landmarks, write_landmarks

GRID = Grid.from_spacing((40, 50, 20), (1.0, 2.0, 3.0), (-20, -50, 100), np.diag([-1.0, 1, 1]))


def read(tmp_path, text: str, grid: Grid = GRID) -> Landmarks:
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    return read_landmarks(tmp_path / "a.csv", grid)


@pytest.mark.parametrize("space", ["voxel", "lps", "ras"])
def test_round_trip(space, grid, points, tmp_path):
    landmarks = Landmarks(points, space, tuple(f"p, {n}" for n in range(len(points))), np.arange(len(points)) / 7)
    write_landmarks(landmarks, tmp_path / "a.csv", grid=grid)
    back = read_landmarks(tmp_path / "a.csv", grid)
    np.testing.assert_allclose(back.points, points, atol=1e-6)
    np.testing.assert_allclose(back.weights, landmarks.weights, atol=1e-9)
    assert back.names == landmarks.names
    assert back.space == space


def test_another_space_than_that_of_the_file(tmp_path):
    write_landmarks(Landmarks(GRID.index_to_world([[1, 2, 3]])), tmp_path / "a.csv", grid=GRID, space="lps")
    assert (tmp_path / "a.csv").read_text() == "x_lps,y_lps,z_lps\n21,46,109\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "x,y,z,t,label,comment\n21,46,109,0,carina,good\n",
            "x,y,z,t,label,x_lps,y_lps,z_lps\n21,46,109,0,carina,21,46,109\n",
        ),
        ("x,y,z,t\n21,46,109,0\n", "x,y,z,t,x_lps,y_lps,z_lps\n21,46,109,0,21,46,109\n"),
        ("label,l,p,s\ncarina,21,46,109\n", "l,p,s,label,x_lps,y_lps,z_lps\n21,46,109,carina,21,46,109\n"),
        ("r,a,s\n-21,-46,109\n", "r,a,s,x_ras,y_ras,z_ras\n-21,-46,109,-21,-46,109\n"),
        ("name,x_lps,y_lps,z_lps\na,21,46,109\n", "x_lps,y_lps,z_lps,name\n21,46,109,a\n"),
    ],
)
def test_tables_of_other_programs_are_written_as_these_read_them(text, expected, tmp_path):
    landmarks = read(tmp_path, text)
    write_landmarks(landmarks, tmp_path / "b.csv", grid=GRID)
    assert (tmp_path / "b.csv").read_text() == expected
    write_landmarks(landmarks, tmp_path / "c.csv", grid=GRID, space="voxel")
    assert (tmp_path / "c.csv").read_text().startswith("i,j,k")


@pytest.mark.parametrize(
    "text",
    [
        "1,2,3\n",
        "i,j,k\n1,2,3\n",
        "\ufeffi, j, k\r\n1, 2, 3\r\n\r\n",
        "K,I,J\n3,1,2\n",
        "x_ras,y_ras,z_ras\n-21,-46,109\n",
        "name,x_lps,y_lps,z_lps,comment\ncarina,21,46,109,good\n",
        "label,l,p,s,defined,selected\ncarina,21,46,109,1,1\n",
        "x,y,z,t,label\n21,46,109,0,1\n",
        "x_ras;y_ras;z_ras\n-21,0;-46,0;109,0\n",
        "1;2;3\n",
        "1,0;2,0;3,0\n",
        "point\n1\n21 46 109\n",
        "index\r\n1\r\n1 2 3\r\n",
    ],
)
def test_all_these_are_the_same_point(text, tmp_path):
    np.testing.assert_allclose(read(tmp_path, text).points, [[-21, -46, 109]])


def test_two_dimensions(tmp_path):
    grid = Grid.from_spacing((40, 50), 1.0, (0, 0))
    np.testing.assert_allclose(read(tmp_path, "1,2\n3,4\n", grid).points, [[1, 2], [3, 4]])
    np.testing.assert_allclose(read(tmp_path, "x_lps,y_lps\n-1,-2\n", grid).points, [[1, 2]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty file"),
        ("\n\n", "no points"),
        ("i,j,k\n", "no points"),
        ("1,2,3\n1,2\n", "line 2: got 2 columns"),
        ("1,2,3\n\n1,2,3,4\n", "line 3: got 4 columns"),
        ("1,2\n", "line 1: got 2 columns"),
        ("1,2,3\n1,two,3\n", "line 2: got 'two' as j"),
        ("1,x,3\n", "line 1: got 'x' as j"),
        ("1,2,3\n1,nan,3\n", "line 2: got 'nan' as j"),
        ("i,j,k\n1,inf,3\n", "line 2: got 'inf' as j"),
        ("i,j,k\n1,,3\n", "line 2: got '' as j"),
        ("x,y,z\n1,2,3\n", "header 'x,y,z'"),
        ("i,j\n1,2\n", "header 'i,j'"),
        ("i,j,k,x_ras\n1,2,3,4\n", None),
        ("i,j,k,weight\n1,2,3,heavy\n", "line 2: got 'heavy' as weight"),
        ("500,500,500\n-80,2,3\n", "no point in the image"),
        ("1|2|3\n", "header '1\\|2\\|3'"),
    ],
)
def test_wrong_files(text, message, tmp_path):
    if message is None:  # one whole set of coordinates and a piece of another: the whole one counts
        assert len(read(tmp_path, text).points) == 1
        return
    with pytest.raises(LandmarkError, match=message) as raised:
        read(tmp_path, text)
    assert "a.csv" in str(raised.value)


def test_no_file_and_no_text(tmp_path):
    with pytest.raises(LandmarkError, match="no such file"):
        read_landmarks(tmp_path / "a.csv", GRID)
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(LandmarkError, match="UTF-8"):
        read_landmarks(tmp_path / "b.csv", GRID)


@pytest.mark.parametrize(
    "arguments",
    [
        ([[1.0, np.nan, 2.0]],),
        (np.zeros((0, 3)),),
        ([1.0, 2.0, 3.0],),
        ([[1.0, 2.0]], "ras", ("a", "b")),
        ([[1, 2]], "ras", None, []),
    ],
)
def test_points_that_are_none(arguments):
    with pytest.raises(LandmarkError):
        Landmarks(*arguments)


POINTS = np.array([[-30.5, -20.25, 130.0], [-42.0, 8.0, 144.5], [-23.0, 3.0, 103.0]])  # RAS
LPS = POINTS * (-1, -1, 1)


def fcsv(points, system):
    lines = [f"vtkMRMLMarkupsFiducialNode_{n},{x},{y},{z},0,0,0,1,1,1,0,F-{n},," for n, (x, y, z) in enumerate(points)]
    return "\n".join(
        ["# Markups fiducial file version = 4.10", *([f"# CoordinateSystem = {system}"] if system else []),
         "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID", *lines, ""]
    )  # fmt: skip


def markups(points, system="LPS", **more):
    controls = [{"id": str(n), "label": f"F-{n}", "position": list(p), **more} for n, p in enumerate(points)]
    return json.dumps({"markups": [{"type": "Fiducial", "coordinateSystem": system, "controlPoints": controls}]})


FOREIGN = {
    "lps.fcsv": (fcsv(LPS, "LPS"), "lps"),
    "one.fcsv": (fcsv(LPS, "1"), "lps"),
    "ras.fcsv": (fcsv(POINTS, "RAS"), "ras"),
    "zero.fcsv": (fcsv(POINTS, "0"), "ras"),
    "old.fcsv": (fcsv(POINTS, None), "ras"),
    "lps.mrk.json": (markups(LPS), "lps"),
    "ras.mrk.json": (markups(POINTS, "RAS"), "ras"),
}


@pytest.mark.parametrize("system", ["LPS", "RAS"])
def test_curves_of_slicer_stay_curves(system, tmp_path):
    document = json.loads(markups(LPS if system == "LPS" else POINTS, system))
    curve = document["markups"][0]
    curve |= {"type": "ClosedCurve", "display": {"color": [1, 0, 0]}, "measurements": [{"name": "length", "value": 7}]}
    (tmp_path / "a.mrk.json").write_text(json.dumps(document))
    landmarks = read_landmarks(tmp_path / "a.mrk.json", GRID)
    write_landmarks(replace(landmarks, points=POINTS + 1), tmp_path / "b.mrk.json", grid=GRID)
    (back,) = json.loads((tmp_path / "b.mrk.json").read_text())["markups"]
    assert (back["type"], back["display"], back["coordinateSystem"]) == ("ClosedCurve", {"color": [1, 0, 0]}, system)
    assert "measurements" not in back
    assert [point["label"] for point in back["controlPoints"]] == ["F-0", "F-1", "F-2"]
    np.testing.assert_allclose(read_landmarks(tmp_path / "b.mrk.json", GRID).points, POINTS + 1)
    curve["type"] = "Plane"  # which has a normal and a size besides its points
    (tmp_path / "a.mrk.json").write_text(json.dumps(document))
    for changed in (read_landmarks(tmp_path / "a.mrk.json", GRID), replace(landmarks, points=POINTS[:2], names=None)):
        write_landmarks(changed, tmp_path / "c.mrk.json", grid=GRID)
        assert json.loads((tmp_path / "c.mrk.json").read_text())["markups"][0]["type"] == "Fiducial"


@pytest.mark.parametrize("name", FOREIGN)
def test_points_of_slicer(name, tmp_path):
    text, space = FOREIGN[name]
    (tmp_path / name).write_text(text)
    assert is_landmarks(tmp_path / name)
    landmarks = read_landmarks(tmp_path / name, GRID)
    np.testing.assert_allclose(landmarks.points, POINTS)
    assert (landmarks.space, landmarks.names) == (space, ("F-0", "F-1", "F-2"))


@pytest.mark.parametrize("name", ["a.fcsv", "a.mrk.json", "a.pts"])
@pytest.mark.parametrize("names", [None, ("tip, left", "b", "c")])
def test_files_of_other_programs_round_trip(name, names, tmp_path):
    write_landmarks(Landmarks(POINTS, "voxel", names), tmp_path / name, grid=GRID)
    back = read_landmarks(tmp_path / name, GRID)
    np.testing.assert_allclose(back.points, POINTS, atol=1e-6)
    assert back.space == "lps"
    if names and name != "a.pts":
        assert back.names == names


def test_points_of_elastix_are_known_by_their_beginning(tmp_path):
    (tmp_path / "a.txt").write_text("index\n2\n1 2 3\n4 5 6\n")
    (tmp_path / "b.txt").write_text("Transform: AffineTransform_double_3_3\n")
    assert is_landmarks(tmp_path / "a.txt")
    assert not is_landmarks(tmp_path / "b.txt")
    assert not is_landmarks(tmp_path / "c.txt")
    landmarks = read_landmarks(tmp_path / "a.txt", GRID)
    np.testing.assert_allclose(GRID.world_to_index(landmarks.points), [[1, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.fcsv", fcsv(LPS, "IJK"), "coordinate system 'ijk'"),
        ("a.fcsv", fcsv([("1", "x", "2")], "LPS"), "'x' in line 4"),
        ("a.fcsv", "# CoordinateSystem = LPS\n1,2\n", "2 columns in line 2"),
        ("a.fcsv", "# CoordinateSystem = LPS\n", "no points"),
        ("a.mrk.json", "{", "no markups"),
        ("a.mrk.json", "[]", "no markups"),
        ("a.mrk.json", '{"markups": [3]}', "no markups"),
        ("a.mrk.json", '{"markups": []}', "no points"),
        ("a.mrk.json", markups(LPS, positionStatus="undefined"), "'F-0' without a position"),
        ("a.mrk.json", markups([[1, None, 3]]), "None in the point 'F-0'"),
        ("a.mrk.json", markups(LPS, "IJK"), "coordinate system 'IJK'"),
        ("a.mrk.json", markups(LPS).replace('"type"', '"coordinateUnits": "um", "type"'), 'unit "um", expected mm'),
        ("a.pts", "1 2 3\n", "'point' \\(LPS mm\\) or 'index'"),
        ("a.pts", "point\n3\n1 2 3\n", "1 points, expected 3"),
        ("a.pts", "point\n2\n1 2 3\n1 2\n", "different dimensions"),
        ("a.pts", "point\n1\n1 2\n", "points in 2D"),
    ],
)
def test_wrong_files_of_other_programs(name, text, message, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(LandmarkError, match=message) as raised:
        read_landmarks(tmp_path / name, GRID)
    assert name in str(raised.value)


def test_planes_have_no_files_of_slicer(tmp_path):
    grid = Grid.from_spacing((40, 50), 1.0, (0, 0))
    with pytest.raises(LandmarkError, match="points in 2D"):
        write_landmarks(Landmarks([[1.0, 2.0]]), tmp_path / "a.fcsv", grid=grid)
    write_landmarks(Landmarks([[1.0, 2.0]]), tmp_path / "a.pts", grid=grid)
    np.testing.assert_allclose(read_landmarks(tmp_path / "a.pts", grid).points, [[1, 2]])


def test_pixels_of_anhir(tmp_path):
    grid = Grid.from_spacing((30, 20), 0.5, (0, 0), -np.eye(2))
    path = tmp_path / "a.csv"
    path.write_text(",X,Y\n1,3,4\n2,5.5,10\n4,29,19\n")
    found = read_landmarks(path, grid)
    assert (found.space, found.names) == ("pixel", ("1", "2", "4"))
    np.testing.assert_allclose(found.points, [[-1.5, -2], [-2.75, -5], [-14.5, -9.5]])
    write_landmarks(found, tmp_path / "b.csv", grid=grid)
    assert (tmp_path / "b.csv").read_text() == path.read_text()
    write_landmarks(Landmarks(found.points), tmp_path / "c.csv", grid=grid, space="pixel")
    assert (tmp_path / "c.csv").read_text() == ",X,Y\n1,3,4\n2,5.5,10\n3,29,19\n"
    path.write_text("x,y\n3,4\n")  # without numbers
    assert read_landmarks(path, grid).names is None
    with pytest.raises(LandmarkError, match=r"the header 'x,y', expected i,j,k"):
        read_landmarks(path, Grid.from_spacing((8, 8, 8), 1.0))
