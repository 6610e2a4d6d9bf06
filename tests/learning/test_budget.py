"""A time budget: so many steps as it allows, and the same when a training goes on."""

import pytest

from learngn.learning import TrainingConfig, TrainingEvents, train
from learngn.learning.budget import BUDGET_NAME, Speed, keep_steps, kept_steps, within
from learngn.model import read_description


def test_steps_fill_the_time():
    config = TrainingConfig(features="distance", pretraining=0.5, lam_factors=(0.5, 2.0))
    chosen = within(config, 1000.0, Speed(alone=0.5, whole=1.5, validation=10.0))
    # Of the 900 s planned, eight validations and four for λ, before whole steps and at the end, take 120; a step 1 s.
    assert chosen.steps == 780
    assert chosen.validate_every == 98
    assert within(config, 1.0, Speed(1.0, 1.0, 1.0)).steps == 1
    without = config.model_copy(update={"network": None})
    assert within(without, 1000.0, Speed(0.5, 1.6, 10.0)).steps == 500


def test_the_choice_is_kept(tmp_path):
    config = TrainingConfig(features="distance")
    assert kept_steps(tmp_path, 5.0, config) is None
    keep_steps(tmp_path, 5.0, config, config.model_copy(update={"steps": 17, "validate_every": 3}))
    assert kept_steps(tmp_path, 5.0, config).steps == 17
    assert kept_steps(tmp_path, 6.0, config) is None
    assert kept_steps(tmp_path, 5.0, config.model_copy(update={"seed": 1})) is None
    (tmp_path / BUDGET_NAME).write_text("{")
    assert kept_steps(tmp_path, 5.0, config) is None


@pytest.mark.slow
def test_an_interrupted_training_keeps_its_steps(dataset, quick, tmp_path):
    planned, done = [], []

    def step(number, losses):
        done.append(number)
        if len(done) == 4:
            raise KeyboardInterrupt

    events = TrainingEvents(step, planned=lambda steps, seconds: planned.append((steps, seconds)))
    config = quick(checkpoint_every=2)
    with pytest.raises(KeyboardInterrupt):
        train(dataset, tmp_path, config, events=events, minutes=0.1)
    train(dataset, tmp_path, config, events=events, minutes=0.1)
    assert planned[0] == planned[1]
    assert planned[0][1] == pytest.approx(6.0)
    assert done[4] == 3  # after the last checkpoint
    assert read_description(tmp_path)[1].training["config"]["steps"] == planned[0][0]
