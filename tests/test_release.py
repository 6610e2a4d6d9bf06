"""A release: one version and one date, and distributions that hold what they should, built without network."""

import re
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from learngn import __version__

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "learngn"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The contents of the wheel: text of every file, by path."""
    from hatchling.builders.wheel import WheelBuilder

    path = next(WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("wheel"))))
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name).decode("utf-8") for name in archive.namelist()}


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """Paths of the files of the source distribution."""
    from hatchling.builders.sdist import SdistBuilder

    path = next(SdistBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("sdist"))))
    with tarfile.open(path) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


@pytest.fixture(scope="module")
def metadata(wheel):
    return Parser().parsestr(wheel[f"learngn-{__version__}.dist-info/METADATA"])


def package_files():
    """Files of the package, without those that Python and editors leave."""
    left = ("__pycache__", ".pyc", ".nbi", ".nbc")
    return {
        path.relative_to(SOURCE.parent).as_posix()
        for path in SOURCE.rglob("*")
        if path.is_file() and not any(part.endswith(left) for part in path.parts)
    }


def test_the_wheel_has_the_package_and_nothing_else(wheel):
    info = f"learngn-{__version__}.dist-info"
    others = {f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")}
    assert set(wheel) == package_files() | others
    assert {"learngn/py.typed", "learngn/report/page/viewer.js", "learngn/report/page/page.css"} <= set(wheel)
    assert "learngn = learngn.cli:main" in wheel[f"{info}/entry_points.txt"]
    assert "Root-Is-Purelib: true" in wheel[f"{info}/WHEEL"]
    assert wheel[f"{info}/licenses/LICENSE"] == (ROOT / "LICENSE").read_text(encoding="utf-8")


def test_its_metadata(metadata):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert metadata["Version"] == __version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_all("License-File") == ["LICENSE"]
    assert metadata["Requires-Python"] == project["requires-python"]
    assert metadata.get_payload().startswith("# LearnGN")
    assert set(metadata.get_all("Provides-Extra")) == set(project["optional-dependencies"])
    assert not [r for r in metadata.get_all("Requires-Dist") if "matplotlib" in r and "extra ==" not in r]


def test_classifiers_are_those_of_the_index(metadata):
    from trove_classifiers import classifiers, deprecated_classifiers

    given = metadata.get_all("Classifier")
    assert set(given) <= classifiers
    assert not set(given) & set(deprecated_classifiers)
    assert "Typing :: Typed" in given


def test_the_source_distribution_can_be_tested(sdist):
    assert {f"src/{name}" for name in package_files()} <= sdist
    beside = {"LICENSE", "README.md", "CHANGELOG.md", "CITATION.cff", "Dockerfile", "constraints.txt", "mkdocs.yml"}
    assert beside | {".ci/run", "tests/test_release.py", "docs/index.md", "pyproject.toml"} <= sdist
    assert not [name for name in sdist if name.startswith(("site/", "dist/", ".git/", "learngn-demo/"))]


def test_one_version_and_one_date():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    [version] = re.findall(r"^version: (.+)$", citation, re.MULTILINE)
    [date] = re.findall(r"^date-released: (\d{4}-\d\d-\d\d)$", citation, re.MULTILINE)
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    released = [heading for heading in headings if heading != "Unreleased"]
    assert version == __version__
    assert released[0] == f"{__version__} ({date})"
    assert headings.index(released[0]) <= 1
    literal = re.compile(rf"""["'=]{re.escape(__version__)}["']""")
    places = [path for path in SOURCE.rglob("*.py") if literal.search(path.read_text(encoding="utf-8"))]
    assert places == [SOURCE / "_version.py"]
