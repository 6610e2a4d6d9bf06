"""A cohort that takes a second: ten pairs of five coronal planes, their label maps compared."""

import hashlib
import json
import shutil

import pytest
from typer.testing import CliRunner

from learngn.cli import app
from learngn.cohort import run_cohort
from learngn.io import choose_pairs, read_dataset
from learngn.registration import Request
from learngn.settings import Settings

SETTINGS = Settings("organ-distance", affine=False, strides=(8, 4), iterations=(3, 3), lam=(3.0, 0.5))


@pytest.fixture
def settings():
    return Request(settings=SETTINGS)


@pytest.fixture
def pairs(abdomen_files):
    """Every two of five subjects."""
    return choose_pairs(read_dataset(abdomen_files), "train")


@pytest.fixture(scope="session")
def undisturbed(abdomen_files, tmp_path_factory):
    """Folder of the ten pairs, registered one after the other."""
    directory = tmp_path_factory.mktemp("undisturbed")
    run_cohort(choose_pairs(read_dataset(abdomen_files), "train"), directory, Request(settings=SETTINGS))
    return directory


@pytest.fixture
def copied(abdomen_files, tmp_path):
    """The data set in a folder whose files a test may change."""
    return shutil.copytree(abdomen_files.parent, tmp_path / "data") / abdomen_files.name


@pytest.fixture
def contents():
    """Everything in a folder of results that does not depend on the clock, by name of file; fields as a digest."""

    def digest(path):  # pytest takes minutes to show where two long strings of bytes differ
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def read(directory):
        found = {path.name: digest(path) for path in directory.iterdir() if path.name != "results.jsonl"}
        lines = (directory / "results.jsonl").read_text().splitlines()
        found["results.jsonl"] = [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]
        return found

    return read


@pytest.fixture
def learngn():
    """Run the program; returns its result with stdout, stderr and exit_code."""
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])
