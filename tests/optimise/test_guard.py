"""The guard against folds: compiled in one call, against the loop that takes it apart."""

from dataclasses import dataclass

import pytest
import torch

from learngn.geometry import sampling
from learngn.optimise.step_control import StepControl
from learngn.optimise.update import Compositional, Symmetric


@dataclass(frozen=True)
class TakenApart(Compositional):
    """The same composition, of which the guard knows nothing."""

    @property
    def shares(self):
        return None


def rough(shape, n, length, seed=0):
    generator = torch.Generator().manual_seed(seed)
    coarse = [max(1, k // 3) for k in shape]
    return length * sampling.resize(torch.randn(n, len(shape), *coarse, generator=generator), shape)


@pytest.mark.parametrize("shape", [(17, 22), (1, 9), (9, 1), (13, 12, 9), (16, 1, 11), (1, 1, 8), (9, 20, 3)], ids=str)
@pytest.mark.parametrize("length", [0.1, 1.0, 2.5])
def test_compiled_guard_equals_the_loop(shape, length):
    control, n = StepControl(min_jacobian=0.15), 2
    u, step = rough(shape, n, 0.3), rough(shape, n, length, 1)
    before = step.clone()
    got, expected = (control.guarded(u, step, update) for update in (Compositional(), TakenApart()))
    for a, b in zip(got[:2], expected[:2], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=2e-5)
    assert got[2] == pytest.approx(expected[2], abs=2e-4)
    assert torch.equal(step, before)
    if length == 2.5 and min(shape) > 1:
        assert not torch.equal(got[1], step)


def test_both_halves_of_a_symmetric_step():
    control, shape = StepControl(min_jacobian=0.3), (14, 12, 13)
    u, step = rough(shape, 2, 0.3), rough(shape, 1, 2.0, 1)
    got = control.guarded(u, step, Symmetric(Compositional()))
    expected = control.guarded(u, step, Symmetric(TakenApart()))
    for a, b in zip(got[:2], expected[:2], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=2e-5)
    assert not torch.equal(got[1], step)


def test_a_step_that_is_not_finite_stays_within_the_volume():
    step = torch.full((1, 3, 5, 6, 7), float("nan"))
    u, _, _ = StepControl().guarded(torch.zeros_like(step), step, Compositional())
    assert u.isnan().all()
