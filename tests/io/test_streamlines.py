"""Streamlines: as nibabel reads them, data and headers kept, agreement with ITK, a real tractogram."""

import importlib.util
import struct
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from nibabel.streamlines import Tractogram, TrkFile

from learngn import Grid
from learngn.errors import HeaderWarning, OutputError, StreamlineError
from learngn.io import Streamlines, read_streamlines, to_itk, write_streamlines
from learngn.io.streamlines import STREAMLINE_SUFFIXES

pytest.importorskip("trx", reason="needs the extra [shapes]")

LPS = np.array([-1.0, -1, 1])


def make(grid: Grid, rng, **more) -> Streamlines:
    lines = [grid.index_to_world(rng.uniform(2, 7, (n, 3))) for n in (5, 1, 12, 3)]
    made = Streamlines.from_list(lines)
    return replace(
        made, grid=grid,
        point_data={"FA": rng.random((21, 1)).astype(np.float32), "colour": rng.random((21, 3)).astype(np.float32)},
        streamline_data={"bundle": np.arange(4, dtype=np.float32)[:, None], "ends": rng.random((4, 2), np.float32)},
        **more,
    )  # fmt: skip


@pytest.fixture
def streamlines(grid, rng) -> Streamlines:
    if grid.ndim == 2:
        pytest.skip("streamlines are in 3D")
    return make(grid, rng)


@pytest.mark.parametrize("suffix", STREAMLINE_SUFFIXES)
def test_round_trip_and_nibabel(suffix, streamlines, tmp_path):
    path = tmp_path / f"a{suffix}"
    write_streamlines(streamlines, path)
    back = read_streamlines(path)
    np.testing.assert_allclose(back.points, streamlines.points, atol=1e-4)
    np.testing.assert_array_equal(back.lengths, streamlines.lengths)
    assert [len(line) for line in back.lines()] == [5, 1, 12, 3]
    if suffix != ".trx":
        theirs = nibabel.streamlines.load(path)
        for mine, other in zip(streamlines.lines(), theirs.streamlines, strict=True):
            np.testing.assert_allclose(other, mine, atol=1e-4)
    if suffix == ".tck":
        assert back.grid is None
        assert "FA, colour, bundle, ends" in streamlines.lost_in(path)[0]
        return
    assert back.grid.same_space(streamlines.grid)
    for kind in ("point_data", "streamline_data"):
        mine, found = getattr(streamlines, kind), getattr(back, kind)
        assert set(mine) == set(found)
        for name, values in mine.items():
            np.testing.assert_allclose(found[name], values, rtol=1e-6)
    assert streamlines.lost_in(path) == ()


@pytest.mark.parametrize("suffix", STREAMLINE_SUFFIXES)
def test_against_itk_there_and_back(suffix, streamlines, moving_grid, chain, tmp_path):
    write_streamlines(streamlines, tmp_path / f"a{suffix}")
    lines, itk = read_streamlines(tmp_path / f"a{suffix}"), to_itk(chain)
    moved = lines.map(chain)
    theirs = np.array([itk.TransformPoint((LPS * p).tolist()) for p in lines.points]) * LPS
    np.testing.assert_allclose(moved.points, theirs, atol=1e-3)
    assert moved.grid is None  # it is in another image now
    if suffix != ".tck":
        with pytest.raises(OutputError, match="no image"):
            write_streamlines(moved, tmp_path / f"b{suffix}")
    write_streamlines(moved, tmp_path / f"b{suffix}", grid=moving_grid)
    there = read_streamlines(tmp_path / f"b{suffix}")
    if suffix != ".tck":
        assert there.grid.same_space(moving_grid)
        np.testing.assert_allclose(there.point_data["FA"], streamlines.point_data["FA"], rtol=1e-6)
    np.testing.assert_allclose(there.map(chain, inverse=True).points, streamlines.points, atol=1e-3)


