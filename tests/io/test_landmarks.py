"""Landmarks: the header names the space; a wrong line is named."""

import numpy as np
import pytest

from learngn import Grid
from learngn.errors import LandmarkError
from learngn.io import Landmarks, read_landmarks, write_landmarks

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
    "text",
    [
        "1,2,3\n",
        "i,j,k\n1,2,3\n",
        "\ufeffi, j, k\r\n1, 2, 3\r\n\r\n",
        "K,I,J\n3,1,2\n",
        "x_ras,y_ras,z_ras\n-21,-46,109\n",
        "name,x_lps,y_lps,z_lps,comment\ncarina,21,46,109,good\n",
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
        ("1;2;3\n", "header '1;2;3'"),
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
