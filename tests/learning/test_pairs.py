"""Pairs of two modalities: what is drawn, what teaches, and which encoder a scan gets."""

import json

import numpy as np
import pytest
import torch

import learngn
import learngn.phantom
from learngn.errors import ModelError, TrainingError
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.io import read_dataset
from learngn.learning import TrainingConfig, train
from learngn.learning.data import Example
from learngn.learning.pairing import AnyOfEach, AnyTwo, Listed
from learngn.learning.selection import organs_of, select
from learngn.learning.suited_config import config_for
from learngn.model import NetworkConfig, read_model, write_model

CONFIG = TrainingConfig(features="intensity", validation=1)


def moved(image, offset):
    grid = image.grid.__class__(image.grid.shape, image.grid.affine + np.pad(np.asarray([offset]).T, ((0, 1), (2, 0))))
    return Image(image.data, grid, image.labels)


@pytest.fixture(scope="module")
def paired(tmp_path_factory):
    """Six subjects in two modalities, 40 mm apart; label 1 is the liver, label 2 another place in every pair."""
    root = tmp_path_factory.mktemp("paired")
    for folder in ("imagesTr", "labelsTr", "landmarksTr"):
        (root / folder).mkdir()
    entries, random = [], np.random.default_rng(0)
    for number, phantom in enumerate(learngn.phantom.abdomens(6, (48, 40), seed=3), start=1):
        place = random.integers(4, 36, 2)
        pair = {}
        for code, side in enumerate(("fixed", "moving")):
            name = f"Two_{number:04d}_{code:04d}.nii.gz"
            scan = phantom.scan if code == 0 else Image(-2 * phantom.scan.data + 7, phantom.scan.grid)
            labels = (phantom.labels.data == 1).astype(np.uint8)
            labels[0, 0, place[0] : place[0] + 4, place[1] : place[1] + 4] = 2
            for folder, image in (("imagesTr", scan), ("labelsTr", Image(labels, scan.grid, True))):
                moved(image, (40.0 * code, 0.0)).save(root / folder / name)
            points = np.repeat(place[None] + 1.5, number % 3 + 1, axis=0)
            np.savetxt(root / "landmarksTr" / name.replace(".nii.gz", ".csv"), points, delimiter=",")
            pair[side] = f"./imagesTr/{name}"
        entries.append(pair)
    description = {
        "name": "Two",
        "modality": {"0": "US", "1": "MR"},
        "training": [{"image": path} for pair in entries[:5] for path in pair.values()],
        "training_paired_images": entries[:5],
        "registration_val": entries[5:],
    }
    (root / "Two_dataset.json").write_text(json.dumps(description))
    return read_dataset(root)


@pytest.fixture(scope="module")
def unlisted(paired, tmp_path_factory):
    """The same scans without a list of pairs."""
    description = json.loads((paired.root / "Two_dataset.json").read_text())
    del description["training_paired_images"]
    path = paired.root / "other.json"
    path.write_text(json.dumps(description))
    return read_dataset(path)


