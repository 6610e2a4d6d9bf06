"""Numba kernels for float32 on the CPU: adaptors from arrays of NumPy to the compiled loops."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from learngn.kernels import (
    _cpu_cycle,
    _cpu_elastic,
    _cpu_guard,
    _cpu_linearise,
    _cpu_matching,
    _cpu_resample,
    _cpu_sampling,
    _cpu_stencils,
)
from learngn.kernels._cpu_lines import pieces
from learngn.kernels.interface import Coarsening, Guarded, Solved
from learngn.kernels.reference import diagonal
from learngn.kernels.taps import Taps, area_taps, linear_taps

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


@lru_cache(maxsize=256)
def _step(step: Coarsening) -> _cpu_cycle.Step:
    return _cpu_cycle.Step(_solid(step.coarse), *(_bands(taps) for taps in (step.restrict, step.prolong, step.average)))


def _operator(blocks: Values, stiffness: Values, shift: Values) -> _cpu_cycle.Operator:
    return _cpu_cycle.Operator(_planes(blocks), _stiffness(stiffness), _scalars(shift), _solid(blocks.shape[2:]))


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


@lru_cache(maxsize=64)
def _cells(shape: tuple[int, ...], reach: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Return cells of `reach` voxels and the interpolation from them, by axis; see :func:`_cpu_guard.guarded`."""
    cells, starts = np.zeros((3, max(shape), 2), dtype=np.int64), np.zeros((3, max(shape)), dtype=np.int64)
    weights = np.zeros((3, max(shape), 2), dtype=np.float32)
    for axis, n in enumerate(shape):
        count = max(1, n // reach)
        within = area_taps(n, count).matrix() > 0
        cells[axis, :n, 0], cells[axis, :n, 1] = within.argmax(0), count - 1 - within[::-1].argmax(0)
        back = linear_taps(count, n)
        starts[axis, :n], weights[axis, :n, : back.weights.shape[1]] = back.start, back.weights
    return cells, starts, weights


def _thick(stiffness: Values) -> NDArray[np.float32]:
    """Convert weights to (N, 3, 3); 2D has no last axis."""
    n, ndim = stiffness.shape[:2]
    full = np.zeros((n, 3, 3), dtype=np.float32)
    full[:, :ndim, :ndim] = stiffness
    return full


def _scalars(values: Values) -> NDArray[np.float32]:
    return _contiguous(np.asarray(values, dtype=np.float32))


class CompiledKernels:
    """Numba implementation of :class:`learngn.kernels.interface.Kernels`; float32 on the CPU, no autograd."""

    name = "numba"

    def warp(self, image: Values, field: Values | None, matrix: NDArray[np.float64], shape: Sequence[int]) -> Values:
        source, before = _pixels(image), _solid(image.shape[2:])
        out = np.empty((len(source), image.shape[1], math.prod(shape)), dtype=np.float32)
        displacement = _NOWHERE if field is None else _volumes(field)
        _cpu_sampling.warp_linear(_rows(out, shape), source, before, displacement, _matrix(matrix), _solid(shape), out)
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
        energy = np.empty((n, _cpu_linearise.tiles(shape)), dtype=np.float64)
        confidence = _NOWHERE if weight is None else _volumes(weight)
        _cpu_linearise.normal_equations(
            energy.size, ours, theirs, confidence, None if symmetric else 0, shape, energy, blocks, gradient
        )
        both = [a.reshape(n, -1, *fixed.shape[2:]) for a in (blocks, gradient)]
        return both[0], both[1], energy.sum(1)

    def apply_operator(self, blocks: Values, stiffness: Values, shift: Values, x: Values) -> Values:
        field = _planes(x)
        out = np.empty_like(field)
        _operator(blocks, stiffness, shift).apply(field, out)
        return out.reshape(x.shape)

    def smooth(
        self, blocks: Values, stiffness: Values, shift: Values, rhs: Values, x: Values | None, omega: float
    ) -> Values:
        right = _planes(rhs)
        out = np.empty_like(right)
        operator = _operator(blocks, stiffness, shift)
        if x is None:
            operator.relax_from_zero(right, omega, out)
        else:
            operator.relax(right, _planes(x), omega, out)
        return out.reshape(rhs.shape)

    def solve(
        self,
        blocks: Values,
        stiffness: Sequence[Values],
        shift: Values,
        steps: tuple[Coarsening, ...],
        omega: float,
        rhs: Values,
        tolerance: float,
        iterations: int,
    ) -> Solved:
        finest, weights = _operator(blocks, stiffness[0], shift), [_stiffness(level) for level in stiffness]
        found = _cpu_cycle.solve(
            finest, weights, [_step(step) for step in steps], omega, _planes(rhs), tolerance, iterations
        )
        return Solved(found[0].reshape(rhs.shape), *found[1:])

    def elastic(self, stiffness: Values, x: Values, faces: Values | None) -> Values:
        if faces is None:
            planes = _planes(x)
            out = np.empty_like(planes)
            piece, many = pieces(planes.shape[-1], x.shape[-1])
            items = len(planes) * planes.shape[2] * many
            _cpu_stencils.laplacian(items, _stiffness(stiffness), planes, x.shape[-1], piece, out)
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

    def guarded(
        self, u: Values, step: Values, shares: Sequence[float], bound: float, reach: int, attempts: int
    ) -> Guarded:
        shape = _solid(u.shape[2:])
        before = _volumes(u)
        out = np.empty_like(before)
        taken, smallest = _cpu_guard.guarded(
            before, _volumes(step), shares, shape, *_cells(shape, reach), bound, attempts, out
        )
        return Guarded(out.reshape(u.shape), taken.reshape(step.shape), smallest)

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
            rows(weight)[..., 0, :],
            rows(moving),
            rows(seen)[..., 0, :],
            *thick,
            cost,
            covered,
        )
        shape = (len(fixed), len(offsets), *cells[3 - ndim :])
        return cost.reshape(shape), covered.reshape(shape)


COMPILED = CompiledKernels()
