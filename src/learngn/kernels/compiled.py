"""Numba kernels for float32 on the CPU: adaptors from arrays of NumPy to the compiled loops."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from learngn.arrays import as_numpy, shared
from learngn.kernels import (
    _cpu_cycle,
    _cpu_elastic,
    _cpu_guard,
    _cpu_linearise,
    _cpu_matching,
    _cpu_mind,
    _cpu_resample,
    _cpu_sampling,
    _cpu_stencils,
)
from learngn.kernels._cpu_vectors import LANES
from learngn.kernels.bound import ReferenceOperator
from learngn.kernels.compiled_guard import CompiledGuard
from learngn.kernels.interface import BoundOperator, BoundTransfer, Coarsening, Guard, Kernels, Sums
from learngn.kernels.reference import similarity_bounds
from learngn.kernels.stencils import diagonal
from learngn.kernels.taps import Taps

Values: TypeAlias = NDArray[Any]

_NO_FIELD = np.zeros((0, 3, 0, 0, 0), dtype=np.float32)
_NOWHERE = np.zeros((0, 3, 0), dtype=np.float32)
_IDENTITY = Taps(np.zeros(1, dtype=np.int64), np.ones((1, 1)), 1)


def _contiguous(array: Values) -> Values:
    """Return an array in C order that may be written to: Numba compiles another version for read-only arrays."""
    array = np.ascontiguousarray(array)
    return array if array.flags.writeable else array.copy()


def _volume(array: Values) -> Values:
    """Return an array with three axes; in 2D the last one is one voxel thick."""
    return array[..., None] if array.ndim == 4 else array


def _planar(array: Values) -> NDArray[Any]:
    """Convert to components first, (N, K, X, Y, Z)."""
    return _contiguous(_volume(array))


def _planes(array: Values) -> NDArray[np.float32]:
    """Convert to components first with flat planes, (N, K, X, Y * Z); a 2D grid is one plane."""
    array = _contiguous(array)
    return array.reshape(*array.shape[:2], 1 if array.ndim == 4 else array.shape[2], -1)


def _as_field(array: Values, ndim: int) -> Values:
    return array if ndim == 3 else array[..., 0]


def _matrix(matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """Convert an index map to (3, 4); in 2D the missing axis is mapped to itself."""
    lacking = 4 - len(matrix)
    full = np.eye(3, 4, dtype=np.float32)
    full[lacking:, lacking:] = matrix[:-1]
    return full


def _stiffness(stiffness: Values) -> NDArray[np.float32]:
    """Convert weights to (N, D, 3), with one column for each axis of (X, Y, Z); 2D has no first axis."""
    n, ndim = stiffness.shape[:2]
    full = np.zeros((n, ndim, 3), dtype=np.float32)
    full[:, :, 3 - ndim :] = stiffness
    return full


def _bands(taps: Sequence[Taps]) -> _cpu_resample.Bands:
    """Return starts (m,) and weights (width, m) of the three axes, one after the other; 2D has no first axis."""
    return tuple(array for tap in [_IDENTITY] * (3 - len(taps)) + list(taps) for array in _band(tap))


@lru_cache(maxsize=1024)
def _band(tap: Taps) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
    return tap.start.astype(np.uint32), np.ascontiguousarray(tap.weights.T, dtype=np.float32)


def _solid(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape along three axes; 2D has no first axis."""
    return (1, *shape)[-3:]


def _rows(out: NDArray[Any], shape: Sequence[int]) -> int:
    """Return the number of rows of an array (N, V) or (N, C, V): the items of loops over rows."""
    return len(out) * math.prod(shape[:-1])


def _volumes(array: Values) -> NDArray[np.float32]:
    """Convert to components first with flat volumes, (N, K, V)."""
    return _contiguous(array).reshape(*array.shape[:2], -1)


def _pixels(array: Values) -> NDArray[Any]:
    """Convert to channels last with flat volumes, (N, V * C)."""
    return _contiguous(np.moveaxis(array, 1, -1)).reshape(len(array), -1)


def _extended(rows: Values, margin: int) -> NDArray[np.float32]:
    """Return rows (R, Z) with border values before and behind them, flat; see :func:`_cpu_mind.self_similarity`."""
    size = rows.shape[1]
    out = np.empty((len(rows), size + 2 * margin + LANES), dtype=np.float32)
    out[:, :margin], out[:, margin : margin + size], out[:, margin + size :] = rows[:, :1], rows, rows[:, -1:]
    return out.reshape(-1)


