"""The programs for a GPU: on one, or in Triton's interpreter."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow

PROGRAMS = Path(__file__).parent / "gpu" / "triton_programs.py"


def test_against_the_reference():
    pytest.importorskip("triton")
    environment = {} if torch.cuda.is_available() else {"TRITON_INTERPRET": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(PROGRAMS)]
    ran = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert ran.returncode == 0, ran.stdout
    assert "33 passed" in ran.stdout
