"""What makes the program start and end at once."""

import gc
import subprocess
import sys

import pytest

from learngn.cli.startup import importing


@pytest.fixture(autouse=True)
def unfrozen():
    yield
    gc.unfreeze()


def test_no_garbage_is_looked_for_while_importing():
    with importing():
        assert not gc.isenabled()
        kept = [[] for _ in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() > len(kept)


def test_a_search_that_was_off_stays_off_and_errors_pass():
    gc.disable()
    try:
        with pytest.raises(ImportError), importing():
            raise ImportError
        assert not gc.isenabled()
    finally:
        gc.enable()


PROGRAM = """
import sys
from learngn.cli import app

try:
    app(prog_name="learngn")
finally:
    print(*sys.modules, sep="\\n")
"""
# Each takes as long to import as some part of a small registration.
NEEDLESS = {"torch", "scipy.linalg", "scipy.ndimage", "scipy.special", "numpy.f2py", "SimpleITK", "rich"}
NEEDLESS |= {"jinja2", "matplotlib", "learngn.model", "learngn.learning", "learngn.features.network"}


@pytest.mark.parametrize(
    "arguments", [("register", "{fixed}", "{moving}", "--features", "mind,intensity:10"), ("--version",)]
)
def test_nothing_is_imported_that_the_job_does_not_need(arguments, scans, fast, tmp_path):
    """Two scans in NIfTI, with linear alignment; without a terminal."""
    words = [word.format(**scans) for word in arguments]
    if "register" in words:
        words += [*fast, "-o", tmp_path / "out"]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, words)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    imported = set(done.stdout.splitlines())
    assert "learngn.cli.register" in imported
    assert not imported & NEEDLESS
