"""Conformance checks of a regulariser: its operator is symmetric, positive semi-definite, and measures in mm."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np

from learngn.arrays import Array, require_torch
from learngn.geometry import sampling
from learngn.geometry.grid import Grid
from learngn.regularise import Regulariser, apply_regulariser
from learngn.solve import NormalSolver, SolveStatus
from learngn.testing.require import require, require_close, require_finite

Make = Callable[[Grid], Regulariser]

_GRIDS = (
    Grid.from_spacing((8, 6), (1.0, 2.5)),
    Grid.from_spacing((7, 5, 9), (1.0, 1.5, 4.0)),
    Grid.from_spacing((6, 1, 5), (2.0, 1.0, 3.0)),
)


def check_regulariser(make: Make) -> None:
    """Check that a regulariser fulfils the contract of :class:`learngn.regularise.Regulariser`.

    Parameters
    ----------
    make : callable, from a Grid to a Regulariser
        Makes the regulariser. If it has parameters that vary in space, for example an image of weights, they must cover
        the extent of the grid; otherwise the grid is ignored.

    Raises
    ------
    AssertionError
        If a rule is broken; the message says which.

    Examples
    --------
    >>> from learngn.regularise import Diffusion
    >>> check_regulariser(lambda grid: Diffusion())
    """
    for rule in REGULARISER_RULES.values():
        rule(make)


def _field(grid: Grid, seed: int = 0, samples: int = 2) -> Array:
    """Draw random displacements [voxel], (N, D, *S), float64."""
    return np.random.default_rng(seed).standard_normal((samples, grid.ndim, *grid.shape))


def _energy(regulariser: Regulariser, u: Array, grid: Grid) -> float:
    """Compute ½ <u, R u>."""
    return float((u * apply_regulariser(regulariser, u, grid)).sum()) / 2


def _wave(grid: Grid) -> Array:
    """Make cosines over the extent [voxel]: fields that satisfy Neumann borders."""
    axes = np.meshgrid(*[(np.arange(n) + 0.5) / n for n in grid.shape], indexing="ij")
    value = np.cos(np.pi * axes[0]) * np.cos(np.pi * axes[1]) * np.cos(2 * np.pi * axes[-1])
    millimetres = np.stack([(a + 1.0) * value for a in range(grid.ndim)])
    return (millimetres / grid.spacing.reshape(-1, *[1] * grid.ndim))[None]


def _matrix(regulariser: Regulariser, grid: Grid) -> Array:
    """Return R as a dense matrix for the flattened components of a displacement, from products with unit vectors."""
    size = grid.ndim * grid.size
    units = np.eye(size).reshape(size, grid.ndim, *grid.shape)
    return apply_regulariser(regulariser, units, grid).reshape(size, size).T


def symmetric_and_semidefinite(make: Make) -> None:
    """Check that ``<R u, v> = <u, R v>``, ``<u, R u> ≥ 0``, and that random fields are penalised."""
    for grid in _GRIDS:
        matrix = _matrix(make(grid), grid)
        largest = float(np.abs(matrix).max())
        require(largest > 0, f"regulariser on {grid}: every displacement costs nothing")
        skew = float(np.abs(matrix - matrix.T).max())
        require(skew <= 1e-10 * largest, f"regulariser on {grid}: R is not symmetric, it differs from Rᵀ by {skew:g}")
        least = float(np.linalg.eigvalsh((matrix + matrix.T) / 2).min())
        require(
            least > -1e-9 * largest, f"regulariser on {grid}: R has the eigenvalue {least:g}, expected none below zero"
        )
        u = _field(grid, samples=1)
        require(_energy(make(grid), u, grid) > 0, f"regulariser on {grid}: noise costs nothing")


def translations_are_free(make: Make) -> None:
    """Check that a constant displacement has no penalty."""
    for grid in _GRIDS:
        u = np.ones((1, grid.ndim, *grid.shape))
        force = float(np.abs(apply_regulariser(make(grid), u, grid)).max())
        require(force < 1e-12, f"regulariser on {grid}: a translation by one voxel has the force {force:g}, expected 0")


def diagonal(make: Make) -> None:
    """Check that ``Stiffness.diagonal``, which smoothing uses, is the diagonal of the operator."""
    for grid in _GRIDS:
        regulariser = make(grid)
        got = regulariser.stiffness(grid, _field(grid)).diagonal(grid.shape)
        expected = _matrix(regulariser, grid).diagonal().reshape(1, grid.ndim, *grid.shape)
        require_close(
            got[:1], expected, f"diagonal of the regulariser on {grid}", rtol=1e-9, atol=1e-12 * float(expected.max())
        )


def lambda_is_a_factor(make: Make) -> None:
    """Check that ``Stiffness.scaled`` multiplies R by the λ of every sample."""
    for grid in _GRIDS:
        u, lam = _field(grid), np.array([0.3, 2.0])
        stiffness = make(grid).stiffness(grid, u)
        expected = lam.reshape(-1, *[1] * (u.ndim - 1)) * stiffness(u)
        require_close(stiffness.scaled(lam)(u), expected, f"λ R on {grid}", rtol=1e-7, atol=1e-7)


def measures_in_millimetres(make: Make) -> None:
    """Check that the mean energy of a field in mm is the same on coarser and on anisotropic voxels."""
    fine = Grid.from_spacing((48, 40, 44), 1.0)
    regulariser = make(fine)
    expected = _energy(regulariser, _wave(fine), fine) / fine.size
    for shape in ((24, 20, 22), (48, 40, 22)):
        grid = fine.resized(shape)
        field = _wave(grid) if shape[0] == 24 else sampling.resize_field(_wave(fine), grid.shape)
        got = _energy(regulariser, field, grid) / grid.size
        require(
            abs(got - expected) < 0.06 * expected,
            f"regulariser: the same field in mm costs {expected:.4g} a voxel of 1 mm and {got:.4g} a voxel of "
            f"{np.round(grid.spacing, 2).tolist()} mm, expected the same to 6 %",
        )


def single_precision(make: Make) -> None:
    """Check that the result in float32 is float32, and equals that in float64 up to rounding."""
    for grid in _GRIDS:
        u = _field(grid)
        expected = apply_regulariser(make(grid), u, grid)
        got = apply_regulariser(make(grid), u.astype(np.float32), grid)
        require(got.dtype == np.float32, f"regulariser on {grid}: got {got.dtype} for float32")
        atol = 1e-4 * float(np.abs(expected).max())
        require_close(got.astype(np.float64), expected, f"regulariser on {grid} in float32", rtol=1e-4, atol=atol)


def derivative_through_the_solve(make: Make) -> None:
    """Check that the implicit derivative of a solve with the regulariser agrees with finite differences.

    Only PyTorch differentiates: without it there is nothing to check.
    """
    if find_spec("torch") is None:
        return
    torch = require_torch("this check")
    grid = Grid.from_spacing((4, 3), (1.0, 1.5))
    blocks = torch.tensor([1.0, 0.2, 0.8], dtype=torch.float64).reshape(1, 3, 1, 1).repeat(1, 1, 4, 3)
    rhs = torch.as_tensor(_field(grid, samples=1))
    lam, shift = torch.tensor([0.7], dtype=torch.float64), torch.tensor([0.1], dtype=torch.float64)
    solver = NormalSolver(tolerance=1e-12, backward_tolerance=1e-12, iterations=100)
    stiffness = make(grid).stiffness(grid, rhs)

    def solve(blocks: Array, rhs: Array, lam: Array, shift: Array) -> Array:
        return solver.solve(blocks, stiffness, rhs, lam, shift)[0]

    arguments = [t.requires_grad_() for t in (blocks, rhs, lam, shift)]
    correct = torch.autograd.gradcheck(solve, arguments, atol=1e-6, rtol=1e-6, fast_mode=True, raise_exception=False)
    require(correct, "regulariser: the derivative through the solve differs from finite differences")


def solved_in_few_iterations(make: Make) -> None:
    """Check that a system with data in one corner only is solved in at most ten iterations with multigrid."""
    for shape in ((40, 33), (21, 18, 16), (24, 1, 20)):
        grid = Grid.from_spacing(shape, [2.0, 3.0, 2.5][: len(shape)])
        blocks = np.zeros((1, grid.ndim * (grid.ndim + 1) // 2, *shape), dtype=np.float32)
        blocks[(0, 0 if grid.ndim == 2 else slice(0, 4, 3), *[slice(0, 6)] * grid.ndim)] = 1.0
        one, rhs = np.ones(1, dtype=np.float32), _field(grid, samples=1).astype(np.float32)
        x, info = NormalSolver(tolerance=1e-2).solve(blocks, make(grid).stiffness(grid, blocks), rhs, one, 1e-3 * one)
        outcome = f"regulariser on {grid}: the solve ended as {info.status.name} after {info.iterations} iterations"
        require(info.status is SolveStatus.CONVERGED, f"{outcome}, expected CONVERGED")
        require(info.iterations <= 10, f"{outcome}, expected ten at most")
        require_finite(x, outcome)


REGULARISER_RULES: dict[str, Callable[[Make], None]] = {
    rule.__name__: rule
    for rule in (
        symmetric_and_semidefinite,
        translations_are_free,
        diagonal,
        lambda_is_a_factor,
        measures_in_millimetres,
        single_precision,
        derivative_through_the_solve,
        solved_in_few_iterations,
    )
}
"""Rules of :func:`check_regulariser` by name; each takes the function that makes the regulariser for a grid."""
