"""Training: the same from the same seed, on from where it was killed, and stopped where it cannot go on."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import learngn
from learngn.errors import TrainingError
from learngn.io import read_dataset, read_image
from learngn.learning import TrainingEvents, draw, train, trainer
from learngn.learning.checkpoint import CHECKPOINT_NAME, read_checkpoint
from learngn.learning.unrolled import unrolled
from learngn.model import LineariserConfig, NetworkConfig, VoxelMorphConfig, read_description, read_model

SCANS = {"features": "intensity", "network": NetworkConfig(width=4, depth=1, out_channels=3)}
NO_LABELS = {"labels": 0, "auxiliary": 0, "distances": 0}


def weights(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_same_weights(one, other):
    one, other = (weights(model) if isinstance(model, nn.Module) else model for model in (one, other))
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


class Record:
    """What the events of a training tell."""

    def __init__(self, stop_after=None):
        self.losses, self.validations, self.stop_after = [], [], stop_after
        self.events = TrainingEvents(self._step, self._validated)

    def _step(self, done, losses):
        self.losses.append((done, losses))
        if done == self.stop_after:
            raise KeyboardInterrupt

    def _validated(self, done, model, found, best):
        self.validations.append((done, found, best, weights(model)))

    @property
    def steps(self):
        return [done for done, _ in self.losses]


@pytest.fixture(scope="module")
def undisturbed(dataset, quick, tmp_path_factory):
    """A training from beginning to end: its folder, its result and what it told."""
    folder, record = tmp_path_factory.mktemp("model"), Record()
    config = quick(lineariser=LineariserConfig(hidden=4))
    return folder, config, train(dataset, folder, config, events=record.events), record


def test_the_folder_holds_what_was_returned(undisturbed, dataset):
    folder, _, trained, _ = undisturbed
    assert not trained.model.training
    assert_same_weights(read_model(folder), trained.model)
    _, provenance = read_description(folder)
    assert provenance.version == learngn.__version__
    assert provenance.training["dataset"] == "Toy"
    assert provenance.training["step"] == trained.step
    assert provenance.training["validation"] == json.loads(json.dumps(trained.validation.to_json()))
    result = learngn.register(dataset.validation[0].fixed.image, dataset.validation[0].moving.image, model=folder)
    assert result.settings.features == "distance"
    assert len(result.history) > 0


def test_starts_from_the_weights_of_a_model(undisturbed, dataset, quick, tmp_path):
    initial = undisturbed[2].model
    config = quick(rate=1e-9, factor_rate=1e-9, weight_decay=0, steps=2, pretraining=1.0)
    begun = train(dataset, tmp_path, config, initial=initial)
    for name, tensor in begun.model.encoder.state_dict().items():
        torch.testing.assert_close(tensor, initial.encoder.state_dict()[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize("other", [{"pool": 2}, {"trim": True}], ids=str)
def test_networks_that_are_given_something_else_are_no_start(undisturbed, dataset, quick, tmp_path, other):
    """Their weights have the same shapes."""
    config = quick(network=NetworkConfig(width=4, depth=1, out_channels=13, **other))
    with pytest.raises(TrainingError, match=f"network.{next(iter(other))} of the initial model: got .*expected"):
        train(dataset, tmp_path, config, initial=undisturbed[2].model)
    assert not list(tmp_path.iterdir())


def test_events_tell_every_step_and_validation(undisturbed):
    _, config, _, record = undisturbed
    assert record.steps == [1, 2, 3, 4, 5, 6]
    assert [done for done, *_ in record.validations] == [3, 4, 6]  # 4: before the first whole step
    # The first steps are on the losses of φ alone.
    first = config.pretraining_steps
    assert 0 < first < 6
    assert [set(losses) for _, losses in record.losses] == [
        {"auxiliary", "distances"} | ({"labels"} if done > first else set()) for done in record.steps
    ]


def test_the_best_weights_are_kept(undisturbed):
    _, _, trained, record = undisturbed
    figures = [found.figure for _, found, *_ in record.validations]
    highest = np.maximum.accumulate([-np.inf, *figures[:-1]])
    assert [best for *_, best, _ in record.validations] == list(np.asarray(figures) > highest)
    done, found, _, kept = record.validations[int(np.argmax(figures))]
    assert (done, found) == (trained.step, trained.validation)
    assert_same_weights(kept, trained.model)


def test_same_seed_same_weights(undisturbed, dataset, quick, tmp_path):
    _, config, trained, record = undisturbed
    other = Record()
    again = train(dataset, tmp_path, config, events=other.events)
    assert_same_weights(again.model, trained.model)
    assert other.losses == record.losses
    assert again.validation == trained.validation


def test_another_seed_other_weights(undisturbed, dataset, tmp_path):
    _, config, _, record = undisturbed
    other = Record()
    train(dataset, tmp_path, config.model_copy(update={"seed": 1, "steps": 2}), events=other.events)
    assert other.losses[0] != record.losses[0]


@pytest.mark.parametrize("killed_after", [2, 3, 5])
@pytest.mark.slow
def test_killed_and_gone_on(undisturbed, dataset, tmp_path, killed_after):
    """The weights, the running mean, the optimiser and what is drawn are those of the undisturbed training."""
    folder, config, trained, record = undisturbed
    with pytest.raises(KeyboardInterrupt):
        train(dataset, tmp_path, config, events=Record(killed_after).events)
    rest = Record()
    again = train(dataset, tmp_path, config, events=rest.events)
    begun = (killed_after - 1) // 2 * 2  # checkpoints are written every other step, after the events
    assert rest.losses == record.losses[begun:]
    assert_same_weights(again.model, trained.model)
    assert (again.step, again.validation) == (trained.step, trained.validation)
    for name in ("model.json", "weights.safetensors"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_a_finished_training_is_not_repeated(undisturbed, dataset):
    folder, config, trained, _ = undisturbed
    before = {path: path.read_bytes() for path in folder.iterdir()}
    record = Record()
    again = train(dataset, folder, config, events=record.events)
    assert (record.losses, record.validations) == ([], [])
    assert_same_weights(again.model, trained.model)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_another_training_in_the_same_folder(undisturbed, dataset, changed):
    folder, config, _, _ = undisturbed
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(TrainingError, match=r"another configuration or other data"):
        train(dataset, folder, config.model_copy(update={"rate": 0.5}))

    def other_scan(root, description):
        path = root / "imagesTr" / "Toy_0001_0000.nii.gz"
        image = read_image(path, labels=True)
        image.data[0, 0, 20, 20] += 1
        image.save(path)

    with pytest.raises(TrainingError, match=r"another configuration or other data"):
        train(changed(other_scan), folder, config)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_broken_checkpoint(undisturbed, dataset, tmp_path):
    folder, config, _, _ = undisturbed
    content = (folder / CHECKPOINT_NAME).read_bytes()
    for broken in (content[: len(content) // 2], b"", b"no checkpoint"):
        (tmp_path / CHECKPOINT_NAME).write_bytes(broken)
        with pytest.raises(TrainingError, match=r"a broken file.*delete it"):
            train(dataset, tmp_path, config)
    assert read_checkpoint(tmp_path / "nothing", "any") is None


def test_held_out_and_validation_subjects_are_never_trained_on(dataset, quick, tmp_path, monkeypatch):
    drawn, read = set(), set()
    deform, read_example = draw.augmented, learngn.learning.train.__globals__["read_example"]
    monkeypatch.setattr(draw, "augmented", lambda e, *rest, **kinds: drawn.add(e.name) or deform(e, *rest, **kinds))
    monkeypatch.setitem(
        learngn.learning.train.__globals__,
        "read_example",
        lambda subject, **rest: read.add(subject.image.name) or read_example(subject, **rest),
    )
    config = quick(steps=12, pretraining=0.9, validate_every=12, checkpoint_every=12)
    train(dataset, tmp_path, config)
    provenance = read_description(tmp_path)[1].training
    everyone = [f"Toy_{subject:04d}_0000.nii.gz" for subject in range(1, 8)]
    assert provenance["subjects"] == everyone[:4]  # a third at most is held out, whatever the configuration asks for
    assert provenance["held_out"] == everyone[4:5]
    assert drawn == set(everyone[:4])
    assert read == set(everyone[:5])


@pytest.mark.slow
def test_iterations_are_drawn_and_rise(dataset, quick, tmp_path, monkeypatch):
    """Between `fewest` and `most` of the schedule; none below `finest`; at first few."""
    asked = []

    def spy(*arguments, iterations, **options):
        asked.append(tuple(iterations))
        return unrolled(*arguments, iterations=[min(1, count) for count in iterations], **options)

    monkeypatch.setattr("learngn.learning.training_step.unrolled", spy)
    config = quick(
        strides=(8, 4, 2), iterations=(8, 4, 4), steps=30, pretraining=0.2, fewest=0.25, most=1.5, finest=4.0,
        curriculum=0.5, validate_every=30, checkpoint_every=30,
    )  # fmt: skip
    train(dataset, tmp_path, config)
    counts = np.array(asked)
    assert counts.shape == (24, 3)
    assert not counts[:, 2].any()
    assert counts[:, :2].min(axis=0).tolist() == [2, 1]
    assert counts[0].tolist() == [2, 1, 0]
    assert counts[:6, 0].max() <= 7 < counts[12:, 0].max() <= 12
    assert counts[12:, 1].max() <= 6
    assert len(set(counts[12:, 0])) > 3


@pytest.mark.slow
def test_the_loss_falls(dataset, quick, tmp_path):
    record = Record()
    config = quick(
        steps=40, pretraining=0.5, network=NetworkConfig(width=8, depth=1, out_channels=13), rate=0.01, batch=2,
        validate_every=40, checkpoint_every=40,
    )  # fmt: skip
    train(dataset, tmp_path, config, events=record.events)

    def mean(name, steps):
        return np.mean([losses[name] for done, losses in record.losses if done in steps])

    for name in ("auxiliary", "distances"):
        assert mean(name, range(33, 41)) < 0.8 * mean(name, range(1, 9))


def test_loss_that_is_no_number(dataset, quick, tmp_path, monkeypatch):
    """The training ends in one line; the best model before, and the checkpoint, are there and whole."""
    step, calls = trainer.TrainingStep.forward, []

    def diverging(self, batch, iterations, random):
        calls.append(1)
        losses = step(self, batch, iterations, random)
        return {name: value * (torch.nan if len(calls) == 5 else 1) for name, value in losses.items()}

    monkeypatch.setattr(trainer.TrainingStep, "forward", diverging)
    config, record = quick(batch=1), Record()
    with pytest.raises(TrainingError, match=r"step 5 of the training.*not finite.*lower the rate") as raised:
        train(dataset, tmp_path, config, events=record.events)
    assert str(tmp_path) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert record.steps == [1, 2, 3, 4]
    model = read_model(tmp_path)
    assert_same_weights(model, max(record.validations, key=lambda validated: validated[1].figure)[3])
    assert all(bool(torch.isfinite(tensor).all()) for tensor in model.state_dict().values())
    monkeypatch.undo()
    rest = Record()
    train(dataset, tmp_path, config, events=rest.events)
    assert rest.steps == [5, 6]


def test_rate_that_explodes(dataset, quick, tmp_path):
    config = quick(rate=1e30, warmup=0, validate_every=100, checkpoint_every=100)
    with pytest.raises(TrainingError, match=r"not finite.*lower the rate \(1e\+30\)") as raised:
        train(dataset, tmp_path, config)
    assert "best weights" not in str(raised.value)  # there are none yet
    assert list(tmp_path.iterdir()) == []


def one_subject(root, description):
    description["training"] = description["training"][:1]


def two_subjects(root, description):
    description["training"] = description["training"][:2]


def only_validation_subjects(root, description):
    description["training"] = description["training"][5:]


def labels_missing(root, description):
    (root / "labelsTr" / "Toy_0002_0000.nii.gz").unlink()
    (root / "labelsTr" / "Toy_0004_0000.nii.gz").unlink()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (one_subject, "got 1 training subjects, expected 3 at least"),
        (two_subjects, "got 2 training subjects"),
        (only_validation_subjects, "got 0 training subjects"),
        (labels_missing, "labels of Toy_0002_0000.nii.gz, Toy_0004_0000.nii.gz: got no file"),
    ],
)
def test_data_that_cannot_be_trained_on(changed, quick, tmp_path, change, told):
    with pytest.raises(TrainingError) as raised:
        train(changed(change), tmp_path / "model", quick())
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"losses": NO_LABELS}, "losses: got none that looks at the alignment"),
        ({"losses": NO_LABELS | {"landmarks": 1}}, "landmarks of Toy_0001"),
        ({"network": NetworkConfig(out_channels=4)}, "network.out_channels: got 4, expected 13 at least"),
        ({"finest": 8.0}, "finest: got 8"),
    ],
)
def test_configurations_that_teach_nothing(dataset, quick, tmp_path, changes, told):
    with pytest.raises(TrainingError) as raised:
        train(dataset, tmp_path / "model", quick(**changes))
    assert told in str(raised.value)
    assert not (tmp_path / "model").exists()


class Own(nn.Module):
    """A network of one's own."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(1, 13, 3, padding=1)

    def forward(self, x):
        return self.convolution(x)


