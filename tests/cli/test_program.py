"""The program as a whole: help, version, info, demo, exit status."""

import json
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import pytest

import learngn as package
from learngn.features.combined import FEATURES, FILE_FEATURES
from learngn.kernels import cache_folder

COMMANDS = (
    "demo",
    "register",
    "apply",
    "convert",
    "evaluate",
    "submission",
    "cohort",
    "propagate",
    "template",
    "radiotherapy",
    "tune",
    "train",
    "warm",
    "info",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command, learngn):
    result = learngn(command, "--help")
    assert result.exit_code == 0
    assert f"Example:  learngn {command}" in result.stdout


def test_version(learngn):
    assert learngn("--version").stdout == f"learngn {package.__version__}\n"


@pytest.mark.parametrize("arguments", [("register",), ("nonsense",), ("register", "a", "b", "-o", "c", "--bogus")])
def test_usage_errors(arguments, learngn):
    assert learngn(*arguments).exit_code == 2


def test_info(learngn):
    found = json.loads(learngn("info", "--json").stdout)
    assert {
        "learngn",
        "python",
        "numba",
        "SimpleITK",
        "numpy",
        "devices",
        "threads",
        "kernels",
        "cache",
        "cache size",
        "cores",
        "CUDA",
    } <= set(found)
    assert found["devices"][0] == "cpu"
    assert {"torch", "safetensors", "triton"} == set(found["[torch]"])
    shown = learngn("info").stdout
    assert "kernels    CPU: numba" in shown
    assert f"cache      {found['cache']}" in shown
    assert re.search(r"cache size \d+\.\d MB in \d+ files", shown)
    assert re.search(r"cores      \d+ of \d+ for this process", shown)
    assert "presets    abdomen-ct, thorax-ct" in shown
    for name in (*FEATURES, *FILE_FEATURES):  # all that --features takes
        assert name in shown.partition("features ")[2]


def test_info_of_packages_that_are_missing(learngn, monkeypatch):
    def version(package):
        if package == "torch":
            raise PackageNotFoundError(package)
        return "1.2"

    monkeypatch.setattr("importlib.metadata.version", version)
    found = json.loads(learngn("info", "--json").stdout)
    assert (found["[torch]"]["torch"], found["numba"]) == ("not installed", "1.2")
    assert "torch not installed, safetensors 1.2" in learngn("info").stdout


@pytest.mark.parametrize(
    ("driver", "gpus", "missing", "told"),
    [
        (False, [], (), "no driver of NVIDIA found"),
        (True, [], (), "driver found, PyTorch without a device"),
        (True, [], ("torch",), "driver found, no PyTorch"),
        (True, ["H100"], (), "ready, Triton 1.2"),
        (True, ["H100"], ("triton",), "ready, by PyTorch alone (no triton)"),
    ],
)
def test_info_of_gpus(driver, gpus, missing, told, learngn, monkeypatch):
    def version(package):
        if package in missing:
            raise PackageNotFoundError(package)
        return "1.2"

    monkeypatch.setattr("importlib.metadata.version", version)
    monkeypatch.setattr("learngn.arrays.devices.has_driver", lambda: driver)
    monkeypatch.setattr("learngn.arrays.cuda_devices", lambda: gpus)
    found = json.loads(learngn("info", "--json").stdout)
    assert (found["CUDA"], found["devices"]) == (told, ["cpu", *gpus])


def test_warm(learngn, monkeypatch):
    compiled = []
    monkeypatch.setattr("learngn.kernels.warm.is_cold", lambda ndim: ndim not in compiled)
    monkeypatch.setattr("learngn.kernels.warm.compile_all", compiled.append)
    assert learngn("warm").stdout == f"compiled kernels: {cache_folder()}\n"
    assert compiled == [2, 3]
    assert learngn("warm", "--quiet").stdout == ""
    assert compiled == [2, 3]


def test_warm_without_a_folder(learngn, monkeypatch):
    monkeypatch.setattr("learngn.kernels.warm.is_cold", lambda ndim: True)
    monkeypatch.setattr("learngn.kernels.warm.compile_all", lambda ndim: None)
    result = learngn("warm")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "NUMBA_CACHE_DIR" in result.stderr


def test_compiling_is_said_without_a_terminal(tmp_path):
    """By one line on stderr, unless only errors are wanted."""
    program = (
        "import sys\nfrom learngn.kernels import _cpu_cache, warm\n"
        "warm.is_cold = lambda ndim: True\n"
        "warm.compile_all = lambda ndim: _cpu_cache.announce()\n"
        "from learngn.cli import main; main()"
    )
    for options, lines in (((), 1), (("--quiet",), 0)):
        command = [sys.executable, "-c", program, "warm", *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.stderr.count("compiling kernels for this machine") == lines


def test_demo(learngn, tmp_path, monkeypatch, files_in):
    monkeypatch.setattr("learngn.cli.demo._SHAPE", (32, 28, 24))
    monkeypatch.chdir(tmp_path)
    result = learngn("demo")
    assert result.exit_code == 0
    assert result.stdout.endswith("report: learngn-demo/report.html\n")
    metrics = json.loads((tmp_path / "learngn-demo" / "metrics.json").read_text())
    assert metrics["dice_mean"] > metrics["dice_mean_before"]
    assert metrics["label_names"]["1"] in (tmp_path / "learngn-demo" / "report.html").read_text()
    assert len(files_in(tmp_path / "learngn-demo" / "inputs")) == 4


@pytest.mark.parametrize(("code", "status"), [("raise ZeroDivisionError", 1), ("raise KeyboardInterrupt", 130)])
@pytest.mark.slow
def test_exit_status_of_the_process(code, status):
    program = (
        "import sys, learngn.cli.info as info\n"
        f"def fail():\n    {code}\n"
        "info._system = fail\n"
        "sys.argv = ['learngn', 'info']\n"
        "from learngn.cli import main\n"
        "main()"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert run.returncode == status
    assert ("Traceback" in run.stderr) == (status == 1)
