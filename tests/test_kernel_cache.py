"""Compiled kernels are kept where something can be written; where nothing can, a run goes on, and says so once."""

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from learngn import kernels
from learngn.kernels import _cpu_cache, warm

PROGRAM = """
import logging, sys
logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(levelname)s %(message)s")
import numpy as np
from numba import njit
from learngn.kernels import _cpu_cache
from learngn.kernels._cpu_cache import kept

@kept
@njit
def twice(x):
    return 2 * x

print("answer", twice(21), len(twice.stats.cache_hits), _cpu_cache.places().folder)
"""


@pytest.fixture
def fresh():
    """Forget what this process has found and said."""
    cached = (_cpu_cache.places, _cpu_cache.announce, _cpu_cache.warn_once)
    for function in cached:
        function.cache_clear()
    yield
    for function in cached:
        function.cache_clear()


@pytest.fixture
def package(tmp_path):
    """The package in a folder, and variables with which a process uses it; `close(folder)` takes a folder for good."""
    site, home, temporary = tmp_path / "site", tmp_path / "home", tmp_path / "tmp"
    source = Path(kernels.__file__).parents[1]
    shutil.copytree(source, site / "learngn", ignore=shutil.ignore_patterns("__pycache__"))
    home.mkdir()
    temporary.mkdir()
    environment = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}
    environment |= {"PYTHONPATH": str(site), "HOME": str(home), "TMPDIR": str(temporary)}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1"}
    return tmp_path, environment


def close(folder):
    """Put a file where a folder would be: root cannot write there either."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.touch()


def run(tmp_path, environment):
    """Lines that were logged, hits of the cache, and its folder."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, program], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    *said, last = done.stdout.splitlines()
    word, answer, hits, folder = last.split(" ", 3)
    assert (word, answer) == ("answer", "42")
    return said, int(hits), folder


@pytest.mark.slow
def test_one_place_after_the_other(package):
    """Beside the source; where that cannot be written in the user's cache; then in a temporary folder; then nowhere."""
    tmp_path, environment = package
    beside = tmp_path / "site" / "learngn" / "kernels" / "__pycache__"
    said, hits, folder = run(tmp_path, environment)
    assert (said, hits, folder) == (
        ["INFO compiling kernels for this machine, once: up to half a minute"],
        0,
        str(beside),
    )
    assert run(tmp_path, environment) == ([], 1, str(beside))  # found again, and nothing is said

    close(beside)
    said, hits, folder = run(tmp_path, environment)
    assert (len(said), hits) == (1, 0)
    assert Path(folder).is_relative_to(tmp_path / "home")
    assert run(tmp_path, environment) == ([], 1, folder)

    close(tmp_path / "home")
    warning, _ = run(tmp_path, environment)[0]
    private = next((tmp_path / "tmp").iterdir())
    assert warning.startswith("WARNING the cache of compiled kernels cannot be written")
    assert f"kept in {private}" in warning
    assert str(beside) in warning
    assert private.stat().st_mode & 0o077 == 0
    assert run(tmp_path, environment) == ([warning], 1, str(private))

    private.chmod(0o777)  # somebody else may have put code there
    warning, notice = run(tmp_path, environment)[0]
    assert "compiled at every run" in warning
    assert "belongs to somebody else" in warning
    assert notice == "INFO compiling kernels for this machine, at every run: up to half a minute"


@pytest.mark.slow
def test_damaged_files_are_compiled_anew(package):
    tmp_path, environment = package
    run(tmp_path, environment)
    for kind in ("nbc", "nbi"):
        for damage in (b"", b"\x80\x04broken"):
            (file,) = (tmp_path / "site").rglob(f"*.{kind}")
            file.write_bytes(damage)
            assert run(tmp_path, environment)[1] == 0
            assert run(tmp_path, environment)[1] == 1