class TestOtherModels:
    """Whatever is learned: a few steps, a folder that can be read, a registration with it."""

    def trained(self, dataset, config, folder, network=None):
        record = Record()
        model = train(dataset, folder, config, network=network, events=record.events).model
        started = read_description(folder)[0]
        assert started == model.config
        pair = dataset.validation[0]
        result = learngn.register(
            pair.fixed.image, pair.moving.image,
            model=read_model(folder, network=None if network is None else type(network)()),
        )  # fmt: skip
        assert np.isfinite(result.displacement.data).all()
        return model, record

    def test_lineariser_and_lambda_alone(self, dataset, quick, tmp_path):
        """There is nothing to train φ with, so no step is spent on it."""
        config = quick(network=None, lineariser=LineariserConfig(hidden=4), steps=3)
        _, record = self.trained(dataset, config, tmp_path)
        assert [set(losses) for _, losses in record.losses] == [{"labels"}] * 3
        assert [done for done, *_ in record.validations] == [0, 3]
        (*_, untrained), (*_, last) = record.validations
        for name in ("method.lineariser.last.weight", "method.log_lam"):
            assert not bool(untrained[name].any())
            assert bool(last[name].any())

    def test_published_lineariser(self, dataset, quick, tmp_path):
        config = quick(
            network=None, lineariser=LineariserConfig(kind="published", hidden=2), steps=2, learn_lam=False,
            losses=NO_LABELS | {"mse": 1},
        )  # fmt: skip
        model, record = self.trained(dataset, config, tmp_path)
        assert set(record.losses[0][1]) == {"mse"}
        assert not bool(model.method.log_lam.any())

    def test_own_network(self, dataset, quick, tmp_path):
        torch.manual_seed(0)
        network = Own()
        before = network.convolution.weight.detach().clone()
        model, _ = self.trained(
            dataset, quick(network=NetworkConfig(kind="own", out_channels=13), steps=2), tmp_path, network
        )
        assert not torch.equal(model.encoder.network.convolution.weight, before)

    def test_voxelmorph(self, dataset, quick, tmp_path):
        config = quick(network=None, voxelmorph=VoxelMorphConfig(width=4, stages=2), steps=2)
        _, record = self.trained(dataset, config, tmp_path)
        assert set(record.losses[0][1]) == {"labels"}

    def test_mixed_precision(self, dataset, quick, tmp_path):
        model, _ = self.trained(dataset, quick(precision="bfloat16", steps=4), tmp_path)
        assert all(tensor.dtype is not torch.bfloat16 for tensor in model.state_dict().values())

    def test_organ_distances_without_names(self, changed, quick, tmp_path):
        """A data set that names no labels is asked for them; every organ has its channel, whatever a scan lacks."""

        def nameless(root, description):
            del description["labels"]

        config = quick(features="organ-distance", steps=3, augmentation={"drop": 0.3})
        model, _ = self.trained(changed(nameless), config, tmp_path / "model")
        assert set(range(1, 8)) <= set(model.config.organs) <= set(range(1, 14))
        assert model.config.channels == len(model.config.organs)
        assert model.base_feature.parts[0][0].organs == model.config.organs


