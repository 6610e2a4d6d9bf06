"""Every system: nothing of the package needs what only Unix has."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# Blocks modules and files of Unix for the package and for its locks, in every process that finds this on its path. The
# standard library and psutil are for the system that they run on, and go on using them.
BLOCK = """
import builtins, os, pathlib, sys

BLOCKED = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog"}
OURS = ("learngn", "filelock")
real_import, real_open = builtins.__import__, pathlib.Path.open


def ours(frame):
    return str(frame.f_globals.get("__name__")).partition(".")[0] in OURS


def blocking(name, globals=None, locals=None, fromlist=(), level=0):
    if name in BLOCKED and globals and str(globals.get("__name__")).partition(".")[0] in OURS:
        raise ImportError(f"{name} is not of this system")
    return real_import(name, globals, locals, fromlist, level)


def opening(self, *arguments, **options):
    if str(self).startswith(("/proc", "/sys")):
        raise FileNotFoundError(2, "not of this system", str(self))
    return real_open(self, *arguments, **options)


builtins.__import__ = blocking
pathlib.Path.open = opening
for name in ("sysconf", "fork", "killpg", "getpgid", "uname", "chown", "fchmod"):
    real = getattr(os, name)

    def call(*arguments, real=real, name=name, **options):
        if ours(sys._getframe(1)):
            raise AttributeError(f"os.{name} is not of this system")
        return real(*arguments, **options)

    setattr(os, name, call)
"""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """Run a program in a process, and have it start others, that have nothing of Unix."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "sitecustomize.py").write_text(BLOCK)
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"PYTHONPATH": path}

    def run(*arguments):
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=540, cwd=folder)
        assert done.returncode == 0, done.stderr
        return done

    return run


def test_the_block_itself(elsewhere):
    program = "import pathlib, subprocess, sys\nimport learngn.io.locks as locks\n"
    program += "exec('import fcntl', {'__name__': 'elsewhere'})\n"
    program += "try:\n exec('import fcntl', vars(locks))\nexcept ImportError: print('blocked')"
    assert elsewhere("-c", program).stdout == "blocked\n"


@pytest.mark.parametrize("name", ["fcntl", "resource", "pwd", "grp", "termios"])
def test_no_module_of_unix_is_imported(name):
    """Inside a function it may be, with an answer for where it is missing."""
    source = Path(__file__).parents[1] / "src" / "learngn"
    for path in source.rglob("*.py"):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert not [line for line in lines if line.startswith((f"import {name}", f"from {name}"))], path


def test_memory_without_files_of_linux(elsewhere):
    program = "from learngn.memory import peak_bytes, give_back; from learngn.io.limits import memory\n"
    program += "held = b'x' * 10**8; give_back(); print(10**8 < peak_bytes() < memory())"
    assert elsewhere("-c", program).stdout == "True\n"


@pytest.mark.slow
def test_the_commands(elsewhere, tmp_path):
    demo = "import learngn.cli.demo as demo; demo._SHAPE = (32, 28, 24)\nfrom learngn.cli import main; main()"
    elsewhere("-c", demo, "demo", "-o", tmp_path / "demo", "--threads", "1")
    scans = [tmp_path / "demo" / "inputs" / f"{side}.nii.gz" for side in ("fixed", "moving")]
    fast = ("--strides", "4,2", "--iterations", "2,2", "--lambda", "3,0.3", "--threads", "1")
    result = tmp_path / "result"
    done = elsewhere("-m", "learngn", "register", *scans, "-o", result, *fast, "--json", "--no-report")
    assert json.loads(done.stdout)["peak_memory_mb"] > 50
    warped = tmp_path / "warped.nii.gz"
    elsewhere("-m", "learngn", "apply", scans[1], "-t", result / "displacement.nii.gz", "-r", scans[0], "-o", warped)
    assert warped.is_file()
    assert not list(tmp_path.rglob(".learngn*"))


@pytest.mark.slow
def test_a_cohort_of_two_workers(elsewhere, abdomen_files, tmp_path):
    out, options = tmp_path / "out", ("--features", "organ-distance", "--strides", "8,4", "--iterations", "2,2")
    elsewhere(
        "-m", "learngn", "cohort", abdomen_files, "-o", out, *options, "--lambda", "3,0.5",
        "--no-affine", "--workers", "2", "--threads", "1", "--pairs", "train", "--limit", "3", "--no-report",
    )  # fmt: skip
    records = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert len(records) == 3
    assert not [record for record in records if "error" in record]
    assert not list(out.glob(".learngn*"))
