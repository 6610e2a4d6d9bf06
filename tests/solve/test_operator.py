"""The normal operator: symmetric, definite, and the matrix that its docstring says."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from learngn.kernels.stencils import block_index
from learngn.solve import BlockJacobi, Multigrid, NormalOperator, conjugate_gradients

KINDS = ["diffusion", "adaptive", "curvature"]
SHAPES = [(6, 5), (1, 7), (4, 3, 5), (5, 1, 4), (1, 1, 3)]


def dense(make, operator):
    """Matrix of the linear map that `make` makes of a batch's first system, one sample a column."""
    shape = operator.blocks.shape[2:]
    size = int(np.prod(shape)) * len(shape)
    stiffness = replace(operator.stiffness, weights=operator.stiffness.weights[:1].expand(size, -1, -1))
    blocks = operator.blocks[:1].expand(size, *[-1] * (len(shape) + 1))
    copies = NormalOperator(blocks, stiffness, operator.shift[:1].expand(size))
    columns = torch.eye(size, dtype=operator.blocks.dtype).reshape(size, len(shape), *shape)
    return make(copies)(columns).reshape(size, size).T


def assembled(operator, shape):
    """The same matrix, put together from the incidence matrices of path graphs."""
    ndim, size = len(shape), int(np.prod(shape))
    matrix = float(operator.shift[0]) * np.eye(ndim * size)
    for k, (a, b) in enumerate(block_index(ndim)):
        block = np.diag(operator.blocks[0, k].flatten().numpy())
        for row, column in {(a, b), (b, a)}:
            matrix[row * size : (row + 1) * size, column * size : (column + 1) * size] += block
    stiffness = operator.stiffness
    laplacians = [np.zeros((size, size)) for _ in range(ndim)]
    for axis, n in enumerate(shape):
        gradient = np.eye(1)
        for other, m in enumerate(shape):
            gradient = np.kron(gradient, np.diff(np.eye(n), axis=0) if other == axis else np.eye(m))
        faces = np.ones(len(gradient))
        if stiffness.faces is not None:
            faces = np.take(stiffness.faces[0, axis].numpy(), range(n - 1), axis=axis).flatten()
        for a in range(ndim):
            laplacians[a] += float(stiffness.weights[0, a, axis]) * gradient.T @ (faces[:, None] * gradient)
    for a, laplacian in enumerate(laplacians):
        part = slice(a * size, (a + 1) * size)
        matrix[part, part] += np.linalg.matrix_power(laplacian, stiffness.order)
    return matrix


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_operator_is_its_matrix(shape, kind, random_system):
    operator, _ = random_system(shape, kind=kind)
    np.testing.assert_allclose(dense(lambda copies: copies, operator).numpy(), assembled(operator, shape), atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_dot_test(shape, kind, random_system):
    operator, x = random_system(shape, kind=kind)
    _, y = random_system(shape, seed=1, kind=kind)
    forward, backward = (operator(x) * y).flatten(1).sum(1), (x * operator(y)).flatten(1).sum(1)
    torch.testing.assert_close(forward, backward, rtol=1e-12, atol=1e-10)
    assert ((operator(x) * x).flatten(1).sum(1) > 0).all()


@pytest.mark.parametrize("preconditioner", [Multigrid, BlockJacobi])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_preconditioners_are_symmetric_positive_definite(shape, kind, preconditioner, random_system):
    operator, _ = random_system(shape, kind=kind)
    matrix = dense(preconditioner, operator)
    torch.testing.assert_close(matrix, matrix.T, rtol=1e-10, atol=1e-12)
    assert float(torch.linalg.eigvalsh((matrix + matrix.T) / 2).min()) > 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_solution_is_that_of_a_dense_solver(shape, kind, random_system):
    operator, rhs = random_system(shape, kind=kind)
    x, _ = conjugate_gradients(operator, rhs, Multigrid(operator), tolerance=1e-12, iterations=100)
    expected = np.linalg.solve(assembled(operator, shape), rhs[0].flatten().numpy())
    np.testing.assert_allclose(x[0].flatten().numpy(), expected, rtol=1e-9, atol=1e-10)


def test_single_cell_is_solved_exactly(random_system):
    operator, rhs = random_system((1, 1, 1))
    torch.testing.assert_close(operator(Multigrid(operator)(rhs)), rhs)
