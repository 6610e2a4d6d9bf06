"""Verdicts on registrations by a model: what it knows of its training tells scans that are like those from others."""

import json
from importlib import import_module

import numpy as np
import pytest

from learngn import register
from learngn.errors import ModelError
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.io import read_dataset
from learngn.learning import TrainingConfig, train
from learngn.model import Modality, Model, ModelConfig, NetworkConfig, VoxelMorphConfig, read_description, read_model
from learngn.phantom import ORGANS, abdomen, abdomens
from learngn.quality import Experience
from learngn.settings import Settings

SHAPE = (64, 52)
SEEN = (1, 3)  # liver and spleen


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that sees liver and spleen in scans of coronal planes."""
    root = tmp_path_factory.mktemp("planes")
    names = [f"Planes_{number:04d}_0000.nii.gz" for number in range(1, 12)]
    for part in ("imagesTr", "labelsTr"):
        (root / part).mkdir()
    for name, phantom in zip(names, abdomens(len(names), SHAPE, seed=3), strict=True):
        phantom.scan.save(root / "imagesTr" / name)
        phantom.labels.save(root / "labelsTr" / name)
    description = {
        "name": "Planes",
        "labels": {"0": "background"} | {str(value): name for value, name in ORGANS.items()},
        "training": [{"image": f"./imagesTr/{name}"} for name in names],
        "registration_val": [],
    }
    (root / "Planes_dataset.json").write_text(json.dumps(description))
    network = NetworkConfig(width=8, depth=2, stem=1, out_channels=2, keep_input=False)
    config = TrainingConfig(
        features="intensity", strides=(4, 2), iterations=(4, 4), organs=SEEN, network=network, pretraining=1.0,
        steps=150, batch=2, rate=5e-3, warmup=10, lam_factors=(), validate_every=1000, checkpoint_every=1000,
        augmentation={"contrast": 0.2, "noise": 0.03},
    )  # fmt: skip
    train(read_dataset(root), root / "model", config)
    return root / "model"


@pytest.fixture(scope="module")
def scans():
    return [abdomen(SHAPE, seed=seed).scan for seed in (101, 102, 103, 104)]


def placed(image, *, factor=1.0, shift=0.0):
    affine = image.grid.affine.copy()
    affine[:2, :2] *= factor
    affine[0, -1] += shift
    return Image(image.data, Grid(image.grid.shape, affine))


def cropped(image):
    data = np.ascontiguousarray(image.data[..., : SHAPE[1] // 3])
    return Image(data, Grid(data.shape[2:], image.grid.affine))


def noise(image):
    values = np.random.default_rng(0).normal(0, 100, image.data.shape).astype(np.float32)
    return Image(values, image.grid)


SPOILED = {
    "shifted far": (lambda scan: placed(scan, shift=150.0), "organs_before"),
    "another part of the body": (cropped, "field_moving"),
    "inverted": (lambda scan: Image(-scan.data, scan.grid), "inputs_moving"),
    "noise": (noise, "inputs_moving"),
    "another spacing": (lambda _: abdomen((12, 10), seed=102).scan, "spacing_moving"),
    "wrong spacing": (lambda scan: placed(scan, factor=3.0), "field_moving"),
}


@pytest.mark.slow
class TestTrained:
    def test_the_record(self, folder):
        known = Experience.read(read_description(folder)[1].training["experience"])
        assert known == Experience.read(read_model(folder).experience)
        assert known.organs == ("liver", "spleen")
        assert known.channels == range(2)
        assert known.count == 6
        assert known.scans[0].count == 11
        liver, spleen = (volumes[1] for volumes in known.scans[0].volumes)
        assert 200 > liver > spleen > 1  # [cm²]
        assert known.pairs["organs_after"][1] > known.pairs["organs_before"][1]

    def test_good_pairs(self, folder, scans):
        for fixed, moving in ((scans[0], scans[1]), (scans[2], scans[3])):
            result = register(fixed, moving, model=folder)
            assert result.verdict.status == "ok", result.verdict.line
            learned = result.verdict.to_json()["fit"]["learned"]
            assert learned["after"]["organs"] > learned["before"]["organs"] + 0.1
            assert learned["after"]["features"] > learned["before"]["features"]
            assert result.seconds["quality"] > 0

    @pytest.mark.parametrize("case", SPOILED)
    def test_spoiled_pairs(self, folder, scans, case):
        spoil, measure = SPOILED[case]
        verdict = register(scans[0], spoil(scans[1]), model=folder).verdict
        assert verdict.status in ("check", "failed")
        assert measure in [reason.measure for reason in verdict.reasons], verdict.line

    def test_the_fixed_scan_is_named(self, folder, scans):
        verdict = register(noise(scans[0]), scans[1], model=folder).verdict
        texts = [reason.text for reason in verdict.reasons]
        assert any(text.startswith("the intensities of the fixed scan are distributed unlike") for text in texts)

    def test_a_model_without_a_record(self, folder, scans):
        model = read_model(folder)
        model.experience = None
        verdict = register(scans[0], scans[1], model=model).verdict
        assert "patterns_after" in verdict.measures
        assert verdict.measures["features_after"] > verdict.measures["features_before"]
        assert "organs_after" not in verdict.measures

    def test_a_broken_record(self, folder, scans):
        model = read_model(folder)
        model.experience = {"scans": []}
        with pytest.raises(ModelError, match="experience of the model"):
            register(scans[0], scans[1], model=model)

    def test_a_displacement_that_fits_no_worse_is_kept(self, folder, scans):
        """Whatever the intensities say: the model compares something else."""
        result = register(scans[0], Image(-scans[1].data, scans[1].grid), model=folder)
        assert not result.verdict.left_out
        assert float(np.abs(result.displacement.data).max()) > 0.1

    def test_a_displacement_that_fits_worse_is_left_out(self, folder, scans, monkeypatch):
        preparing = import_module("learngn.registration.prepare")
        usual = preparing.at_full_resolution

        def spoiled(result, *rest, **options):
            result.field[:, :, ::2], result.field[:, :, 1::2] = 8.0, -8.0
            return usual(result, *rest, **options)

        monkeypatch.setattr(preparing, "at_full_resolution", spoiled)
        result = register(scans[0], scans[1], model=folder)
        assert result.verdict.left_out
        assert result.verdict.reasons[0].text.startswith("the displacement is left out, since the learned features")
        assert not result.displacement.data.any()

    def test_without_a_verdict(self, folder, scans):
        result = register(scans[0], scans[1], model=folder, quality=False)
        assert result.verdict is None
        assert "quality" not in result.seconds


@pytest.fixture
def two_modalities(folder, scans):
    """A model of two modalities, not trained, and the record of another one for both."""
    settings = Settings(features="intensity", affine="none", strides=(4, 2), iterations=(2, 2), lam=(0.3, 0.05))
    modalities = tuple(Modality(code=f"000{n}", name=name, scale=1.0) for n, name in enumerate(("US", "MR")))
    config = ModelConfig(
        ndim=2, settings=settings, spacing=float(scans[0].grid.spacing.min()), channels=1, modalities=modalities,
        network=NetworkConfig(width=8, depth=2, stem=1, out_channels=2, keep_input=False),
    )  # fmt: skip
    record = dict(read_model(folder).experience)
    return Model(config).eval().for_modalities("US", "MR"), record | {"scans": record["scans"] * 2}


@pytest.mark.slow
def test_two_modalities_are_judged_by_learned_features_alone(two_modalities, scans):
    model, record = two_modalities
    assert register(scans[0], scans[1], model=model).verdict is None  # nothing to judge by
    model.experience = record
    verdict = register(scans[0], scans[1], model=model).verdict
    assert verdict.fit["kind"] == "modalities"
    assert verdict.status != "ok"  # it has learned nothing
    assert not [name for name in verdict.measures if name.startswith(("patterns", "local", "information", "turned"))]
    assert {reason.measure for reason in verdict.reasons} & {"organs_after", "features_after", "volumes_moving"}


@pytest.mark.slow
def test_voxelmorph_is_judged(scans):
    pytest.importorskip("monai")
    settings = Settings(features="intensity", affine="none", strides=(4, 2), iterations=(1, 1), lam=(0.3, 0.05))
    config = ModelConfig(
        ndim=2, settings=settings, spacing=float(scans[0].grid.spacing.min()), channels=1,
        voxelmorph=VoxelMorphConfig(width=4, stages=2),
    )  # fmt: skip
    assert register(scans[0], scans[1], model=Model(config).eval()).verdict is not None
