"""The program as a whole: help, version, info, demo, exit status."""

import json
import subprocess
import sys

import pytest

import learngn as package

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
        "torch",
        "numba",
        "SimpleITK",
        "numpy",
        "devices",
        "threads",
        "kernels",
        "cache",
    } <= set(found)
    assert found["devices"][0] == "cpu"
    shown = learngn("info").stdout
    assert "kernels    CPU: numba" in shown
    assert f"cache      {found['cache']}" in shown


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
