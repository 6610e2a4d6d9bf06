"""λ set last: the factor that the validation likes best, or none."""

import pytest
from lightning_fabric import Fabric

from learngn.learning import train
from learngn.learning.data import read_example
from learngn.learning.regularisation_weight import with_suited_lam
from learngn.learning.selection import select
from learngn.learning.trainer import Trained
from learngn.learning.validation import validate
from learngn.model import Model


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


def test_a_better_factor_is_taken(stiff):
    trained, pairs = stiff
    found = with_suited_lam(trained, pairs, (1e-5, 10.0))
    assert found.validation.figure > trained.validation.figure + 0.02
    new, old = (float(m.method.gauss_newton.lam(0).detach()) for m in (found.model, trained.model))
    assert new / old == pytest.approx(1e-5, rel=1e-4)
    assert validate(found.model, pairs).figure == pytest.approx(found.validation.figure)
    assert isinstance(trained.model, Model)


def test_worse_factors_leave_the_model_as_it_is(stiff):
    trained, pairs = stiff
    found = with_suited_lam(trained, pairs, (1e-5,))
    assert with_suited_lam(found, pairs, (1e5, 1e6)) is found
