from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.ndimage import correlate1d, gaussian_filter, map_coordinates

from learngn.evaluation.learn2reg import score
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.geometry.transform import DisplacementField

pytestmark = pytest.mark.data


def test_real_labels_against_the_challenge_step_by_step(data_root):
    data = data_root / "HippocampusMR"
    nibabel = pytest.importorskip("nibabel")
    pair = json.loads((data / "HippocampusMR_dataset.json").read_text())["registration_val"][0]
    files = [nibabel.load(data / pair[side].replace("images", "labels")) for side in ("fixed", "moving")]
    fixed, moving = (np.asarray(file.dataobj) for file in files)
    grids = [Grid(file.shape, file.affine) for file in files]
    rng = np.random.default_rng(0)
    displacement = np.stack([gaussian_filter(rng.normal(size=fixed.shape), 4) for _ in range(3)]).astype(np.float32)
    displacement *= 3 / displacement.std()
    found = score(
        DisplacementField(displacement[None], grids[0]),
        *grids,
        labels=tuple(Image.from_array(v, g, labels=True) for v, g in zip((fixed, moving), grids, strict=True)),
    )
    warped = map_coordinates(moving.astype(float), np.indices(fixed.shape) + displacement, order=0)
    for label in (1, 2):
        a, b, c = fixed == label, warped == label, moving == label
        assert found.dice[label] == 2 * (a & b).sum() / (a.sum() + b.sum())
        assert found.dice_before[label] == 2 * (a & c).sum() / (a.sum() + c.sum())
    gradient = np.stack([correlate1d(displacement, [-0.5, 0, 0.5], axis=a, mode="constant") for a in (1, 2, 3)])
    jacobian = np.moveaxis(gradient, (0, 1), (-2, -1))[2:-2, 2:-2, 2:-2].astype(float) + np.eye(3)
    assert found.sdlogj == pytest.approx(np.log((np.linalg.det(jacobian) + 3).clip(1e-9, 1e9)).std(), rel=1e-5)
    assert 0 < found.hd95_mean < 20
