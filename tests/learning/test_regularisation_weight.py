"""λ chosen by the held-out pairs: the factor that they like best, beyond the ends of the list too, or none."""

import copy

import pytest
from lightning_fabric import Fabric

from learngn.learning import train
from learngn.learning.data import read_example
from learngn.learning.regularisation_weight import multiply_lam, suited_factor
from learngn.learning.selection import select
from learngn.learning.trainer import Trained, TrainingEvents
from learngn.learning.validation import validate


@pytest.fixture(scope="module")
def stiff(dataset, quick, tmp_path_factory):
    """A model whose λ is far too large, and pairs to see it on."""
    config = quick(network=None, lam=(1e4, 1e4), steps=1, lam_factors=())
    trained = train(dataset, tmp_path_factory.mktemp("stiff"), config, fabric=Fabric(accelerator="cpu", devices=1))
    model = trained.model
    subjects = select(dataset, config).held_out[0]
    examples = [read_example(s, model.base_feature, 2 * model.config.spacing) for s in subjects]
    pairs = [(examples[0], examples[1])]
    return Trained(model, validate(model, pairs), 1), pairs


def better(trained, pairs, factors):
    """The factor that is found, its validation, and a copy of the model with it."""
    factor, validation = suited_factor(trained.model, trained.validation, pairs, factors)
    model = copy.deepcopy(trained.model)
    multiply_lam(model, factor)
    return factor, Trained(model, validation, 1)


def test_a_better_factor_is_taken(stiff):
    trained, pairs = stiff
    factor, found = better(trained, pairs, (1e-4, 10.0))
    assert found.validation.figure > trained.validation.figure + 0.02
    assert validate(found.model, pairs).figure == pytest.approx(found.validation.figure)
    new, old = (float(m.method.gauss_newton.lam(0).detach()) for m in (found.model, trained.model))
    assert factor == 1e-4
    assert new / old == pytest.approx(1e-4, rel=1e-4)


def test_the_search_goes_on_beyond_the_list(stiff):
    """λ is ten thousand times too large, and the list has but one tenth."""
    trained, pairs = stiff
    factor, found = better(trained, pairs, (0.1,))
    assert factor <= 1e-3
    assert found.validation.figure > trained.validation.figure + 0.02


def test_worse_factors_leave_the_model_as_it_is(stiff):
    trained, pairs = stiff
    _, found = better(trained, pairs, (1e-4,))
    assert suited_factor(found.model, found.validation, pairs, (1e5, 1e6)) == (1.0, found.validation)
    assert suited_factor(found.model, found.validation, pairs, ()) == (1.0, found.validation)


def test_whole_steps_begin_with_a_suited_lam(dataset, quick, tmp_path):
    """λ is chosen after the steps of φ alone, of which none changes it, and whole steps go on from there."""
    seen = {}

    def validated(step, model, validation, best):
        seen.setdefault(step, []).append(float(model.method.gauss_newton.lam(0).detach()))

    config = quick(
        lam=(1e4, 1e4), steps=4, pretraining=0.5, lam_factors=(1e-4,), rate=1e-9, validate_every=1, learn_lam=True
    )
    events = TrainingEvents(validated=validated)
    trained = train(dataset, tmp_path, config, fabric=Fabric(accelerator="cpu", devices=1), events=events)
    before, chosen = seen[2]
    assert before == pytest.approx(1e4, rel=1e-2)
    assert chosen == pytest.approx(1e-4 * before, rel=1e-4)
    assert seen[3][0] == seen[4][0] == pytest.approx(chosen, rel=1e-4)
    assert float(trained.model.method.gauss_newton.lam(0).detach()) <= 1.01 * chosen


def test_a_training_of_features_alone_ends_with_a_suited_lam(dataset, quick, tmp_path):
    config = quick(lam=(1e4, 1e4), steps=2, pretraining=1.0, lam_factors=(1e-4,), validate_every=1, learn_lam=True)
    drawn = []
    events = TrainingEvents(step=lambda _, losses: drawn.append(set(losses)))
    trained = train(dataset, tmp_path, config, fabric=Fabric(accelerator="cpu", devices=1), events=events)
    assert all("labels" not in losses for losses in drawn)
    assert float(trained.model.method.gauss_newton.lam(0).detach()) == pytest.approx(1.0, rel=1e-2)
