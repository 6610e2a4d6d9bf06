"""Outputs appear whole or not at all."""

import json

import pytest

from learngn.errors import OutputError
from learngn.io import atomic_path, check_writable, write_json, write_text


def test_what_is_written_appears_under_its_name(tmp_path):
    target = tmp_path / "scan.nii.gz"
    with atomic_path(target) as temporary:
        assert temporary.name == target.name
        assert temporary.parent.parent == tmp_path
        temporary.write_text("done")
        assert not target.exists()
    assert target.read_text() == "done"
    assert list(tmp_path.iterdir()) == [target]


def test_companions_come_along(tmp_path):
    with atomic_path(tmp_path / "a.mhd") as temporary:
        temporary.write_text("header")
        temporary.with_suffix(".raw").write_text("values")
    assert {p.name for p in tmp_path.iterdir()} == {"a.mhd", "a.raw"}


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, ValueError, SystemExit])
def test_an_interruption_leaves_the_old_file_and_nothing_else(tmp_path, interruption):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def write():
        with atomic_path(target) as temporary:
            temporary.write_text("half of the n")
            raise interruption

    with pytest.raises(interruption):
        write()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_folder_missing(tmp_path):
    with pytest.raises(OutputError, match="no folder"):
        write_text("a", tmp_path / "none" / "a.txt")


def test_target_is_a_folder(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(OutputError, match="output"):
        write_text("a", tmp_path / "a")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_disk_full_is_one_clear_error(tmp_path):
    def write():
        with atomic_path(tmp_path / "a.txt"):
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match=r"a\.txt: got No space left on device"):
        write()
    assert not list(tmp_path.iterdir())


def test_check_writable_makes_the_folder(tmp_path):
    check_writable(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    assert not list((tmp_path / "a" / "b").iterdir())


def test_check_writable_refuses_a_file_in_the_way(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(OutputError):
        check_writable(tmp_path / "a" / "b")


def test_json(tmp_path):
    write_json({"dice": 0.5, "name": "Ä"}, tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"dice": 0.5, "name": "Ä"}


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json({"dice": float("nan")}, tmp_path / "a.json")
    assert not list(tmp_path.iterdir())
