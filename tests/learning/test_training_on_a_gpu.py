"""A training on a CUDA device agrees with one on the CPU, and its model registers on both."""

import pytest
import torch
from lightning_fabric import Fabric

import learngn
from learngn.learning import TrainingEvents, train
from learngn.model import LineariserConfig, read_model
from learngn.phantom import abdomens

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def trained(dataset, quick, tmp_path_factory):
    """The same training twice: its folder and the losses of its steps; φ alone, then with a learned linearisation."""
    config = quick(lineariser=LineariserConfig(hidden=4), pretraining=0.5, losses={"auxiliary": 1.0})
    made = {}
    for accelerator in ("cpu", "cuda"):
        folder, losses = tmp_path_factory.mktemp(accelerator), []
        events = TrainingEvents(step=lambda done, values, losses=losses: losses.append(values))
        train(dataset, folder, config, fabric=Fabric(accelerator=accelerator, devices=1), events=events)
        made[accelerator] = folder, losses
    return made


def test_same_losses(trained):
    """At first but for rounding; then steps of Adam, as long for a small derivative as for a large one, lead apart."""
    (_, here), (_, there) = trained.values()
    assert [values.keys() for values in here] == [values.keys() for values in there]
    assert there[0] == pytest.approx(here[0], rel=2e-3)
    for ours, theirs in zip(here, there, strict=True):
        assert theirs == pytest.approx(ours, rel=0.05)


def test_the_weights_come_back(trained):
    state = read_model(trained["cuda"][0]).state_dict()
    assert {value.device.type for value in state.values()} == {"cpu"}


def test_it_registers_on_both(trained):
    model = read_model(trained["cuda"][0])
    labels = [phantom.labels for phantom in abdomens(2, (64, 52), seed=7)]
    here, there = (
        learngn.register(*(image.to(device) for image in labels), model=model).displacement.data
        for device in ("cpu", "cuda")
    )
    assert there.device.type == "cuda"
    assert float((here - there.cpu()).norm(dim=1).mean()) < 0.02


def test_bfloat16(dataset, quick, tmp_path):
    trained = train(dataset, tmp_path, quick(precision="bfloat16"), fabric=Fabric(accelerator="cuda", devices=1))
    assert all(torch.isfinite(value).all() for value in trained.model.state_dict().values())
    assert trained.validation.figure > 0.2