@pytest.fixture(scope="module")
def model(paired, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    config = TrainingConfig.model_validate(
        {
            "features": "intensity", "pose": "translation", "strides": (4, 2), "iterations": (2, 1), "steps": 30,
            "network": {"width": 4, "depth": 1, "out_channels": 1, "keep_input": False, "profiles": True},
            "losses": {"landmarks": 0.01, "labels": 1.0}, "rate": 0.02, "warmup": 2, "pretraining": 0.9,
            "validation": 1, "validate_every": 30, "checkpoint_every": 30, "lam_factors": (), "batch": 2,
        }
    )  # fmt: skip
    losses = []
    events = learngn.learning.TrainingEvents(lambda done, values: losses.append(values))
    trained = train(paired, folder, config, events=events)
    return folder, trained, losses


def test_the_list_is_drawn_as_it_stands(paired):
    selection = select(paired, CONFIG)
    assert isinstance(selection.pairing, Listed)
    assert selection.modalities == ("0000", "0001")
    listed = {(pair.fixed.image, pair.moving.image) for pair in paired.training_pairs[:4]}
    random = np.random.default_rng(0)
    drawn = {tuple(subject.image for subject in selection.pairing.draw(random)) for _ in range(60)}
    assert drawn == listed
    assert [tuple(subject.image for subject in pair) for pair in selection.held_out] == [
        (paired.training_pairs[4].fixed.image, paired.training_pairs[4].moving.image)
    ]
    assert "4 pairs" in selection.described(paired)
    assert "US fixed, MR moving" in selection.described(paired)


def test_without_a_list_each_modality_has_its_side(unlisted):
    selection = select(unlisted, CONFIG)
    assert isinstance(selection.pairing, AnyOfEach)
    random = np.random.default_rng(0)
    for _ in range(20):
        fixed, moving = selection.pairing.draw(random)
        assert fixed.image.name.endswith("_0000.nii.gz")
        assert moving.image.name.endswith("_0001.nii.gz")
    fitting = {subject.image.name[4:8] for subject in selection.pairing.members}
    assert not fitting & {subject.image.name[4:8] for pair in selection.held_out for subject in pair}


def test_pairs_of_one_patient_begin_with_a_large_lam(paired, unlisted):
    assert config_for(paired).lam == (30.0, 1.0)
    assert config_for(unlisted).lam == (1.0, 0.03)


def test_one_modality_draws_any_two(dataset):
    selection = select(dataset, CONFIG)
    assert isinstance(selection.pairing, AnyTwo)
    assert selection.modalities == ()


def test_labels_that_mean_the_same_teach(paired):
    """The liver lies at the same place in all; the square of label 2 does not."""
    selection = select(paired, CONFIG)
    assert organs_of(paired, selection, CONFIG) == (1,)
    assert organs_of(paired, selection, CONFIG.model_copy(update={"organs": (2, 1)})) == (1, 2)


def test_few_pairs(paired):
    few = paired.__class__(**{**vars(paired), "training_pairs": paired.training_pairs[:2]})
    with pytest.raises(TrainingError, match=r"2 training pairs.*3 at least"):
        select(few, CONFIG)


def test_the_suited_configuration(paired, dataset):
    config = config_for(paired)
    assert (config.features, config.pose, config.network.keep_input) == ("intensity", "translation", False)
    assert config.losses.landmarks > 0
    assert config.augmentation.noise > 0
    labels = config_for(dataset)
    assert (labels.features, labels.pose, labels.augmentation.noise) == ("organ-distance", "none", 0)
    assert (config.network.trim, labels.network.trim) == (True, False)


@pytest.mark.parametrize(("shape", "precision"), [((40, 48, 56), "float32"), ((96, 96, 96), "auto")])
def test_scans_of_two_modalities_in_3d_are_seen_at_half_resolution(tmp_path, shape, precision):
    """Of stages of few cells bfloat16 gradients are wrong: what counts are the voxels that the network sees."""
    grid, names = Grid(shape, np.eye(4)), ["Two_0001_0000.nii.gz", "Two_0001_0001.nii.gz"]
    for folder, data in (
        ("imagesTr", np.random.default_rng(0).random(shape, np.float32)),
        ("labelsTr", np.ones(shape)),
    ):
        (tmp_path / folder).mkdir()
        for name in names:
            Image(data[None, None].astype(np.float32), grid).save(tmp_path / folder / name)
    names = [f"./imagesTr/{name}" for name in names]
    pair = dict(zip(("fixed", "moving"), names, strict=True))
    training = [{"image": name} for name in names]
    pairs = {"training_paired_images": [pair], "registration_val": []}
    (tmp_path / "Two_dataset.json").write_text(json.dumps({"name": "Two", "training": training, **pairs}))
    config = config_for(read_dataset(tmp_path))
    assert (config.network.stem, config.network.pool, config.precision) == (1, 2, precision)


def test_losses_of_a_pair_alone(model):
    """Landmarks and labels that differ from pair to pair count for their pair; the others teach φ."""
    _, trained, losses = model
    assert set(losses[0]) == {"auxiliary", "distances"}
    assert set(losses[-1]) == {"auxiliary", "distances", "labels", "landmarks"}
    assert trained.model.config.network.out_channels == 1


def test_two_encoders_with_their_own_scale(model):
    folder, trained, _ = model
    read = read_model(folder)
    assert [modality.name for modality in read.config.modalities] == ["US", "MR"]
    first, second = (modality.scale for modality in read.config.modalities)
    assert first != second
    assert read.moving_encoder.profiles is read.encoder.profiles
    ours, theirs = (dict(encoder.network.named_parameters()) for encoder in (read.encoder, read.moving_encoder))
    assert any(not torch.equal(ours[name], theirs[name]) for name in ours)
    for name, value in trained.model.state_dict().items():
        assert torch.equal(value, read.state_dict()[name])


def test_file_names_tell_the_modality(model, paired):
    folder, _, _ = model
    fixed, moving = paired.validation[0].fixed.image, paired.validation[0].moving.image
    read = read_model(folder)
    for pair in ((fixed, moving), (moving, fixed)):
        feature = read.feature_of((pair[0].name, pair[1].name))
        own, other = (read.encoder, read.moving_encoder) if pair[0] is fixed else (read.moving_encoder, read.encoder)
        assert feature.network is own
        assert feature.moving_network is other
        found = learngn.register(*pair, model=read)
        assert np.isfinite(found.displacement.data).all()


def test_names_that_do_not_tell_are_asked_for(model, paired):
    folder, _, _ = model
    read, pair = read_model(folder), paired.validation[0]
    images = [
        Image(image.data, image.grid) for image in map(learngn.io.read_image, (pair.fixed.image, pair.moving.image))
    ]
    with pytest.raises(ModelError, match=r"US \(0000\) and MR \(0001\).*--modalities US,MR"):
        learngn.register(*images, model=read)
    named = learngn.register(*images, model=read.for_modalities("us", "1"))
    told = learngn.register(pair.fixed.image, pair.moving.image, model=read)
    np.testing.assert_array_equal(named.displacement.data, told.displacement.data)
    with pytest.raises(ModelError, match="CT, MR"):
        read.for_modalities("CT", "MR")


def test_a_copy_for_other_processes_knows_as_much(model, tmp_path):
    """Workers of a cohort read the model from a folder."""
    named = read_model(model[0]).for_modalities("MR", "US")
    write_model(named, tmp_path)
    copy = read_model(tmp_path)
    assert copy.given == ("MR", "US")
    assert copy.experience == named.experience is not None
    assert copy.digest == named.digest != read_model(model[0]).digest


def test_modalities_of_a_model_of_one(dataset, quick, tmp_path):
    trained = train(dataset, tmp_path, quick(steps=1, network=NetworkConfig(width=4, depth=1, out_channels=13)))
    with pytest.raises(ModelError, match="the model is for one modality"):
        trained.model.for_modalities("US", "MR")


def test_one_network_for_both_where_wanted(paired, tmp_path):
    config = TrainingConfig.model_validate(
        {
            "features": "intensity", "strides": (4, 2), "iterations": (1, 1), "steps": 2, "pretraining": 0.5,
            "network": {"width": 4, "depth": 1, "out_channels": 2, "keep_input": False, "encoders": "shared"},
            "validation": 1, "lam_factors": (),
        }
    )  # fmt: skip
    trained = train(paired, tmp_path, config).model
    assert trained.moving_encoder.network is trained.encoder.network
    assert read_model(tmp_path).moving_encoder.network is not None


def test_members_are_mapped_once():
    a, b, c = (object() for _ in range(3))
    assert len(Listed([(a, b), (a, c)]).members) == 3
    assert Listed([(1, 2)]).mapped(lambda value: -value).pairs == [(-1, -2)]
    assert AnyTwo([1, 2]).mapped(str).members == ["1", "2"]
    assert Example.__dataclass_fields__["modality"].default == 0
