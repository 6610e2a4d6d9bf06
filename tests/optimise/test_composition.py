"""Gauss-Newton is composed once: other parts make another method, which shares what is trained."""

import ast
import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from learngn.errors import SettingsError
from learngn.learning.unrolled import unrolled
from learngn.linearise import Huber, LearnedLinearisation
from learngn.optimise import Exponential, GaussNewton, StepControl, Symmetric
from learngn.regularise import Curvature
from learngn.settings import Level
from learngn.solve import NormalSolver

SOURCE = Path(inspect.getfile(GaussNewton)).parent
LEVELS = (Level(4, 2, 0.1), Level(2, 2, 0.01))
CHANGES = {
    "levels": (Level(8, 1, 0.3), Level(2, 3, 0.1)),
    "lineariser": LearnedLinearisation(1, 2, hidden=2),
    "regulariser": Curvature(),
    "solver": NormalSolver(tolerance=0.01),
    "update": Symmetric(Exponential()),
    "control": StepControl(longest=2.0),
    "damping": 0.1,
    "momentum": 0.5,
    "loss": Huber(1.0),
    "overlap": True,
    "log_lam": nn.Parameter(torch.ones(2)),
}


def learned():
    torch.manual_seed(0)
    return GaussNewton(LEVELS, lineariser=LearnedLinearisation(2, 2, hidden=2), log_lam=nn.Parameter(torch.ones(2)))


def parameters():
    return list(inspect.signature(GaussNewton).parameters)


def test_every_parameter_is_tried():
    assert parameters() == list(CHANGES)


@pytest.mark.parametrize("name", CHANGES)
def test_one_part_is_replaced_and_all_others_are_shared(name):
    method = learned()
    before = {part: getattr(method, part) for part in parameters()}
    other = method.replaced(**{name: CHANGES[name]})
    assert other is not method
    assert getattr(other, name) is CHANGES[name]
    for part, value in before.items():
        assert getattr(method, part) is value
        assert part == name or getattr(other, part) is value


def test_training_reaches_the_shared_parameters(known_pair):
    method = learned()
    other = method.replaced(overlap=True)
    fixed, moving, _ = known_pair((24, 20), lambda points: torch.ones_like(points))
    sum(u.square().mean() for u, _ in unrolled(other, fixed, moving, np.eye(3))).backward()
    assert method.log_lam.grad is not None
    assert bool(method.log_lam.grad.all())
    assert method.lineariser.last.bias.grad is not None


def test_it_is_not_changed():
    with pytest.raises(AttributeError):
        learned().overlap = True


def test_factors_of_lam_are_one_a_level():
    with pytest.raises(SettingsError, match="levels of the schedule: got 1, expected 2"):
        learned().replaced(levels=LEVELS[:1])
    with pytest.raises(TypeError, match="stiffness"):
        learned().replaced(stiffness=Curvature())


def imported(path):
    """Files of the package that one imports, for types alone or not."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("learngn.optimise"):
            yield node.module.removeprefix("learngn.optimise").removeprefix(".") or "__init__"


def test_the_energy_knows_no_method():
    assert not {"gauss_newton", "descent", "step", "history"} & set(imported(SOURCE / "energy.py"))
