"""The derivative of the solve, against finite differences."""

import pytest
import torch

from learngn.regularise import Stiffness
from learngn.solve import BlockJacobi, Multigrid, NormalSolver, SolveStatus

EXACT = {"tolerance": 1e-12, "backward_tolerance": 1e-12, "iterations": 100}


@pytest.mark.parametrize("coupled", [True, False])
@pytest.mark.parametrize("preconditioner", [Multigrid, BlockJacobi, None])
@pytest.mark.parametrize("shape", [(4, 3), (3, 2, 3)], ids=str)
def test_gradcheck(shape, preconditioner, coupled, random_system):
    check_gradients(*random_system(shape), NormalSolver(**EXACT, preconditioner=preconditioner, coupled=coupled))


@pytest.mark.parametrize("kind", ["adaptive", "curvature"])
@pytest.mark.parametrize("shape", [(4, 3), (3, 2, 3), (1, 4)], ids=str)
@pytest.mark.slow
def test_gradcheck_of_other_regularisers(shape, kind, random_system):
    check_gradients(*random_system(shape, kind=kind), NormalSolver(**EXACT))


def check_gradients(operator, rhs, solver):
    stiffness = operator.stiffness.scaled(torch.full((2,), 1 / 0.7, dtype=torch.float64))
    arguments = (operator.blocks, rhs, torch.tensor([0.7, 1.2], dtype=torch.float64), operator.shift)
    arguments = tuple(t.clone().requires_grad_() for t in arguments)

    def solve(blocks, right, lam, shift):
        return solver.solve(blocks, stiffness, right, lam, shift)[0]

    assert torch.autograd.gradcheck(solve, arguments, atol=1e-6, rtol=1e-6, fast_mode=True)


def test_uncoupled_drops_the_products(random_system):
    operator, rhs = random_system((5, 4))
    lam = torch.ones(2, dtype=torch.float64)
    diagonal = operator.blocks.clone()
    diagonal[:, 1] = 0
    stiffness = operator.stiffness
    alone, info = NormalSolver(**EXACT, coupled=False).solve(operator.blocks, stiffness, rhs, lam, operator.shift)
    expected, _ = NormalSolver(**EXACT).solve(diagonal, stiffness, rhs, lam, operator.shift)
    assert info.status is SolveStatus.CONVERGED
    torch.testing.assert_close(alone, expected)


def test_error_of_the_gradient_follows_the_backward_tolerance(random_system):
    operator, rhs = random_system((9, 8, 7), lam=5.0)
    lam = torch.ones(2, dtype=torch.float64)

    def gradient(tolerance):
        right = rhs.clone().requires_grad_()
        solver = NormalSolver(tolerance=1e-12, backward_tolerance=tolerance, iterations=300)
        x, _ = solver.solve(operator.blocks, operator.stiffness, right, lam, operator.shift)
        (x.pow(3).sum()).backward()
        return right.grad

    exact = gradient(1e-13)
    errors = [float((gradient(t) - exact).norm() / exact.norm()) for t in (1e-1, 1e-3, 1e-6)]
    assert 1e-4 < errors[0] < 0.3
    assert errors[1] < 1e-2
    assert errors[2] < 1e-5
    assert errors[0] > 10 * errors[1] > 100 * errors[2]


def test_float32_gradients_agree_with_float64(random_system):
    operator, rhs = random_system((6, 5, 4))
    grads = []
    for dtype in (torch.float32, torch.float64):
        blocks = operator.blocks.detach().to(dtype).requires_grad_()
        stiffness = Stiffness(operator.stiffness.weights.to(dtype))
        solver = NormalSolver(tolerance=1e-6, backward_tolerance=1e-6, iterations=100)
        lam = torch.ones(2, dtype=dtype)
        x, _ = solver.solve(blocks, stiffness, rhs.to(dtype), lam, operator.shift.to(dtype))
        x.square().sum().backward()
        grads.append(blocks.grad.double())
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-3, atol=1e-3 * float(grads[1].abs().max()))
