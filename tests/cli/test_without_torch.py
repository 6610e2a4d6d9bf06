"""The program where PyTorch is not installed: all but models and GPUs."""

import json
import os
import subprocess
import sys

import pytest

# Hides PyTorch, and what is made of it, from every process that finds this on its path.
HIDING = """
import sys

HIDDEN = {"torch", "torchgen", "lightning_fabric", "monai", "torchio", "tensorboard"}


class Hiding:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in HIDDEN else self.finder.find_spec(name, path, target)


sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
"""
FAST = ("--strides", "4,2", "--iterations", "3,3", "--threads", "1")


@pytest.fixture
def program(tmp_path):
    """Run the program in a process without PyTorch; returns its status, stdout and stderr."""
    folder = tmp_path / "hiding"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(HIDING)
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))

    def run(*arguments):
        command = [sys.executable, "-m", "learngn", *map(str, arguments)]
        done = subprocess.run(
            command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=600, check=False
        )
        return done.returncode, done.stdout, done.stderr

    return run


def test_what_needs_pytorch_says_so(program, dataset, scans, tmp_path):
    for arguments in (
        ("register", scans["fixed"], scans["moving"], "-o", "out", "--device", "cuda"),
        ("register", scans["fixed"], scans["moving"], "-o", "out", "--model", tmp_path),
        ("info", tmp_path),
        ("train", dataset, "-o", "out"),
    ):
        status, _, told = program(*arguments)
        assert status == 2, told
        assert told.startswith("error: ")
        assert "pip install 'learngn[" in told
        assert told.count("\n") == 1


def test_info(program):
    status, shown, told = program("info", "--json")
    assert status == 0, told
    found = json.loads(shown)
    assert found["torch"] == "not installed"
    assert found["devices"] == ["cpu"]
    assert found["kernels"].startswith("CPU: numba")


def test_a_pair(program, scans, tmp_path):
    out = tmp_path / "out"
    labels = ("--fixed-labels", scans["fixed_labels"], "--moving-labels", scans["moving_labels"])
    points = ("--fixed-landmarks", scans["fixed_landmarks"], "--moving-landmarks", scans["moving_landmarks"])
    status, shown, told = program(
        "register", scans["fixed"], scans["moving"], "-o", out, *labels, *points, *FAST, "--json"
    )
    assert status == 0, told
    metrics = json.loads(shown)
    assert metrics["dice_mean"] > metrics["dice_mean_before"]
    assert (out / "report.html").is_file()
    field = out / "displacement.nii.gz"
    warp = ("-t", field, "-r", scans["fixed"])
    for arguments in (
        ("apply", scans["moving"], *warp, "-o", tmp_path / "warped.nii.gz"),
        ("apply", scans["moving_labels"], "--labels", *warp, "-o", tmp_path / "labels.nii.gz"),
        ("convert", field, tmp_path / "field.npz", "--reference", scans["fixed"], "--moving", scans["moving"]),
    ):
        status, _, told = program(*arguments)
        assert status == 0, told


@pytest.mark.slow
def test_a_data_set(program, abdomen_files, tmp_path):
    features = ("-f", "distance", *FAST)
    fields = tmp_path / "cohort"
    for arguments in (
        ("cohort", abdomen_files, "-o", fields, "--pairs", "val", *features),
        ("evaluate", abdomen_files, "--fields", fields),
        ("propagate", abdomen_files, "-o", tmp_path / "labels", "--atlases", "2", *features),
        (
            "template",
            abdomen_files,
            "-o",
            tmp_path / "template",
            "--rounds",
            "1",
            "--limit",
            "2",
            "-f",
            "intensity",
            *FAST,
        ),
        ("tune", abdomen_files, "-o", tmp_path / "settings.json", "--pairs", "1", "--rounds", "1", *features),
    ):
        status, _, told = program(*arguments)
        assert status == 0, (arguments, told)