@pytest.fixture
def scans(changed):
    """The data set with scans for images, landmarks for all and labels for none."""

    def change(root, description):
        (root / "landmarksTr").mkdir()
        for entry, phantom in zip(description["training"], learngn.phantom.abdomens(7, (48, 40), seed=3), strict=True):
            path = root / entry["image"]
            phantom.scan.save(path)
            (root / entry["label"]).unlink()
            middle = np.argwhere(phantom.labels.data[0, 0] > 0).mean(0)
            points = middle + np.array([[0, 0], [6, 0], [0, 5]])
            np.savetxt(root / "landmarksTr" / path.name.replace(".nii.gz", ".csv"), points, delimiter=",")
        del description["labels"]

    return changed(change)


def test_without_labels(scans, quick, tmp_path):
    """Scans, compared by their own features and by landmarks."""
    record = Record()
    config = quick(
        **SCANS, losses=NO_LABELS | {"features": 1, "smoothness": 0.1, "landmarks": 0.01}, steps=3,
        augmentation={"contrast": 0.2}, batch=2,
    )  # fmt: skip
    trained = train(scans, tmp_path, config, events=record.events)
    assert set(record.losses[0][1]) == {"features", "smoothness", "landmarks"}
    assert record.losses[0][1]["landmarks"] > 0.001
    assert trained.validation.dice is None
    assert trained.validation.tre > 0
    assert trained.validation.figure == -trained.validation.tre


