"""Small scans on the disk, and the program run as a user runs it."""

import json
import os

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from learngn.cli import app
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.model import LineariserConfig, Model, ModelConfig, Provenance, write_model
from learngn.settings import Settings


def blobs(grid, shift):
    """A scan of two ellipsoids in a body, and their label map; `shift` moves them [fraction of the grid]."""
    axes = [(np.arange(n) + 0.5) / n - shift for n in grid.shape]
    x = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    labels = np.zeros(grid.shape, dtype=np.uint8)
    for value, centre in enumerate((0.38, 0.62), start=1):
        labels[(((x - centre) / 0.14) ** 2).sum(axis=-1) < 1] = value
    body = (((x - 0.5) / 0.45) ** 2).sum(axis=-1) < 1
    texture = 8 * np.sin(9 * x).sum(axis=-1)
    scan = (100 * body + 60 * labels + texture).astype(np.float32)
    return Image.from_array(scan, grid), Image.from_array(labels, grid, labels=True)


@pytest.fixture
def fast():
    """Options of a registration that takes a fraction of a second."""
    return ("--strides", "4,2", "--iterations", "3,3", "--lambda", "3,0.3", "--threads", "1")


@pytest.fixture
def scans(tmp_path):
    """Paths of a pair with labels and landmarks, by role."""
    grid = Grid.from_spacing((24, 20, 16), (2.0, 2.0, 3.0))
    paths = {}
    for side, shift in (("fixed", 0.0), ("moving", 0.04)):
        scan, labels = blobs(grid, shift)
        for role, image in ((side, scan), (f"{side}_labels", labels)):
            paths[role] = tmp_path / f"{role}.nii.gz"
            image.save(paths[role])
        points = np.array([[0.38] * 3, [0.62] * 3]) + shift
        index = points * grid.shape - 0.5
        paths[f"{side}_landmarks"] = tmp_path / f"{side}.csv"
        np.savetxt(paths[f"{side}_landmarks"], index, delimiter=",", fmt="%.4f")
    return paths


@pytest.fixture
def learngn():
    """Run the program; returns its result with stdout, stderr and exit_code."""

    def run(*arguments):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exit_code == 1 and result.exception is not None:
            raise result.exception
        return result

    return run


@pytest.fixture
def dataset(tmp_path):
    """Description of a data set of three subjects and three pairs, Learn2Reg's layout."""
    root = tmp_path / "data"
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
    grid = Grid.from_spacing((20, 20, 16), 2.0)
    for subject, shift in enumerate((0.0, 0.05, -0.05), start=1):
        scan, labels = blobs(grid, shift)
        scan.save(root / "imagesTr" / f"Toy_{subject:04d}_0000.nii.gz")
        labels.save(root / "labelsTr" / f"Toy_{subject:04d}_0000.nii.gz")
    pairs = [
        {"fixed": f"./imagesTr/Toy_{f:04d}_0000.nii.gz", "moving": f"./imagesTr/Toy_{m:04d}_0000.nii.gz"}
        for f, m in ((1, 2), (1, 3), (2, 3))
    ]
    path = root / "Toy_dataset.json"
    path.write_text(json.dumps({"name": "Toy", "labels": {"1": "first", "2": "second"}, "registration_val": pairs}))
    return path


@pytest.fixture
def files_in():
    """Lists everything in a folder, hidden files included, by relative name."""

    def listed(folder):
        return sorted(
            os.path.relpath(os.path.join(at, file), folder) for at, _, files in os.walk(folder) for file in files
        )

    return listed


@pytest.fixture
def model(tmp_path):
    """Folder of a model for volumes of 2 mm: intensities, a linearisation that is a little off the analytic one."""
    torch.manual_seed(0)
    settings = Settings(features="intensity", affine=False, strides=(4, 2), iterations=(3, 3), lam=(0.3, 0.05))
    learned = Model(
        ModelConfig(ndim=3, settings=settings, spacing=2.0, channels=1, lineariser=LineariserConfig(hidden=4))
    )
    with torch.no_grad():
        learned.method.lineariser.last.weight.normal_(0, 0.05)
    training = {"dataset": "Toy", "data_sha256": "abc", "subjects": ["a", "b"], "step": 7, "validation": {"dice": 0.5}}
    write_model(learned, tmp_path / "model", Provenance(training=training))
    return tmp_path / "model"
