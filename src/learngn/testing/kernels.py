"""Conformance checks of kernels: every operation of a back end against the reference, for either array library."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from learngn.arrays import Array, as_numpy, channels_last, in_order, namespace, require_torch
from learngn.kernels import Coarsening, Kernels, ReferenceKernels, area_taps, box_taps, linear_taps
from learngn.kernels.interface import BoundOperator, BoundTransfer
from learngn.kernels.stencils import stencil_diagonal
from learngn.testing.require import require, require_close

# 2D and 3D, odd, one voxel thick; the last ones have rows of one, two and three vectors, complete and incomplete.
SHAPES: tuple[tuple[int, ...], ...] = (
    (7, 9),
    (1, 6),
    (6, 7, 5),
    (5, 1, 4),
    (1, 1, 3),
    (8, 6, 10),
    (3, 16),
    (2, 3, 8),
    (3, 2, 17),
    (2, 2, 24),
)
_REFERENCE = ReferenceKernels()


def check_kernels(
    kernels: Kernels,
    *,
    device: Any = None,
    shapes: Iterable[Sequence[int]] = SHAPES,
    operations: Iterable[str] | None = None,
) -> None:
    """Check that a back end agrees with :class:`learngn.kernels.ReferenceKernels`, which defines every operation.

    Each operation is applied to two samples of random values in float32, on grids in 2D and 3D. The optional operation
    `guard` is not checked.

    Parameters
    ----------
    kernels : Kernels
        Back end to check.
    device : torch.device or str, optional
        Device of PyTorch to compute on, with tensors; by default arrays of NumPy are used.
    shapes : iterable of sequences of int
        Shapes of the grids.
    operations : iterable of str, optional
        Names of rules in :data:`KERNEL_RULES`; None for all of them.

    Raises
    ------
    AssertionError
        If an operation differs; the message says which, and on which grid.

    Examples
    --------
    >>> from learngn.kernels import ReferenceKernels
    >>> check_kernels(ReferenceKernels(), shapes=[(7, 9), (3, 4, 5)])
    """
    for shape in shapes:
        for name in KERNEL_RULES if operations is None else operations:
            KERNEL_RULES[name](Case(kernels, tuple(shape), device))


@dataclass
class Case:
    """Test case: a back end and a grid, with random arguments that are the same in every run.

    Attributes
    ----------
    kernels : Kernels
    shape : tuple of int
        Shape S of the grid, of D axes.
    device : torch.device or str, optional
        Device of PyTorch; None for arrays of NumPy.
    """

    kernels: Kernels
    shape: tuple[int, ...]
    device: Any = None
    _random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0), init=False, repr=False)

    @property
    def ndim(self) -> int:
        """Number of dimensions D."""
        return len(self.shape)

    def array(self, values: object, dtype: str = "float32") -> Array:
        """Convert values to an array of the library and on the device of this case."""
        array = np.asarray(values, dtype=dtype)
        return array if self.device is None else require_torch("this check").as_tensor(array).to(self.device)

    def normal(self, *shape: int) -> Array:
        """Draw normally distributed values."""
        return self.array(self._random.standard_normal(shape))

    def uniform(self, *shape: int) -> Array:
        """Draw uniformly distributed values between 0 and 1."""
        return self.array(self._random.random(shape))

    def field(self) -> Array:
        """Draw a random displacement, (2, D, *S)."""
        return self.normal(2, self.ndim, *self.shape)

    def system(self) -> tuple[Array, Array, Array, Array]:
        """Draw blocks, stiffness, shift and right-hand side of a linear system."""
        given = self.normal(2, 4, *self.shape), self.normal(2, 4, *self.shape)
        blocks, gradient, _ = _REFERENCE.normal_equations(*given, None, False)
        stiffness = self.uniform(2, self.ndim, self.ndim) + 0.2
        return blocks, stiffness, self.array([0.1, 0.3]), gradient

    def agree(self, got: Array, expected: Array, what: str, tolerance: float) -> None:
        """Raise :class:`AssertionError` unless a result equals the reference, to a relative and absolute tolerance."""
        where = f"kernels {self.kernels.name!r}, {what} on {self.shape}"
        require_close(got, expected, where, rtol=tolerance, atol=tolerance)


def warp(case: Case) -> None:
    """Check linear sampling, of one to many channels, with and without a displacement, in both memory formats."""
    shape, ndim = case.shape, case.ndim
    matrix = np.eye(ndim + 1)
    matrix[:-1, :-1] += 0.1 * np.random.default_rng(0).standard_normal((ndim, ndim))
    matrix[:-1, -1] = 0.7
    for channels in (1, 5, 8, 19):
        image, displacement = case.normal(2, channels, *[n + 2 for n in shape]), 2 * case.field()
        for layout in (in_order, channels_last):
            stored = layout(image)
            for u, what in ((displacement, "warp"), (None, "warp without a displacement")):
                expected = _REFERENCE.warp(stored, u, matrix, shape)
                where = f"{what} of {channels} channels, {layout.__name__}"
                case.agree(case.kernels.warp(stored, u, matrix, shape), expected, where, 2e-5)
        # Whole positions and halves, so that rounding does not decide what is inside.
        u, shift = case.array(np.round(2 * as_numpy(displacement))), np.eye(ndim + 1)
        shift[:-1, -1] = -0.5
        expected = _REFERENCE.warp(image, u, shift, shape, -7.0)
        case.agree(case.kernels.warp(image, u, shift, shape, -7.0), expected, f"{channels} channels, outside", 2e-5)


def warp_far_outside(case: Case) -> None:
    """Check that very large displacements give border values or the value outside, without invalid memory access."""
    shape, identity = case.shape, np.eye(case.ndim + 1)
    image = case.normal(2, 1, *shape)
    for far in (1e30, -1e30, float("nan")):
        u = case.array(np.full((2, case.ndim, *shape), far))
        warped = case.kernels.warp(image, u, identity, shape)
        message = f"kernels {case.kernels.name!r}, warp on {shape} by {far:g}: not finite"
        require(bool(namespace(warped).all(namespace(warped).isfinite(warped))), message)
    u = case.array(np.full((2, case.ndim, *shape), 1e30))
    warped = case.kernels.warp_nearest(image * 0 + 1, u, identity, shape, 0)
    message = f"kernels {case.kernels.name!r}, warp_nearest on {shape} by 1e30: got values from inside the image"
    require(not bool((warped != 0).any()), message)


def warp_nearest(case: Case) -> None:
    """Check nearest-neighbour sampling of labels and scans: equal values, the image's type, the value outside."""
    identity = np.eye(case.ndim + 1)
    for dtype in ("uint8", "int16", "float32"):
        image = case.array(as_numpy(1 + 8 * case.uniform(2, 1, *case.shape)), dtype)
        u = 2 * case.field()
        expected = _REFERENCE.warp_nearest(image, u, identity, case.shape, 0)
        case.agree(
            case.kernels.warp_nearest(image, u, identity, case.shape, 0), expected, f"warp_nearest of {dtype}", 0
        )