def test_landmarks_must_correspond(scans, quick, tmp_path):
    path = next((scans.root / "landmarksTr").iterdir())
    path.write_text("\n".join(path.read_text().splitlines()[:1]))
    with pytest.raises(TrainingError, match=r"landmarks: got 1 to 3 points"):
        train(scans, tmp_path / "model", quick(**SCANS, losses=NO_LABELS | {"landmarks": 1}))


def test_model_in_3d(quick, tmp_path):
    phantoms = learngn.phantom.abdomens(3, (20, 16, 14), seed=1)
    names = [f"Toy_{subject:04d}_0000.nii.gz" for subject in range(1, 4)]
    for folder in ("imagesTr", "labelsTr"):
        (tmp_path / folder).mkdir()
    for name, phantom in zip(names, phantoms, strict=True):
        phantom.labels.save(tmp_path / "imagesTr" / name)
        phantom.labels.save(tmp_path / "labelsTr" / name)
    entries = [{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names]
    description = {"name": "Small", "training": entries, "registration_val": []}
    (tmp_path / "Small_dataset.json").write_text(json.dumps(description))
    config = quick(steps=2, strides=(4, 2), lineariser=LineariserConfig(hidden=4))
    trained = train(read_dataset(tmp_path), tmp_path / "model", config)
    assert trained.model.config.ndim == 3
    assert 0 <= trained.validation.dice <= 1


def test_factors_have_a_rate_of_their_own(dataset, quick, tmp_path):
    """With no rate for the rest, factors and λ alone move, as far as Adam's rate and its warm-up say."""
    config = quick(
        network={"kind": "profiles"}, rate=1e-12, factor_rate=0.1, warmup=0, steps=1, average=0.0, weight_decay=0.0,
        lineariser=LineariserConfig(hidden=4), losses={"labels": 1.0, "auxiliary": 0.0, "distances": 0.0},
    )  # fmt: skip
    record = Record()
    train(dataset, tmp_path, config, events=record.events)
    (*_, before), (*_, after) = record.validations
    moved = {name: float((after[name] - before[name]).abs().max()) for name in before}
    assert moved["method.lineariser.last.weight"] < 1e-9
    assert moved["encoder.log_gain"] == pytest.approx(0.1, rel=1e-3)
    assert moved["encoder.network.height"] == pytest.approx(0.1, rel=1e-3)
    assert moved["encoder.network.log_width"] == pytest.approx(0.1, rel=1e-3)
