"""learngn tune: what it prints, what it writes, and what it leaves alone."""

import json

import numpy as np
import pytest

from learngn.geometry.image import Image
from learngn.io import read_image


@pytest.fixture
def training(dataset):
    """The data set, its first two subjects for training and the third, with itself, for validation."""
    description = json.loads(dataset.read_text())
    description["training"] = [
        {"image": f"./imagesTr/Toy_000{n}_0000.nii.gz", "label": f"./labelsTr/Toy_000{n}_0000.nii.gz"} for n in (1, 2)
    ]
    third = "./imagesTr/Toy_0003_0000.nii.gz"
    description["registration_val"] = [{"fixed": third, "moving": third}]
    dataset.write_text(json.dumps(description))
    return dataset


@pytest.mark.slow
def test_what_it_finds_serves_a_cohort(learngn, training, tmp_path):
    found = tmp_path / "settings.json"
    options = ("--features", "intensity", "--no-affine", "--pairs", "1", "--rounds", "1", "--threads", "1")
    result = learngn("tune", training, "-o", found, *options)
    assert result.exit_code == 0, result.stderr
    assert "trials:" in result.stdout
    assert json.loads(found.read_text())["features"] == "intensity"
    again = learngn("tune", training, "-o", tmp_path / "again.json", "--json", *options)
    trials = json.loads(again.stdout)
    assert trials["best"]["objective"] >= trials["trials"][0]["objective"]
    assert (tmp_path / "again.json").read_bytes() == found.read_bytes()
    out = tmp_path / "out"
    assert learngn("cohort", training, "-o", out, "--settings", found, "--threads", "1").exit_code == 0
    assert json.loads((out / "results.jsonl").read_text())["pair"] == "0003_0003"


@pytest.mark.slow
def test_the_validation_pairs_are_not_looked_at(learngn, training, tmp_path):
    options = ("--features", "intensity", "--no-affine", "--pairs", "1", "--rounds", "1", "--threads", "1")
    found = [tmp_path / name for name in ("before.json", "after.json")]
    assert learngn("tune", training, "-o", found[0], *options).exit_code == 0
    for folder in ("imagesTr", "labelsTr"):
        path = training.parent / folder / "Toy_0003_0000.nii.gz"
        image = read_image(path, labels=folder == "labelsTr")
        Image(np.zeros_like(image.data), image.grid).save(path)
    assert learngn("tune", training, "-o", found[1], *options).exit_code == 0
    assert found[0].read_bytes() == found[1].read_bytes()


def test_a_folder_that_is_not_there(learngn, training, tmp_path):
    (tmp_path / "file").write_text("")
    result = learngn("tune", training, "-o", tmp_path / "file" / "settings.json")
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1
