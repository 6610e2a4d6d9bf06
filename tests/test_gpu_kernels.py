"""The programs for a GPU: on one, or in Triton's interpreter and through its compiler."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parent / "gpu"


def run(file: str, **environment: str) -> str:
    """Run a file of tests in a process of its own, without plugins that start others or measure."""
    command = [sys.executable, "-m", "pytest", "-q", "-o", "addopts=", str(FOLDER / file)]
    for plugin in ("cacheprovider", "xdist", "benchmark"):
        command += ["-p", f"no:{plugin}"]
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTEST_ADDOPTS", "TRITON_INTERPRET")}
    ran = subprocess.run(command, env=kept | environment, capture_output=True, text=True, timeout=900, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_against_the_reference():
    pytest.importorskip("triton")
    assert "33 passed" in run("triton_programs.py", **({} if torch.cuda.is_available() else {"TRITON_INTERPRET": "1"}))


def test_compilation(tmp_path):
    """Without a GPU: its driver is replaced."""
    pytest.importorskip("triton.backends.nvidia")
    assert "48 passed" in run("triton_compilation.py", TRITON_CACHE_DIR=str(tmp_path))
