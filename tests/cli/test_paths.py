"""Paths that are odd, taken or full: one line and status 2, no file half written; two runs at once."""

import errno
import json
import os
import subprocess
import sys
import tempfile

import pytest

from learngn.io import read_image
from learngn.results import RESULT_FILES, result_folder


def assert_refused(result, told):
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert told in result.stderr


@pytest.fixture
def field(learngn, scans, tmp_path, fast):
    """A displacement of the pair."""
    learngn(
        "register",
        scans["fixed"],
        scans["moving"],
        "-o",
        tmp_path / "r",
        "--features",
        "intensity",
        "--no-report",
        *fast,
    )
    return tmp_path / "r" / "displacement.nii.gz"


@pytest.mark.parametrize("name", ["a b", "ärger 日本", "q\"uo'te", "new\nline", "$HOME;`ls`", "-rf"])
def test_odd_names(name, learngn, scans, tmp_path, fast, files_in):
    folder = tmp_path / name
    folder.mkdir()
    moving = scans["moving"].rename(folder / f"{name}.nii.gz")
    out = folder / "out"
    result = learngn("register", scans["fixed"], moving, "-o", out, "--features", "intensity", *fast, "-q")
    assert result.exit_code == 0, result.stderr
    assert {"metrics.json", "report.html", "warped.nii.gz"} <= set(files_in(out))
    assert json.loads((out / "metrics.json").read_text())["inputs"]["moving"]["path"] == str(moving.resolve())


def test_output_that_is_a_file(learngn, scans, tmp_path):
    (tmp_path / "out").write_text("mine")
    assert_refused(learngn("register", scans["fixed"], scans["moving"], "-o", tmp_path / "out"), "File exists")
    assert (tmp_path / "out").read_text() == "mine"


def test_folders_made_in_vain_are_removed(learngn, scans, tmp_path, monkeypatch):
    monkeypatch.setattr("learngn.workflow.one_pair.register_pair", _full)
    result = learngn("register", scans["fixed"], scans["moving"], "-o", tmp_path / "a" / "b" / "c")
    assert_refused(result, "No space left")
    assert not (tmp_path / "a").exists()


def test_inputs_are_kept(learngn, scans, field, tmp_path):
    before = scans["moving"].read_bytes()
    command = ("apply", scans["moving"], "-t", field, "-r", scans["fixed"], "-o")
    assert_refused(learngn(*command, scans["moving"]), "an input")
    (tmp_path / "link.nii.gz").symlink_to(scans["moving"])
    assert_refused(learngn(*command, tmp_path / "link.nii.gz"), "an input")
    assert_refused(learngn("convert", field, field), "an input")
    assert scans["moving"].read_bytes() == before


def _full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_full_disk(call, learngn, scans, field, tmp_path, monkeypatch, fast, files_in):
    before = files_in(tmp_path)
    monkeypatch.setattr(os, call, _full)
    pair = scans["fixed"], scans["moving"]
    assert_refused(
        learngn("register", *pair, "-o", tmp_path / "new", "--features", "intensity", *fast), "No space left"
    )
    target = tmp_path / "warped.nii.gz"
    assert_refused(learngn("apply", pair[1], "-t", field, "-r", pair[0], "-o", target), "No space left")
    assert_refused(learngn("convert", field, tmp_path / "field.h5"), "No space left")
    assert files_in(tmp_path) == before


def test_read_only_folder(learngn, scans, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert_refused(learngn("register", scans["fixed"], scans["moving"], "-o", tmp_path / "out"), "Permission denied")


def test_file_that_may_not_be_read(learngn, scans, tmp_path, monkeypatch):
    real = type(tmp_path).open

    def refuse(path, *arguments, **options):
        if "moving" in str(path):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, *arguments, **options)

    monkeypatch.setattr(type(tmp_path), "open", refuse)
    assert_refused(learngn("register", scans["fixed"], scans["moving"], "-o", tmp_path / "out"), "Permission denied")


def test_a_run_that_is_killed_leaves_no_metrics_of_other_files(tmp_path, monkeypatch):
    out = tmp_path / "out"
    for name in RESULT_FILES:
        out.mkdir(exist_ok=True)
        (out / name).write_text("old")
    real = os.replace

    def killed(source, target):
        if str(target).endswith("displacement.nii.gz"):
            raise SystemExit
        real(source, target)

    monkeypatch.setattr(os, "replace", killed)

    def run():
        with result_folder(out) as folder:
            for name in RESULT_FILES:
                (folder / name).write_text("new")

    with pytest.raises(SystemExit):
        run()
    assert not (out / "metrics.json").exists()
    assert not (out / "report.html").exists()


@pytest.mark.slow
def test_two_processes_into_one_folder(scans, tmp_path, fast, files_in):
    """What stays is all of one of them."""
    out = tmp_path / "out"
    pairs = [(scans["fixed"], scans["moving"]), (scans["moving"], scans["fixed"])]
    command = [sys.executable, "-c", "from learngn.cli import main; main()", "register"]
    options = ["-o", str(out), "--features", "intensity", "--no-report", "-q", *fast]
    runs = [subprocess.Popen([*command, *map(str, pair), *options], stderr=subprocess.PIPE) for pair in pairs]
    for run in runs:
        assert run.communicate(timeout=300)[1] == b""
        assert run.returncode == 0
    inputs = json.loads((out / "metrics.json").read_text())["inputs"]
    alone = tmp_path / "alone"
    subprocess.run(
        [*command, inputs["fixed"]["path"], inputs["moving"]["path"], "-o", str(alone), *options[2:]], check=True
    )
    assert files_in(out) == files_in(alone)
    for name in ("warped.nii.gz", "displacement.nii.gz"):
        assert (out / name).read_bytes() == (alone / name).read_bytes()
    assert read_image(out / "warped.nii.gz").grid == read_image(inputs["fixed"]["path"]).grid