def _thick(stiffness: Values) -> NDArray[np.float32]:
    """Convert weights to (N, 3, 3); 2D has no last axis."""
    n, ndim = stiffness.shape[:2]
    full = np.zeros((n, 3, 3), dtype=np.float32)
    full[:, :ndim, :ndim] = stiffness
    return full


def _scalars(values: Values) -> NDArray[np.float32]:
    return _contiguous(np.asarray(values, dtype=np.float32))


class CompiledOperator:
    """Implementation of :class:`learngn.kernels.interface.BoundOperator` for a constant stencil; writes in place."""

    def __init__(self, kernels: Kernels, blocks: Values, stiffness: Values, shift: Values) -> None:
        self.kernels, self._blocks = kernels, _planes(blocks)
        self._stiffness, self._shift = (
            _stiffness(np.broadcast_to(stiffness, (len(blocks), *stiffness.shape[-2:]))),
            _scalars(shift),
        )
        self.layout = (len(self._blocks), blocks.ndim - 2, *self._blocks.shape[2:])
        three = self._blocks.shape[1] == 6
        layout = self.layout[1], self.layout[2], self.layout[3], blocks.shape[-1]
        self._grid = _cpu_stencils.Grid(layout, None if three else 0, len(self._blocks))

    def owned(self, field: Values) -> Values:
        return _contiguous(as_numpy(field)).reshape(self.layout)

    def given_back(self, field: Values, like: Any) -> Any:
        return shared(field.reshape(like.shape), like)

    def room(self) -> Values:
        return np.empty(self.layout, dtype=np.float32)

    @cached_property
    def _diagonal(self) -> Values:
        """Diagonal of the stencil and the shift along the axes of a plane, (N, D, P)."""
        s, (ndim, _, size, nz) = self._stiffness, self._grid.layout
        diagonal: Values = _cpu_stencils.plane_diagonal(s, self._shift, ndim, size, nz)
        return diagonal

    def apply(self, x: Values, out: Values) -> Sums:
        sums = self._sums(True)
        _cpu_stencils.apply_operator(self._grid, self._blocks, self._stiffness, self._shift, x, out, sums)
        return _over_items(sums)

    def residual(self, rhs: Values, x: Values, out: Values) -> None:
        _cpu_stencils.residual(self._grid, self._blocks, self._stiffness, self._shift, rhs, x, out)

    def relax(self, rhs: Values, x: Values | None, omega: float, out: Values, dotted: bool = False) -> Sums | None:
        factor, given = np.float32(omega), (self._grid, self._blocks, self._stiffness)
        if x is None:
            _cpu_stencils.relax_from_zero(*given, self._diagonal, rhs, factor, out)
            return self.kernels.dots(rhs, out) if dotted else None
        sums = self._sums(dotted)
        _cpu_stencils.relax(*given, self._shift, self._diagonal, rhs, x, factor, out, sums)
        return _over_items(sums) if dotted else None

    def relax_from_zero_and_residual(self, rhs: Values, omega: float, x: Values, out: Values) -> None:
        given = self._grid, self._blocks, self._stiffness, self._shift, self._diagonal
        _cpu_stencils.relax_from_zero_and_residual(*given, rhs, np.float32(omega), x, out)

    def _sums(self, wanted: bool) -> Sums:
        """Allocate an array for the sums of all items, by sample; empty if no sums are wanted."""
        return np.empty((self._grid.samples, self._grid.items // self._grid.samples if wanted else 0))


class CompiledTransfer:
    """Implementation of :class:`learngn.kernels.interface.BoundTransfer`; writes in place."""

    def __init__(self, step: Coarsening) -> None:
        self._fine, self._coarse = _solid(step.fine), _solid(step.coarse)
        self._down, self._up = _bands(step.restrict), _bands(step.prolong)

    def restrict(self, source: Values, out: Values) -> None:
        items = out.shape[0] * out.shape[1] * self._coarse[0]
        _cpu_resample.resample(items, source.reshape(-1), self._fine, 1, *self._down, False, out.reshape(-1))

    def prolong(self, source: Values, out: Values) -> None:
        items = out.shape[0] * out.shape[1] * self._fine[0]
        _cpu_resample.resample(items, source.reshape(-1), self._coarse, 1, *self._up, True, out.reshape(-1))


@lru_cache(maxsize=256)
def _transfer(step: Coarsening) -> CompiledTransfer:
    return CompiledTransfer(step)


def _over_items(sums: Sums) -> Sums:
    whole: Sums = sums.sum(1)
    return whole


class CompiledKernels:
    """Numba implementation of :class:`learngn.kernels.interface.Kernels`; float32 on the CPU, no autograd."""

    name = "numba"

    def warp(
        self,
        image: Values,
        field: Values | None,
        matrix: NDArray[np.float64],
        shape: Sequence[int],
        outside: float | None = None,
    ) -> Values:
        source, before = _pixels(image), _solid(image.shape[2:])
        out = np.empty((len(source), image.shape[1], math.prod(shape)), dtype=np.float32)
        displacement = _NOWHERE if field is None else _volumes(field)
        # Two arguments of the same types with and without a value outside: one version is compiled.
        value = np.float32(0 if outside is None else outside)
        _cpu_sampling.warp_linear(
            _rows(out, shape),
            source,
            before,
            displacement,
            _matrix(matrix),
            _solid(shape),
            outside is not None,
            value,
            out,
        )
        return out.reshape(*image.shape[:2], *shape)

    def warp_nearest(
        self, image: Values, field: Values | None, matrix: NDArray[np.float64], shape: Sequence[int], outside: float
    ) -> Values:
        source, before = _pixels(image), _solid(image.shape[2:])
        out = np.empty((len(source), image.shape[1], math.prod(shape)), dtype=source.dtype)
        displacement, value = _NOWHERE if field is None else _volumes(field), source.dtype.type(outside)
        _cpu_sampling.warp_nearest(
            _rows(out, shape), source, before, displacement, _matrix(matrix), _solid(shape), value, out
        )
        return out.reshape(*image.shape[:2], *shape)

    def warp_labels(self, labels: Values, displacement: Values, first: int) -> Values:
        source, shape = _contiguous(labels).reshape(-1), displacement.shape[1:]
        out = np.empty((1, math.prod(shape)), dtype=source.dtype)
        start = (first, 0) if len(shape) == 3 else (0, first)
        _cpu_sampling.warp_labels(
            _rows(out, shape), source, _solid(labels.shape), _volumes(displacement[None]), _solid(shape), start, out
        )
        return out.reshape(shape)

    def resample(self, image: Values, taps: Sequence[Taps]) -> Values:
        last = np.moveaxis(image, 1, -1)
        interleaved = last.flags.c_contiguous and image.shape[1] > 1
        ndim, shape, channels = len(taps), [len(tap.start) for tap in taps], image.shape[1] if interleaved else 1
        # Images with channels first are read as several images of one channel, so that neither layout is copied.
        source = (last if interleaved else _contiguous(image)).reshape(-1)
        before = (*image.shape[2:-1], image.shape[-1] * channels)
        count = len(image) * (1 if interleaved else image.shape[1])
        solid = (count, *[1] * (3 - ndim), *before)
        out = np.empty((count, *[1] * (3 - ndim), *shape[:-1], shape[-1] * channels), dtype=np.float32)
        _cpu_resample.resample(
            out.shape[0] * out.shape[1],
            source,
            solid[1:],
            channels,
            *_bands(taps),
            False,
            out.reshape(-1),
        )
        if interleaved:
            return np.moveaxis(out.reshape(len(image), *shape, channels), -1, 1)
        return out.reshape(*image.shape[:2], *shape)

    def normal_equations(
        self, fixed: Values, warped: Values, weight: Values | None, symmetric: bool
    ) -> tuple[Values, Values, Values]:
        ours, theirs, shape, ndim = _volumes(fixed), _volumes(warped), _solid(fixed.shape[2:]), fixed.ndim - 2
        n, size = len(ours), math.prod(shape)
        blocks = np.empty((n, ndim * (ndim + 1) // 2, size), dtype=np.float32)
        gradient = np.empty((n, ndim, size), dtype=np.float32)
        energy = np.empty((n, _cpu_linearise.tiles(shape, fixed.shape[1])), dtype=np.float64)
        confidence = _NOWHERE if weight is None else _volumes(weight)
        _cpu_linearise.normal_equations(
            energy.size, ours, theirs, confidence, None if symmetric else 0, shape, energy, blocks, gradient
        )
        both = [a.reshape(n, -1, *fixed.shape[2:]) for a in (blocks, gradient)]
        return both[0], both[1], energy.sum(1)

    def apply_operator(self, blocks: Values, stiffness: Values, shift: Values, x: Values) -> Values:
        out = np.empty(x.shape, dtype=np.float32)
        operator = CompiledOperator(self, blocks, stiffness, shift)
        operator.apply(operator.owned(x), out.reshape(operator.layout))
        return out

    def smooth(
        self, blocks: Values, stiffness: Values, shift: Values, rhs: Values, x: Values | None, omega: float
    ) -> Values:
        out = np.empty(rhs.shape, dtype=np.float32)
        operator = CompiledOperator(self, blocks, stiffness, shift)
        start = None if x is None else operator.owned(x)
        operator.relax(operator.owned(rhs), start, omega, out.reshape(operator.layout))
        return out

    def bind(self, blocks: Values, stiffness: Values, shift: Values, faces: Values | None, order: int) -> BoundOperator:
        if faces is None and order == 1:
            return CompiledOperator(self, blocks, stiffness, shift)
        return ReferenceOperator(self, blocks, stiffness, shift, faces, order)

    def dots(self, a: Values, b: Values) -> Sums:
        return _cpu_cycle.dots(a, b)

    def turn(self, z: Values, beta: Sums, p: Values) -> None:
        _cpu_cycle.turn(z, beta, p)

    def advance(self, alpha: Sums, p: Values, q: Values, x: Values, r: Values) -> Sums:
        return _cpu_cycle.advance(alpha, p, q, x, r)

    def between(self, step: Coarsening) -> BoundTransfer:
        return _transfer(step)

    def elastic(self, stiffness: Values, x: Values, faces: Values | None) -> Values:
        if faces is None:
            planes = _planes(x)
            out = np.empty_like(planes)
            layout = planes.shape[1], planes.shape[2], planes.shape[3], x.shape[-1]
            grid = _cpu_stencils.Grid(layout, None if x.shape[1] == 3 else 0, len(planes))
            _cpu_stencils.laplacian(grid, _stiffness(stiffness), planes, out)
            return out.reshape(x.shape)
        field = _planar(x)
        out = np.empty_like(field)
        _cpu_elastic.diffusion(len(out) * out.shape[2], _thick(stiffness), _planar(faces), field, out)
        return _as_field(out, x.shape[1])

    def apply_blocks(self, blocks: Values, shift: Values, x: Values, elastic: Values) -> Values:
        field = _planar(x)
        out = np.empty_like(field)
        _cpu_elastic.apply_blocks(
            len(out) * out.shape[2], _planar(blocks), _scalars(shift), field, _planar(elastic), out
        )
        return _as_field(out, x.shape[1])

    def relax(
        self,
        blocks: Values,
        diagonal: Values,
        shift: Values,
        rhs: Values,
        x: Values | None,
        elastic: Values | None,
        omega: float,
    ) -> Values:
        right = _planar(rhs)
        out = np.empty_like(right)
        start, product = (_NO_FIELD if t is None else _planar(t) for t in (x, elastic))
        _cpu_elastic.relax(
            len(out) * out.shape[2],
            _planar(blocks),
            _planar(diagonal),
            _scalars(shift),
            right,
            start,
            product,
            np.float32(omega),
            out,
        )
        return _as_field(out, rhs.shape[1])

    def dot(self, a: Values, b: Values) -> float:
        return float(_cpu_cycle.dots(_volumes(a), _volumes(b)).sum())

    def combined(self, x: Values, a: Values, y: Values, b: Values) -> Values:
        out = _cpu_cycle.combined(_volumes(x), float(a), _volumes(y), float(b))
        return out.reshape(x.shape)

    def mean_diagonal(self, blocks: Values) -> Values:
        return _cpu_cycle.mean(_volumes(blocks), diagonal(blocks))

    def lengths(self, field: Values) -> tuple[float, float]:
        return _cpu_guard.lengths(_volumes(field))

    def capped(self, field: Values, longest: float) -> Values:
        values = _volumes(field)
        if _cpu_guard.lengths(values)[1] <= longest:
            return field
        return _cpu_guard.capped(values, longest).reshape(field.shape)

    def pull_back(self, u: Values, gradient: Values) -> Values:
        values = _volumes(gradient)
        out = np.empty_like(values)
        shape = _solid(u.shape[2:])
        _cpu_linearise.pull_back(_rows(values, u.shape[2:]), _volumes(u), values, shape, out)
        return out.reshape(gradient.shape)

    def determinant(self, field: Values) -> Values:
        source = _volumes(field)
        out = np.empty((len(source), source.shape[2]), dtype=np.float32)
        shape = _solid(field.shape[2:])
        plane = None if field.shape[1] == 3 else 0
        _cpu_guard.determinant(_rows(out, shape), source, shape, plane, out)
        return out.reshape(field.shape[0], *field.shape[2:])

    def guard(self, u: Values, step: Values, shares: Sequence[float], bound: float, reach: int) -> Guard:
        return CompiledGuard(u, step, shares, bound, reach)

    def match_cost(
        self,
        fixed: Values,
        weight: Values,
        moving: Values,
        seen: Values,
        offsets: NDArray[np.int64],
        cell: Sequence[int],
    ) -> tuple[Values, Values]:
        ndim = fixed.ndim - 2

        def rows(array: Values) -> Values:
            """Convert to (N, X, Y, C, Z); a plane is one voxel thick along the *first* axis, to have long rows."""
            return _contiguous(np.moveaxis(array if ndim == 3 else array[:, :, None], 1, -2))

        thick = np.zeros((len(offsets), 3), dtype=np.int64), np.ones(3, dtype=np.int64)
        thick[0][:, 3 - ndim :], thick[1][3 - ndim :] = offsets, cell
        cells = [n // k for n, k in zip((1, *fixed.shape[2:])[-3:], thick[1].tolist(), strict=True)]
        cost, covered = (np.empty((len(fixed), len(offsets), *cells), dtype=np.float32) for _ in range(2))
        _cpu_matching.match_cost(
            len(cost) * cells[0] * cells[1],
            rows(fixed),
            _contiguous(rows(weight)[..., 0, :]),
            rows(moving),
            _contiguous(rows(seen)[..., 0, :]),
            *thick,
            cost,
            covered,
        )
        shape = (len(fixed), len(offsets), *cells[3 - ndim :])
        return cost.reshape(shape), covered.reshape(shape)

    def best_match(self, cost: Values, steps: Values, target: Values, theta: float) -> Values:
        n, width, places = cost.shape
        ndim = steps.shape[1]
        factors, wanted = np.zeros((width, 4), dtype=np.float32), np.zeros((n, 3, places), dtype=np.float32)
        factors[:, 0], factors[:, 1 : ndim + 1] = theta * (steps**2).sum(1), -2 * theta * steps
        wanted[:, :ndim] = target
        out = np.empty((n, places), dtype=np.int64)
        _cpu_matching.best_match(n * -(-places // _cpu_matching.PLACES), _contiguous(cost), factors, wanted, out)
        return out

    def self_similarity(
        self, image: Values, first: NDArray[np.int64], second: NDArray[np.int64], radius: int
    ) -> Values:
        n, pairs, shape = len(image), len(first), _solid(image.shape[2:])
        steps = np.zeros((pairs, 2, 3), dtype=np.int64)
        steps[:, 0, 3 - first.shape[1] :], steps[:, 1, 3 - first.shape[1] :] = first, second
        margin = int(abs(steps[..., 2]).max())
        rows = _extended(_contiguous(image).reshape(-1, shape[-1]), margin)
        sums, bounds = np.empty(n * shape[0]), np.zeros((2, n), dtype=np.float32)
        out, nothing = np.empty((n, *image.shape[2:], pairs), dtype=np.float32), np.empty(0, dtype=np.float32)
        given = n * shape[0], rows, shape, margin, steps, radius
        _cpu_mind.self_similarity(*given, *bounds, sums, nothing)
        low, high = similarity_bounds(sums.reshape(n, -1).sum(axis=1) / math.prod(shape), image)
        _cpu_mind.self_similarity(*given, low, high, sums, out.reshape(-1))
        return np.moveaxis(out, -1, 1)


COMPILED = CompiledKernels()
