"""What `import learngn` offers is locked, and costs little."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import learngn

LOCKED = Path(__file__).with_name("public_names.json")
HEAVY = ("torch", "matplotlib", "scipy", "SimpleITK", "numba", "numpy")
# Of SciPy a registration of label maps without an affine stage needs nothing: a third of a second.
SCIPY = ("scipy.ndimage", "scipy.spatial", "scipy.optimize", "scipy.stats")


def test_public_names_are_the_locked_ones():
    assert sorted(learngn.__all__) == json.loads(LOCKED.read_text()), (
        f"the public names have changed: if on purpose, edit {LOCKED.name} and say so in CHANGELOG.md"
    )


@pytest.mark.parametrize("name", sorted(learngn.__all__))
def test_every_public_name_exists(name):
    assert getattr(learngn, name) is not None
    assert name in dir(learngn)


def test_packages_need_no_import_of_their_own():
    source = Path(learngn.__file__).parent
    on_disk = {path.stem for path in source.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    left_out = {"__init__", "__main__", "_version", "cli", "paper"}  # programs
    packages = set(dir(learngn)) - set(learngn.__all__)
    assert packages == on_disk - left_out
    assert loaded_by("import learngn; learngn.io.read_grid; learngn.settings.PRESETS", ("torch", "matplotlib")) == set()


def test_unknown_name():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = learngn.no_such_name


def loaded_by(code: str, heavy: tuple[str, ...] = HEAVY) -> set[str]:
    """Heavy packages that a fresh interpreter has loaded after running `code`."""
    report = f"import sys; sys.stderr.write('loaded:' + ' '.join(n for n in {heavy} if n in sys.modules))"
    run = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return set(run.stderr.rpartition("loaded:")[2].split())


def test_loaded_by_sees_what_is_loaded():
    assert loaded_by("import matplotlib") == {"matplotlib", "numpy"}


def test_import_is_light():
    assert loaded_by("import learngn") == set()


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--help"], 0),
        (["--version"], 0),
        (["register", "--help"], 0),
        (["register", "a.nii", "b.nii", "--bogus"], 2),
        (["register", "a.nii", "b.nii", "-o", "c", "--affine", "rigid", "--no-affine"], 2),
    ],
    ids=str,
)
def test_what_computes_nothing_is_light(arguments, status):
    code = (
        f"import sys; sys.argv = ['learngn', *{arguments}]\n"
        "from learngn.cli import main\n"
        f"try:\n    main()\nexcept SystemExit as end:\n    assert (end.code or 0) == {status}, end.code"
    )
    assert loaded_by(code) == set()


@pytest.mark.slow
def test_parts_of_scipy_wait_until_they_are_used():
    code = "import learngn.registration, learngn.evaluation, learngn.results, learngn.report, learngn.kernels.compiled"
    assert loaded_by(code, SCIPY) == set()
