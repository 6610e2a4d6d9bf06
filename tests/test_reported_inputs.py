"""Inputs that people reported of registration programs, rebuilt small: each comes with a check of its own.

The folder is named by the environment variable LEARNGN_TEST_CASES; every subfolder with a ``check.py`` is a case, which
prints one line and exits with 0 where this environment's LearnGN does the right thing.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = os.environ.get("LEARNGN_TEST_CASES", "")
CHECKS = sorted(Path(FOLDER).glob("*/check.py")) if FOLDER else []

pytestmark = [pytest.mark.slow, pytest.mark.data]


@pytest.mark.skipif(not CHECKS, reason="LEARNGN_TEST_CASES is unset: set it to the folder of reported inputs")
@pytest.mark.parametrize("check", CHECKS, ids=lambda path: path.parent.name)
def test_reported_input(check):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run(
        [sys.executable, check], capture_output=True, text=True, timeout=600, env=environment, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
