"""The verdict of `learngn register`: summary, metrics.json and --strict."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from learngn.cli.app import app
from learngn.geometry.image import Image
from learngn.io import write_image
from learngn.phantom import abdomen

SHAPE = (40, 36, 32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    first, second = (abdomen(SHAPE, seed=seed).scan for seed in (1, 2))
    noise = np.random.default_rng(0).normal(0, 100, (1, 1, *SHAPE)).astype(np.float32)
    for name, image in (("first", first), ("second", second), ("noise", Image(noise, first.grid))):
        write_image(image, folder / f"{name}.nii.gz")
    return folder


def run(folder, moving, *options):
    arguments = [str(folder / "first.nii.gz"), str(folder / f"{moving}.nii.gz"), "-o", str(folder / moving)]
    result = CliRunner().invoke(app, ["register", *arguments, "--no-report", *options])
    return result, json.loads((folder / moving / "metrics.json").read_text())


def test_good_pair(folder):
    result, metrics = run(folder, "second", "--strict")
    assert result.exit_code == 0
    assert "verdict ok" in result.output
    assert metrics["verdict"] == "ok"
    assert metrics["reasons"] == []
    assert metrics["fit"]["after"]["patterns"] > metrics["fit"]["before"]["patterns"]


def test_failed(folder):
    result, metrics = run(folder, "noise")
    assert result.exit_code == 0
    assert "verdict failed" in result.output
    assert metrics["verdict"] == "failed"
    assert metrics["reasons"][0] in result.output
    strict, _ = run(folder, "noise", "--strict")
    assert strict.exit_code == 3
    assert (folder / "noise" / "warped.nii.gz").exists()


def test_without(folder):
    result, metrics = run(folder, "second", "--no-quality")
    assert result.exit_code == 0
    assert "verdict" not in result.output
    assert not {"verdict", "reasons", "fit"} & set(metrics)
