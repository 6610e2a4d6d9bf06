"""Outputs appear whole or not at all."""

import errno
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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


def _fail(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("call", ["os.open", "os.fsync", "os.replace", "os.mkdir", "pathlib.Path.write_text"])
@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("which", [0, 1])
def test_any_call_that_fails_leaves_the_old_file_or_none(call, old, which, tmp_path, monkeypatch):
    target = tmp_path / "a.json"
    if old:
        target.write_text("old")
    module, name = call.rsplit(".", 1)
    owner = os if module == "os" else Path
    real, calls = getattr(owner, name), iter([*[False] * which, True])

    def now_and_then(*arguments, **options):
        return _fail() if next(calls, False) else real(*arguments, **options)

    monkeypatch.setattr(owner, name, now_and_then)
    expected = {"a.json": '{\n  "a": 1\n}\n'}  # if the call comes less often
    try:
        write_json({"a": 1}, target)
    except OutputError:
        expected = {"a.json": "old"} if old else {}
    monkeypatch.undo()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == expected


@pytest.mark.slow
def test_what_a_killed_process_leaves_goes_with_the_next_write(tmp_path):
    """Killed at a random moment of many writes: the file is one of those written, whole."""
    target = tmp_path / "a.json"
    script = (
        "import sys, os; from learngn.io.atomic import atomic_path\n"
        "for n in range(10**6):\n"
        "    with atomic_path(sys.argv[1]) as path:\n"
        "        path.write_text(str(n) * 50_000)\n"
        "        if n == 0: print('ready', flush=True)\n"
    )
    for delay in (0.0, 0.007):
        process = subprocess.Popen([sys.executable, "-c", script, str(target)], stdout=subprocess.PIPE, text=True)
        process.stdout.readline()
        time.sleep(delay)
        process.kill()
        process.wait()
        process.stdout.close()
        if target.exists():
            text = target.read_text()
            assert text == text[: len(text) // 50_000] * 50_000
    write_text("next", target)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_what_is_left_of_the_dead_is_removed_and_what_the_living_write_is_not(tmp_path):
    dead = tmp_path / ".learngn-tmp-dead"
    dead.mkdir()
    (dead / "half.nii").write_text("half")
    with atomic_path(tmp_path / "a.txt") as living:
        living.write_text("a")
        write_text("b", tmp_path / "b.txt")
        assert living.exists()
        assert not dead.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "b.txt"]


def test_folders_of_others_are_none_of_ours(tmp_path):
    (tmp_path / ".learngn-cohort").mkdir()
    write_text("b", tmp_path / "b.txt")
    assert (tmp_path / ".learngn-cohort").is_dir()


def test_many_at_once_into_one_file(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: write_text(str(n) * 9999, tmp_path / "a.txt"), range(80)))
    text = (tmp_path / "a.txt").read_text()
    assert text == text[: len(text) // 9999] * 9999
    assert len(list(tmp_path.iterdir())) == 1


def test_a_link_is_kept(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "a.txt").symlink_to(tmp_path / "far" / "b.txt")
    write_text("new", tmp_path / "a.txt")
    assert (tmp_path / "a.txt").is_symlink()
    assert (tmp_path / "far" / "b.txt").read_text() == "new"
    (tmp_path / "nowhere.txt").symlink_to(tmp_path / "none" / "b.txt")
    with pytest.raises(OutputError, match="none"):
        write_text("new", tmp_path / "nowhere.txt")


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    other = tmp_path / ".learngn-tmp-other"
    other.mkdir()
    write_text("a", tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_text() == "a"
    assert other.is_dir()  # whether its process lives cannot be known