def warp_labels(case: Case) -> None:
    """Check Learn2Reg's sampling of labels, of a whole grid and of a part of it, up to the outermost centres."""
    for dtype in ("uint8", "int16", "int32"):
        labels = case.array(as_numpy(1 + 8 * case.uniform(*[n + 1 for n in case.shape])), dtype)
        for u in (2 * case.field()[0], case.array(np.round(4 * as_numpy(case.field()[0])) / 2)):
            for first in (0, 1):
                expected = _REFERENCE.warp_labels(labels, u, first)
                case.agree(case.kernels.warp_labels(labels, u, first), expected, f"warp_labels of {dtype}", 0)


def resample(case: Case) -> None:
    """Check banded matrices along the axes: cell averages, linear interpolation, boxes, in both memory formats."""
    shape = case.shape
    bands = {
        "to half of the grid": [area_taps(n, max(1, n // 2)) for n in shape],
        "to twice the grid": [linear_taps(n, 2 * n + 1) for n in shape],
        **{f"boxes of {width}": [box_taps(n, width) for n in shape] for width in (3, 5, 7)},
    }
    for layout in (in_order, channels_last):
        image = layout(case.normal(2, 3, *shape))
        for what, taps in bands.items():
            where = f"resample, {what}, {layout.__name__}"
            case.agree(case.kernels.resample(image, taps), _REFERENCE.resample(image, taps), where, 2e-5)


def normal_equations(case: Case) -> None:
    """Check blocks, gradient and energy, with and without a weight, from the differences of one or both images."""
    fixed, warped = case.normal(2, 4, *case.shape), case.normal(2, 4, *case.shape)
    for symmetric in (False, True):
        for weight in (None, case.uniform(2, 1, *case.shape)):
            results = case.kernels.normal_equations(fixed, warped, weight, symmetric)
            references = _REFERENCE.normal_equations(fixed, warped, weight, symmetric)
            for name, got, expected in zip(("blocks", "gradient", "energy"), results, references, strict=True):
                case.agree(got, expected, f"{name} of normal_equations, symmetric={symmetric}", 2e-5)


def operator(case: Case) -> None:
    """Check the normal operator and its parts: `apply_operator`, `apply_blocks`, `elastic`."""
    blocks, stiffness, shift, x = case.system()
    expected = _REFERENCE.apply_operator(blocks, stiffness, shift, x)
    case.agree(case.kernels.apply_operator(blocks, stiffness, shift, x), expected, "apply_operator", 1e-4)
    alone = _REFERENCE.elastic(stiffness, x, None)
    case.agree(case.kernels.apply_blocks(blocks, shift, x, alone), expected, "apply_blocks", 1e-4)
    for samples in (None, 1, 2):
        faces = None if samples is None else case.uniform(samples, case.ndim, *case.shape)
        where = f"elastic with the conductivities of {samples} samples"
        case.agree(case.kernels.elastic(stiffness, x, faces), _REFERENCE.elastic(stiffness, x, faces), where, 1e-4)


def solver(case: Case) -> None:
    """Check what a solver uses: operators of `bind`, transfers of `between`, and `dots`, `turn` and `advance`."""
    blocks, stiffness, shift, rhs = case.system()
    x, faces = case.field(), case.uniform(1, case.ndim, *case.shape)
    coarse = tuple((n + 1) // 2 for n in case.shape)
    down = tuple(area_taps(n, m) for n, m in zip(case.shape, coarse, strict=True))
    up = tuple(linear_taps(m, n) for n, m in zip(case.shape, coarse, strict=True))
    step = Coarsening(case.shape, coarse, down, up, down)
    small = _REFERENCE.resample(blocks, down)
    for conductivity, order in ((None, 1), (faces, 1), (None, 2)):
        found = []
        for kernels in (case.kernels, _REFERENCE):
            operator = kernels.bind(blocks, stiffness, shift, conductivity, order)
            room = kernels.bind(small, stiffness, shift, None, 1).room()
            found.append(_solver_results(operator, kernels.between(step), room, x, rhs))
        for what, got in found[0].items():
            where = f"{what}, with{'out' if conductivity is None else ''} conductivities, order {order}"
            case.agree(case.array(as_numpy(got)), case.array(as_numpy(found[1][what])), where, 5e-4)


def _solver_results(
    operator: BoundOperator, transfer: BoundTransfer, coarse: Array, x: Array, rhs: Array
) -> dict[str, Array]:
    """Return the results of all operations of a solver, by name."""
    kernels, xp, found = operator.kernels, namespace(x), {}

    def own(field: Array) -> Array:
        return operator.owned(xp.asarray(field, copy=True))

    def keep(name: str, field: Array) -> None:
        found[name] = xp.asarray(operator.given_back(field, x), copy=True)

    out, factors = operator.room(), np.array([0.3, -0.7])
    found["sums of apply"] = operator.apply(own(x), out)
    keep("apply", out)
    operator.residual(own(rhs), own(x), out)
    keep("residual", out)
    for start in (None, own(x)):
        sums = operator.relax(own(rhs), start, 0.3, out, dotted=True)
        require(sums is not None, f"kernels {kernels.name!r}: relax returns no sums")
        name = "relax" if start is None else "relax from a guess"
        found[f"sums of {name}"] = np.asarray(sums)
        keep(name, out)
    guess = operator.room()
    operator.relax_from_zero_and_residual(own(rhs), 0.3, guess, out)
    keep("relax of relax and residual", guess)
    keep("residual of relax and residual", out)
    found["dots"] = kernels.dots(own(x), own(rhs))
    p, r, solution = own(x), own(rhs), own(x)
    kernels.turn(own(rhs), factors, p)
    keep("turn", p)
    found["sums of advance"] = kernels.advance(factors, p, own(x), solution, r)
    keep("advance of x", solution)
    keep("advance of r", r)
    transfer.restrict(own(rhs), coarse)
    back = own(x)
    transfer.prolong(coarse, back)
    keep("restrict and prolong", back)
    return found


def smoothing(case: Case) -> None:
    """Check a damped block-Jacobi sweep, from zero and from a guess: `smooth`, and `relax`, its general form."""
    blocks, stiffness, shift, rhs = case.system()
    diagonal = stencil_diagonal(stiffness, case.shape, None, 1)
    for x in (None, case.field()):
        expected = _REFERENCE.smooth(blocks, stiffness, shift, rhs, x, 0.8)
        case.agree(case.kernels.smooth(blocks, stiffness, shift, rhs, x, 0.8), expected, "smooth", 1e-4)
        alone = None if x is None else _REFERENCE.elastic(stiffness, x, None)
        case.agree(case.kernels.relax(blocks, diagonal, shift, rhs, x, alone, 0.8), expected, "relax", 1e-4)


def derivatives(case: Case) -> None:
    """Check operations on the derivatives of a displacement: `determinant` and `pull_back`."""
    u, gradient = case.field(), case.field()
    case.agree(case.kernels.determinant(u), _REFERENCE.determinant(u), "determinant", 1e-4)
    case.agree(case.kernels.pull_back(u, gradient), _REFERENCE.pull_back(u, gradient), "pull_back", 2e-5)


def sums(case: Case) -> None:
    """Check sums over a field in double precision, or nearly so: `dot`, `mean_diagonal`, `lengths`."""
    blocks, _, _, x = case.system()
    y = case.field()
    kernels = case.kernels
    for got, expected, what in (
        (kernels.dot(x, y), float((as_numpy(x).astype(float) * as_numpy(y)).sum()), "dot"),
        *zip(kernels.lengths(x), _REFERENCE.lengths(x), ("lengths, the mean", "lengths, the largest"), strict=True),
    ):
        require(
            abs(got - expected) <= 1e-6 * abs(expected) + 1e-4,
            f"kernels {kernels.name!r}, {what} on {case.shape}: got {got:g}, expected {expected:g}",
        )
    case.agree(kernels.mean_diagonal(blocks), _REFERENCE.mean_diagonal(blocks), "mean_diagonal", 1e-6)


def fields(case: Case) -> None:
    """Check linear combination and capping of fields: `combined` and `capped`."""
    x, y = case.field(), case.field()
    a, b = case.array(0.3), case.array(-2.0)
    case.agree(case.kernels.combined(x, a, y, b), _REFERENCE.combined(x, a, y, b), "combined", 1e-5)
    case.agree(case.kernels.capped(x, 0.5), _REFERENCE.capped(x, 0.5), "capped to 0.5 voxel", 1e-6)
    case.agree(case.kernels.capped(x, 100.0), x, "capped to more than there is", 0)


def match_cost(case: Case) -> None:
    """Check the cost of discrete displacements, for cells of one voxel and of several."""
    offsets = np.random.default_rng(0).integers(0, 4, (7, case.ndim))
    for cell in ([1] * case.ndim, [2, 1, 3][: case.ndim]):
        shape = [n * k for n, k in zip(case.shape, cell, strict=True)]
        wide = [n + 3 for n in shape]
        for channels in (1, 6):
            images = case.normal(2, channels, *shape), case.uniform(2, 1, *shape), case.normal(2, channels, *wide)
            mask = case.array(as_numpy(case.uniform(2, 1, *wide)) > 0.2)
            results = case.kernels.match_cost(*images, mask, offsets, cell)
            references = _REFERENCE.match_cost(*images, mask, offsets, cell)
            for name, got, expected in zip(("cost", "covered"), results, references, strict=True):
                case.agree(got, expected, f"{name} of match_cost, {channels} channels, cells of {cell}", 2e-5)


def best_match(case: Case) -> None:
    """Check the choice of displacements: its energy is the least."""
    places, steps = prod(case.shape), case.normal(9, case.ndim)
    cost, target = case.uniform(2, 9, places), case.normal(2, case.ndim, places)
    for theta in (0.0, 0.1, 2.0):
        index = as_numpy(case.kernels.best_match(cost, steps, target, theta))
        away = as_numpy(steps)[None, :, :, None] - as_numpy(target)[:, None]
        energy = as_numpy(cost) + theta * (away**2).sum(2)
        chosen = np.take_along_axis(energy, index[:, None], axis=1)[:, 0]
        case.agree(case.array(chosen), case.array(energy.min(1)), f"energy of best_match, θ = {theta:g}", 1e-5)


def self_similarity(case: Case) -> None:
    """Check the similarity of patches around pairs of neighbours, for patches of several sizes."""
    image, ndim = 100 * case.normal(2, 1, *case.shape), case.ndim
    steps = np.random.default_rng(0).integers(-2, 3, (2, 6, ndim))
    for pairs in (4, 6):
        for radius in (0, 1, 2):
            given = image, steps[0, :pairs], steps[1, :pairs], radius
            got, expected = case.kernels.self_similarity(*given), _REFERENCE.self_similarity(*given)
            case.agree(got, expected, f"self_similarity of {pairs} pairs, radius {radius}", 2e-4)


KERNEL_RULES: dict[str, Callable[[Case], None]] = {
    rule.__name__: rule
    for rule in (
        warp,
        warp_far_outside,
        warp_nearest,
        warp_labels,
        resample,
        normal_equations,
        operator,
        solver,
        smoothing,
        derivatives,
        sums,
        fields,
        match_cost,
        best_match,
        self_similarity,
    )
}
"""Rules of :func:`check_kernels` by name; each takes a :class:`~learngn.testing.kernels.Case`."""
