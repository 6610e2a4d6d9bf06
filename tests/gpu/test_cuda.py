"""Registration of one pair on a CUDA device agrees with the CPU."""

import numpy as np
import pytest

import learngn
from learngn.phantom import abdomens
from learngn.settings import Settings

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("features", ["mind,intensity:10", "organ-distance"])
def test_same_as_on_the_cpu(features: str):
    fixed, moving = ((p.labels if "organ" in features else p.scan) for p in abdomens(2, (48, 40, 32), seed=0))
    settings = Settings(features, affine=True, strides=(4, 2), iterations=(3, 3), lam=(3.0, 0.5))
    results = []
    for device in ("cpu", "cuda"):
        results.append(learngn.register(fixed.to(device), moving.to(device), settings=settings))
    here, there = results
    assert there.displacement.data.device.type == "cuda"
    difference = (here.displacement.data - there.displacement.data.cpu()).norm(dim=1)
    assert float(difference.mean()) < 0.02
    np.testing.assert_allclose(here.affine.matrix, there.affine.matrix, rtol=1e-3, atol=1e-2)
