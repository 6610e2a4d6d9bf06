"""What CONTRIBUTING.md and the pages for contributors name exists."""

import importlib
import os
import re
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
CODE = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", TEXT)
SUFFIXES = (".py", ".md", ".toml", ".txt", ".json", ".yml", ".yaml")


def paths() -> list[str]:
    """Paths among what is set in code type; `docs/api/NAME.md` stands for many."""
    words = {word for code in CODE for word in code.split()}
    return sorted(
        word for word in words if ("/" in word or word.endswith(SUFFIXES)) and not re.search(r"[A-Z]{4}\.md|[<*]", word)
    )


def test_paths_are_found_in_the_text():
    assert {".ci/run", "tests/test_kernels.py", "features/", "CHANGELOG.md"} - {"CHANGELOG.md"} <= set(paths())


@pytest.mark.parametrize("path", paths())
def test_paths_exist(path):
    """From the repository's root, or, of a part, from the package's folder."""
    assert any((root / path).exists() for root in (ROOT, ROOT / "src" / "learngn")), f"CONTRIBUTING.md names {path}"


@pytest.mark.parametrize("name", sorted({code for code in CODE if re.fullmatch(r"learngn(\.\w+)+", code)}))
def test_names_exist(name):
    module, _, attribute = name.rpartition(".")
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        assert hasattr(importlib.import_module(module), attribute)


def test_markers_are_those_of_pytest():
    options = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"]
    described = set(re.findall(r"^\| `(\w+)` \|", TEXT, flags=re.M))
    assert described == {marker.partition(":")[0] for marker in options["markers"]}


@pytest.mark.parametrize("script", [".ci/run", ".ci/package"])
def test_scripts_can_be_run(script):
    path = ROOT / script
    assert path.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")
    assert os.name == "nt" or os.access(path, os.X_OK)


def test_no_place_of_one_machine_stands_in_the_helps():
    """Paths, addresses and names of machines: what is true elsewhere alone belongs there."""
    files = [*(ROOT / ".github").rglob("*.*"), *(ROOT / ".ci").iterdir(), ROOT / "Dockerfile", ROOT / "SECURITY.md"]
    for file in [*files, ROOT / "CODE_OF_CONDUCT.md", ROOT / "CONTRIBUTING.md", ROOT / ".pre-commit-config.yaml"]:
        if file.is_file():
            text = file.read_text(encoding="utf-8")
            assert not re.search(r"/(?:home/(?!learngn)|tmp/|Users/|work/)|[\w.]+@[\w-]+\.\w", text), file