def test_header_of_trackvis(streamlines, tmp_path):
    """The header names the image, which other programs compare with theirs."""
    write_streamlines(streamlines, tmp_path / "a.trk")
    header = nibabel.streamlines.load(tmp_path / "a.trk").header
    np.testing.assert_allclose(header["voxel_to_rasmm"], streamlines.grid.affine, rtol=1e-6)
    assert tuple(header["dimensions"]) == streamlines.grid.shape
    np.testing.assert_allclose(header["voxel_sizes"], streamlines.grid.spacing, rtol=1e-6)
    assert header["voxel_order"].decode() == "".join(nibabel.aff2axcodes(streamlines.grid.affine))


def test_fields_of_mrtrix_are_kept(grid, rng, tmp_path):
    if grid.ndim == 2:
        pytest.skip("streamlines are in 3D")
    lines = replace(make(grid, rng), point_data={}, streamline_data={}, header={"step_size": "0.5", "method": "iFOD2"})
    write_streamlines(lines, tmp_path / "a.tck")
    header = nibabel.streamlines.load(tmp_path / "a.tck").header
    assert (header["step_size"], header["method"], int(header["nb_streamlines"])) == ("0.5", "iFOD2", 4)
    back = read_streamlines(tmp_path / "a.tck")
    write_streamlines(back, tmp_path / "b.tck")
    assert read_streamlines(tmp_path / "b.tck").header["method"] == "iFOD2"
    write_streamlines(back, tmp_path / "b.trk", grid=grid)  # fields of one format do not disturb another
    write_streamlines(read_streamlines(tmp_path / "b.trk"), tmp_path / "c.tck")


def test_groups_of_trx(grid, rng, tmp_path):
    if grid.ndim == 2:
        pytest.skip("streamlines are in 3D")
    groups = {"left": np.array([0, 2], np.uint32), "right": np.array([1, 3], np.uint32)}
    lines = make(grid, rng, groups=groups, group_data={"left": {"volume": np.array([3.5], np.float32)}})
    assert "groups left, right" in lines.lost_in(Path("a.trk"))[0]
    write_streamlines(lines, tmp_path / "a.trx")
    back = read_streamlines(tmp_path / "a.trx")
    for name, members in groups.items():
        np.testing.assert_array_equal(np.ravel(back.groups[name]), members)
    np.testing.assert_allclose(np.ravel(back.group_data["left"]["volume"]), [3.5])


@pytest.mark.parametrize("suffix", STREAMLINE_SUFFIXES)
def test_files_that_are_none(suffix, tmp_path):
    for content in (b"hello\n", b"", b"\0\1\2" * 600, b"TRACK" + b"\0" * 995, b"mrtrix tracks\nnope\n"):
        (tmp_path / f"a{suffix}").write_bytes(content)
        with pytest.raises(StreamlineError):
            read_streamlines(tmp_path / f"a{suffix}")
    with pytest.raises(StreamlineError, match="no such file"):
        read_streamlines(tmp_path / f"b{suffix}")
    with pytest.raises(StreamlineError, match="suffix"):
        read_streamlines(tmp_path / "b.csv")