@pytest.mark.slow
def test_cached_code_is_loaded_alone(package):
    """What Numba could compile is imported when something is compiled, not when compiled code is loaded."""
    tmp_path, environment = package
    program = PROGRAM + "print('numba.np.linalg' in sys.modules)\n"
    (tmp_path / "program.py").write_text(program)
    command, imported = [sys.executable, tmp_path / "program.py"], []
    for _ in range(2):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
        imported.append(done.stdout.splitlines()[-1])
    assert imported == ["True", "False"]


def test_a_change_of_any_source_compiles_anew(tmp_path, monkeypatch):
    """A loop holds parts of other files, whose change Numba does not see."""
    folder = shutil.copytree(Path(_cpu_cache.__file__).parent, tmp_path / "kernels")
    monkeypatch.setattr(_cpu_cache, "__file__", str(folder / "_cpu_cache.py"))
    stamps = []
    for text in ("", "# another\n"):
        with (folder / "_cpu_lines.py").open("a") as file:
            file.write(text)
        _cpu_cache.source_stamp.cache_clear()
        stamps.append(_cpu_cache.source_stamp())
    monkeypatch.undo()
    _cpu_cache.source_stamp.cache_clear()
    assert len({*stamps, _cpu_cache.source_stamp()}) == 2


def test_parts_are_kept_within_their_loops():
    from numba.core.caching import NullCache

    from learngn.kernels import _cpu_lines, _cpu_stencils

    assert isinstance(_cpu_lines.dot._cache, NullCache)
    assert not isinstance(_cpu_stencils._sweep.compiled._cache, NullCache)


def test_a_full_disk_is_left_alone(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(_cpu_cache.shutil, "disk_usage", lambda folder: usage._replace(free=_cpu_cache.ROOM - 1))
    assert "free" in _cpu_cache.unusable(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_meanwhile(fresh, monkeypatch, caplog):
    from numba import njit

    def full(*_):
        raise OSError(28, "No space left on device")

    def thrice(x):
        return 3 * x

    monkeypatch.setattr(_cpu_cache.FunctionCache, "_save_overload", full)
    function = _cpu_cache.kept(njit(thrice))
    assert (function(2), function(2.0)) == (6, 6.0)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "No space left on device" in warnings[0]


def test_a_private_folder_is_no_link(tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "theirs")
    assert _cpu_cache.unusable(tmp_path / "theirs") is None
    assert "somebody else" in _cpu_cache.unusable(tmp_path / "link", private=True)


@pytest.mark.parametrize("name", ["reference"])
def test_other_kernels_compile_nothing(name, monkeypatch):
    monkeypatch.setenv("LEARNGN_KERNELS", name)
    monkeypatch.setattr(warm, "_marks", lambda ndim: pytest.fail("looked for compiled kernels"))
    monkeypatch.setattr(warm, "jobs", lambda ndim: pytest.fail("compiles"))
    assert not warm.is_cold(3)
    warm.load(3)
    assert kernels.cache_folder() == "not used (LEARNGN_KERNELS=reference)"


@pytest.mark.slow
def test_kernels_of_torch_import_no_compiler(tmp_path):
    program = (
        "import sys\nfrom learngn.cli import app\napp(sys.argv[1:], standalone_mode=False)\n"
        "print([name for name in sys.modules if name == 'numba' or name.startswith('learngn.kernels._cpu')])"
    )
    from learngn.phantom import abdomens

    for name, phantom in zip(("fixed", "moving"), abdomens(2, (32, 28, 24), seed=1), strict=True):
        phantom.scan.save(tmp_path / f"{name}.nii.gz")
    files = (str(tmp_path / "fixed.nii.gz"), str(tmp_path / "moving.nii.gz"), "-o", str(tmp_path / "out"), "-q")
    command = [sys.executable, "-c", program, "register", *files, "--strides", "4", "--iterations", "2", "--no-report"]
    environment = os.environ | {"LEARNGN_KERNELS": "reference"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
