"""Registration as a dictionary transform of MONAI, within a pipeline of its transforms."""

import numpy as np
import pytest
import torch

import learngn
from learngn.interop import from_monai

transforms = pytest.importorskip("monai.transforms")

SETTINGS = learngn.Settings("intensity", True, (4, 2), (3, 3))


@pytest.fixture
def files(fixed, moving, labels, transform, tmp_path):
    """The fixed scan is the moving one warped, so that there is something to find."""
    made = {"fixed": transform.warp(moving, fixed.grid, background="border"), "moving": moving, "organs": labels}
    for name, image in made.items():
        image.save(tmp_path / f"{name}.nii.gz")
    return {name: tmp_path / f"{name}.nii.gz" for name in made}


def test_a_pipeline_from_files(files, moving, labels):
    from learngn.workflow.monai_transform import RegisterD

    keys = ["fixed", "moving", "organs"]
    steps = transforms.Compose(
        [
            transforms.LoadImaged(keys, ensure_channel_first=True),
            RegisterD(labels=["organs"], options={"settings": SETTINGS, "affine": True}, keep="registration"),
            transforms.SpatialPadd(["moving_warped", "organs_warped"], (24, 24, 24)),
        ]
    )
    result = steps(files)
    registration = learngn.register(files["fixed"], files["moving"], settings=SETTINGS, affine=True)
    ours = registration.transform
    fixed = registration.fixed
    assert result["moving_warped"].shape == (1, 24, 24, 24)
    warped = result["registration"].warped
    np.testing.assert_allclose(warped.data, registration.warped.data, atol=1e-2, rtol=0)
    inner = [slice((24 - n) // 2, (24 - n) // 2 + n) for n in fixed.grid.shape]
    np.testing.assert_allclose(result["moving_warped"].as_tensor()[(0, *inner)], warped.data[0, 0])
    organs = result["organs_warped"].as_tensor()[(0, *inner)]
    expected = ours.warp(labels, fixed.grid).data[0, 0]
    assert (np.asarray(organs) == np.asarray(expected)).mean() > 0.999
    np.testing.assert_allclose(result["ddf"].affine, fixed.grid.affine, atol=1e-5)
    field = ours.on(fixed.grid).displacement(moving.grid)[0]
    np.testing.assert_allclose(result["ddf"].as_tensor(), field, atol=1e-3, rtol=0)
    assert from_monai(result["moving_warped"]).grid.spacing == pytest.approx(fixed.grid.spacing, rel=1e-5)


def test_names_and_missing_keys(fixed, moving):
    from learngn.workflow.monai_transform import RegisterD

    step = RegisterD(
        "a",
        "b",
        labels=["seg"],
        images=["pet"],
        options={"settings": SETTINGS, "affine": False},
        allow_missing_keys=True,
    )
    result = step({"a": fixed, "b": moving, "pet": moving})
    assert set(result) == {"a", "b", "pet", "b_warped", "pet_warped", "ddf"}
    torch.testing.assert_close(result["b_warped"], result["pet_warped"])
    strict = RegisterD("a", "b", labels=["seg"], options={"settings": SETTINGS, "affine": False})
    with pytest.raises(KeyError, match="seg"):
        strict({"a": fixed, "b": moving})
