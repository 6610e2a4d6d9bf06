"""A data set of synthetic abdomens, and a training of it that takes a moment."""

import json
import shutil

import pytest

from learngn.io import read_dataset
from learngn.learning import TrainingConfig
from learngn.model import NetworkConfig


@pytest.fixture(scope="session")
def dataset(abdomen_files):
    """Five training subjects, one validation pair."""
    return read_dataset(abdomen_files)


@pytest.fixture
def changed(abdomen_files, tmp_path):
    """The maker of a changed copy: `change` gets its folder and its description, which it may alter."""

    def make(change):
        root = tmp_path / "data"
        shutil.copytree(abdomen_files.parent, root)
        description = json.loads((root / abdomen_files.name).read_text())
        change(root, description)
        (root / abdomen_files.name).write_text(json.dumps(description))
        return read_dataset(root)

    return make


@pytest.fixture(scope="session")
def quick():
    """The maker of a configuration: a tiny network on two coarse levels, a few steps."""

    def make(**changes):
        values = {
            "features": "distance",
            "strides": (4, 2),
            "iterations": (2, 1),
            "network": NetworkConfig(width=4, depth=1, out_channels=13),
            "steps": 6,
            "warmup": 2,
            "validation": 2,
            "validation_pairs": 2,
            "validate_every": 3,
            "checkpoint_every": 2,
            "lam_factors": (),
        }
        return TrainingConfig(**(values | changes))

    return make
