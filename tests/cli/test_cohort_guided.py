"""learngn cohort with masks and key points of the data set."""

import json

import numpy as np
import pytest

from learngn.geometry.grid import Grid
from learngn.geometry.image import Image

_SHIFT = {1: 0.0, 2: 0.05, 3: -0.05}  # of the subjects' anatomy, fractions of the grid


@pytest.fixture
def guided(dataset):
    """The data set with masks, and with key points where the ellipsoids are."""
    root, shape = dataset.parent, (20, 20, 16)
    description = json.loads(dataset.read_text())
    for folder in ("masksTr", "keypointsTr"):
        (root / folder).mkdir()
    for subject, shift in _SHIFT.items():
        mask = np.zeros(shape, dtype=np.uint8)
        mask[2:-2, 2:-2, 2:-2] = 1
        Image.from_array(mask, Grid.from_spacing(shape, 2.0), labels=True).save(
            root / "masksTr" / f"Toy_{subject:04d}_0000.nii.gz"
        )
        points = [[(centre + shift) * n for n in shape] for centre in (0.38, 0.5, 0.62)]
        np.savetxt(root / "keypointsTr" / f"Toy_{subject:04d}_0000.csv", points, delimiter=",", fmt="%.3f")
    dataset.write_text(json.dumps(description))
    return dataset


def scores(folder):
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def test_key_points_alone_move_the_anatomy(learngn, guided, tmp_path, fast):
    out = tmp_path / "out"
    options = ("--features", "none", "--no-affine", "--keypoint-weight", "1")
    result = learngn("cohort", guided, "-o", out, *options, *fast)
    assert result.exit_code == 0, result.stderr
    assert all(record["dice_mean"] > record["dice_mean_before"] + 0.05 for record in scores(out))


def test_masks(learngn, guided, tmp_path, fast):
    plain, masked = tmp_path / "plain", tmp_path / "masked"
    options = ("--features", "intensity", "--no-affine", *fast)
    assert learngn("cohort", guided, "-o", plain, *options).exit_code == 0
    assert learngn("cohort", guided, "-o", masked, "--masks", *options).exit_code == 0
    assert scores(plain)[0]["sdlogj"] != scores(masked)[0]["sdlogj"]


def test_a_mask_that_is_missing(learngn, guided, tmp_path, fast):
    (guided.parent / "masksTr" / "Toy_0002_0000.nii.gz").unlink()
    result = learngn("cohort", guided, "-o", tmp_path / "out", "--masks", *fast)
    assert result.exit_code != 0
    assert "mask of Toy_0002" in result.stderr
