"""Versions: what pyproject.toml allows, what the two files of constraints install, what hooks and images use."""

import re
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TESTED_WITH_THE_OLDEST = ("torch", "cohort", "plot", "shapes", "stains", "train", "transforms", "test")


def requirements(*extras: str) -> dict[str, Requirement]:
    """What the package and its extras need, by name; not the package itself."""
    texts = [*PROJECT["dependencies"], *(text for extra in extras for text in PROJECT["optional-dependencies"][extra])]
    found = {canonicalize_name(requirement.name): requirement for requirement in map(Requirement, texts)}
    return {name: requirement for name, requirement in found.items() if name != "learngn"}


def pinned(name: str) -> dict[str, Version]:
    """Versions of a file of constraints, by name."""
    lines = [line for line in (ROOT / name).read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
    found = {}
    for requirement in map(Requirement, lines):
        (specifier,) = requirement.specifier
        assert specifier.operator == "==", f"{name}: {requirement}"
        assert canonicalize_name(requirement.name) not in found, f"{name}: {requirement.name} twice"
        found[canonicalize_name(requirement.name)] = Version(specifier.version)
    return found


def oldest(requirement: Requirement) -> Version:
    (lowest,) = [Version(s.version) for s in requirement.specifier if s.operator == ">="]
    return lowest


def test_every_dependency_has_a_lower_bound():
    for requirement in requirements(*PROJECT["optional-dependencies"]).values():
        assert [s.operator for s in requirement.specifier] == [">="], str(requirement)


def test_the_oldest_versions_are_the_lower_bounds():
    bounds = {name: oldest(requirement) for name, requirement in requirements(*TESTED_WITH_THE_OLDEST).items()}
    assert pinned("constraints-oldest.txt") == bounds


def test_the_tested_versions_are_allowed_and_complete():
    needed = requirements(*PROJECT["optional-dependencies"])
    versions = pinned("constraints.txt")
    other_python = {name for name, requirement in needed.items() if requirement.marker and "tomli" in name}
    assert not set(needed) - other_python - set(versions), "name them in constraints.txt"
    assert not [name for name in needed if name in versions and versions[name] < oldest(needed[name])]


def test_the_tested_versions_can_be_installed_on_every_python():
    """What has left the oldest Python behind is not pinned there; checked for packages of these versions."""
    lowest = PROJECT["requires-python"].removeprefix(">=")
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    checked = 0
    for requirement in (Requirement(line) for line in lines if line and line[0] != "#"):
        try:
            found = metadata.metadata(requirement.name)
        except metadata.PackageNotFoundError:
            continue
        needed = found.get("Requires-Python")
        if needed is None or not requirement.specifier.contains(found["Version"]):
            continue
        applies = requirement.marker is None or requirement.marker.evaluate(
            {"python_version": lowest, "python_full_version": f"{lowest}.0"}
        )
        assert SpecifierSet(needed).contains(f"{lowest}.20") or not applies, f"{requirement} needs Python {needed}"
        checked += 1
    assert checked


def test_the_base_needs_neither_pytorch_nor_what_is_built_on_it():
    of_torch = {"torch", "safetensors", "triton", "lightning-fabric", "monai", "torchio"}
    assert not of_torch & set(requirements())
    assert {"torch", "safetensors"} == set(requirements("torch")) - set(requirements())
    assert "learngn[torch]" in PROJECT["optional-dependencies"]["train"]


def test_the_oldest_python_is_the_same_everywhere():
    lowest = PROJECT["requires-python"].removeprefix(">=")
    named = [c.rpartition(" ")[2] for c in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", c)]
    assert min(named, key=Version) == lowest
    for page in ("README.md", "docs/index.md"):
        assert f"Python {lowest} or newer" in (ROOT / page).read_text(encoding="utf-8")
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    tested = re.findall(r'python: "([\d.]+)"', workflow)
    assert {min(tested, key=Version), max(tested, key=Version)} == {lowest, max(named, key=Version)}
    assert set(tested) <= set(named)


@pytest.mark.parametrize("tool", ["ruff", "mypy"])
def test_hooks_use_the_installed_tools(tool):
    """A repository of hooks would bring a version of its own."""
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert f"entry: {tool}" in hooks
    assert re.findall(r"repo: (.*)", hooks) == ["local"]