@pytest.mark.parametrize("suffix", STREAMLINE_SUFFIXES)
def test_truncated(suffix, rng, tmp_path):
    lines = make(Grid.from_spacing((20, 20, 20), 2.0), rng)
    write_streamlines(lines, tmp_path / f"a{suffix}")
    content = (tmp_path / f"a{suffix}").read_bytes()
    for length in range(1, len(content) - 1, max(1, len(content) // 60)):
        (tmp_path / f"b{suffix}").write_bytes(content[:length])
        with pytest.raises(StreamlineError):
            read_streamlines(tmp_path / f"b{suffix}")


def test_empty_and_nan(tmp_path):
    nibabel.streamlines.save(Tractogram([], affine_to_rasmm=np.eye(4)), str(tmp_path / "a.tck"))
    with pytest.raises(StreamlineError, match="no points"):
        read_streamlines(tmp_path / "a.tck")
    with pytest.raises(StreamlineError, match="no points"):
        Streamlines.from_list([])
    with pytest.raises(StreamlineError, match="not finite"):
        Streamlines.from_list([[[0, 0, np.nan]]])
    with pytest.raises(StreamlineError, match="2 points in all"):
        Streamlines(np.zeros((3, 3)), [1, 1])
    with pytest.raises(StreamlineError, match="2 values of a"):
        Streamlines(np.zeros((3, 3)), [3], {"a": np.zeros(2)})


def test_header_without_a_position(tmp_path):
    grid = Grid.from_spacing((20, 20, 20), 2.0)
    write_streamlines(replace(Streamlines.from_list([np.ones((4, 3))]), grid=grid), tmp_path / "a.trk")
    content = bytearray((tmp_path / "a.trk").read_bytes())
    version = content.rindex(struct.pack("<i", 2), 980, 1000)
    assert version == 992
    content[version : version + 4] = struct.pack("<i", 1)
    (tmp_path / "old.trk").write_bytes(content)
    with pytest.raises(StreamlineError, match="vox_to_ras"):
        read_streamlines(tmp_path / "old.trk")


def test_header_without_an_order_of_voxels(tmp_path):
    lines = Tractogram([np.ones((4, 3), np.float32)], affine_to_rasmm=np.eye(4))
    header = {"voxel_to_rasmm": np.diag([-1, -1, 1, 1]), "dimensions": (9, 9, 9), "voxel_sizes": (1, 1, 1)}
    TrkFile(lines, header | {"voxel_order": b"LPS"}).save(str(tmp_path / "a.trk"))
    content = (tmp_path / "a.trk").read_bytes().replace(b"LPS\0", b"\0\0\0\0", 1)
    (tmp_path / "b.trk").write_bytes(content)
    with pytest.warns(HeaderWarning, match="order"):
        read_streamlines(tmp_path / "b.trk")


def test_what_a_file_cannot_hold(tmp_path):
    lines = Streamlines.from_list([np.ones((4, 3))])
    grid = Grid.from_spacing((20, 20, 20), 2.0)
    many = replace(lines, streamline_data={f"value {n}": np.zeros((1, 1)) for n in range(12)})
    with pytest.raises(OutputError, match="Can only store 10"):
        write_streamlines(many, tmp_path / "a.trk", grid=grid)
    for name in ("a.csv", "a.trk", "a.trx", "nowhere/a.tck"):
        with pytest.raises(OutputError):
            write_streamlines(lines, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_real_tractogram(affine, tmp_path):
    """300 streamlines of a brain, that come with dipy."""
    found = importlib.util.find_spec("dipy")
    if found is None:
        pytest.skip("dipy, which has a real tractogram, is not installed")
    if affine.ndim == 2:
        pytest.skip("streamlines are in 3D")
    source = Path(found.origin).parent / "data" / "files" / "tracks300.trk"
    lines, theirs = read_streamlines(source), nibabel.streamlines.load(source).streamlines
    assert (len(lines), len(lines.points)) == (300, theirs.total_nb_rows)
    np.testing.assert_allclose(lines.points, theirs.get_data())
    itk = to_itk(affine)
    moved = lines.map(affine)
    some = slice(None, None, 97)
    expected = np.array([itk.TransformPoint((LPS * p).tolist()) for p in lines.points[some]]) * LPS
    np.testing.assert_allclose(moved.points[some], expected, atol=1e-4)
    for suffix in STREAMLINE_SUFFIXES:
        write_streamlines(moved, tmp_path / f"b{suffix}", grid=lines.grid)
        back = read_streamlines(tmp_path / f"b{suffix}").map(affine, inverse=True)
        np.testing.assert_allclose(back.points, lines.points, atol=1e-3)
        np.testing.assert_array_equal(back.lengths, lines.lengths)
