"""The normal operator: symmetric, definite, and the matrix that its docstring says."""

import numpy as np
import pytest
import torch

from learngn.kernels.reference import block_index
from learngn.solve import BlockJacobi, Multigrid, NormalOperator, conjugate_gradients

SHAPES = [(6, 5), (1, 7), (4, 3, 5), (5, 1, 4), (1, 1, 3)]


def dense(function, like):
    """Matrix of a linear map on the first sample, column by column."""
    size = like[0].numel()
    return torch.stack([function(e.reshape(like.shape)).flatten() for e in torch.eye(size, dtype=like.dtype)], dim=1)


def first(operator):
    return NormalOperator(operator.blocks[:1], operator.stiffness[:1], operator.shift[:1])


def assembled(operator, shape):
    """The same matrix, put together from Kronecker products of path-graph Laplacians."""
    ndim, size = len(shape), int(np.prod(shape))
    matrix = float(operator.shift[0]) * np.eye(ndim * size)
    for k, (a, b) in enumerate(block_index(ndim)):
        block = np.diag(operator.blocks[0, k].flatten().numpy())
        for row, column in {(a, b), (b, a)}:
            matrix[row * size : (row + 1) * size, column * size : (column + 1) * size] += block
    for axis, n in enumerate(shape):
        gradient = np.diff(np.eye(n), axis=0)
        factors = [gradient.T @ gradient if other == axis else np.eye(m) for other, m in enumerate(shape)]
        laplacian = factors[0]
        for factor in factors[1:]:
            laplacian = np.kron(laplacian, factor)
        for a in range(ndim):
            part = slice(a * size, (a + 1) * size)
            matrix[part, part] += float(operator.stiffness[0, a, axis]) * laplacian
    return matrix


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_operator_is_its_matrix(shape, random_system):
    operator, x = random_system(shape)
    np.testing.assert_allclose(dense(first(operator), x[:1]).numpy(), assembled(operator, shape), atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_dot_test(shape, random_system):
    operator, x = random_system(shape)
    _, y = random_system(shape, seed=1)
    forward, backward = (operator(x) * y).flatten(1).sum(1), (x * operator(y)).flatten(1).sum(1)
    torch.testing.assert_close(forward, backward, rtol=1e-12, atol=1e-10)
    assert ((operator(x) * x).flatten(1).sum(1) > 0).all()


@pytest.mark.parametrize("preconditioner", [Multigrid, BlockJacobi])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_preconditioners_are_symmetric_positive_definite(shape, preconditioner, random_system):
    operator, rhs = random_system(shape)
    matrix = dense(preconditioner(first(operator)), rhs[:1])
    torch.testing.assert_close(matrix, matrix.T, rtol=1e-10, atol=1e-12)
    assert float(torch.linalg.eigvalsh((matrix + matrix.T) / 2).min()) > 0


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_solution_is_that_of_a_dense_solver(shape, random_system):
    operator, rhs = random_system(shape)
    x, _ = conjugate_gradients(operator, rhs, Multigrid(operator), tolerance=1e-12, iterations=100)
    expected = np.linalg.solve(assembled(operator, shape), rhs[0].flatten().numpy())
    np.testing.assert_allclose(x[0].flatten().numpy(), expected, rtol=1e-9, atol=1e-10)


def test_single_cell_is_solved_exactly(random_system):
    operator, rhs = random_system((1, 1, 1))
    torch.testing.assert_close(operator(Multigrid(operator)(rhs)), rhs)
