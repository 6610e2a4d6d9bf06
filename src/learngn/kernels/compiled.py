"""Numba kernels for the CPU, float32: thin adaptors from tensors to the compiled loops."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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
from learngn.kernels.interface import Coarsening, Guarded, Solved, SolveStatus
from learngn.kernels.taps import Taps, area_taps, linear_taps

# In the order of their numbers in _cpu_cycle.
_STATUS = (SolveStatus.CONVERGED, SolveStatus.ZERO, SolveStatus.MAX_ITERATIONS, SolveStatus.BREAKDOWN)
_NO_FIELD = np.zeros((0, 3, 0, 0, 0), dtype=np.float32)
_NOWHERE = np.zeros((0, 3, 0), dtype=np.float32)
_IDENTITY = Taps(np.zeros(1, dtype=np.int64), np.ones((1, 1)), 1)


def _volume(tensor: Tensor) -> Tensor:
    """Give a 2D tensor a last axis one voxel thick."""
    return tensor.unsqueeze(-1) if tensor.ndim == 4 else tensor


def _planar(tensor: Tensor) -> NDArray[Any]:
    """Components first: (N, K, X, Y, Z)."""
    return np.ascontiguousarray(_volume(tensor.detach()).numpy())


def _planes(tensor: Tensor) -> NDArray[np.float32]:
    """Components first, each plane one line: (N, K, X, Y * Z); a 2D grid is one plane."""
    array = tensor.detach().contiguous().numpy()
    return array.reshape(*array.shape[:2], 1 if array.ndim == 4 else array.shape[2], -1)


def _interleaved(tensor: Tensor) -> NDArray[Any]:
    """Channels last: (N, X, Y, Z, C)."""
    return np.ascontiguousarray(_volume(tensor.detach()).movedim(1, -1).numpy())


def _as_channels(array: NDArray[Any], ndim: int) -> Tensor:
    """(N, X, Y, Z, C) back to (N, C, *S), channels last in memory."""
    tensor = torch.from_numpy(array).movedim(-1, 1)
    return tensor if ndim == 3 else tensor.squeeze(-1)


def _as_field(array: NDArray[Any], ndim: int) -> Tensor:
    tensor = torch.from_numpy(array)
    return tensor if ndim == 3 else tensor.squeeze(-1)


def _matrix(matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """Index map as (3, 4), the axis that 2D lacks mapped onto itself."""
    lacking = 4 - len(matrix)
    full = np.eye(3, 4, dtype=np.float32)
    full[lacking:, lacking:] = matrix[:-1]
    return full


def _stiffness(stiffness: Tensor) -> NDArray[np.float32]:
    """Weights as (N, D, 3), columns by the axes of (X, Y, Z); 2D lacks the first."""
    n, ndim = stiffness.shape[:2]
    full = np.zeros((n, ndim, 3), dtype=np.float32)
    full[:, :, 3 - ndim :] = stiffness.detach().numpy()
    return full


def _bands(taps: Sequence[Taps]) -> list[tuple[NDArray[np.uint32], NDArray[np.float32]]]:
    """Starts (m,) and weights (width, m) of each of three axes; 2D lacks the first."""
    return [_band(tap) for tap in [_IDENTITY] * (3 - len(taps)) + list(taps)]


@lru_cache(maxsize=1024)
def _band(tap: Taps) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
    return tap.start.astype(np.uint32), np.ascontiguousarray(tap.weights.T, dtype=np.float32)


@lru_cache(maxsize=64)
def _packed(steps: tuple[Coarsening, ...]) -> tuple[NDArray[Any], ...]:
    """Shapes (L + 1, 3), tables (L, 3, 3, 3), starts and weights of all levels: see :func:`_cpu_cycle.solve`."""
    shapes = [step.fine for step in steps] + ([steps[-1].coarse] if steps else [])
    tables = np.zeros((len(steps), 3, 3, 3), dtype=np.int64)
    starts: list[NDArray[np.uint32]] = [np.zeros(0, dtype=np.uint32)]
    weights: list[NDArray[np.float32]] = [np.zeros(0, dtype=np.float32)]
    for level, step in enumerate(steps):
        for kind, taps in enumerate((step.restrict, step.prolong, step.average)):
            for axis, (start, weight) in enumerate(_bands(taps)):
                tables[level, kind, axis] = sum(map(len, starts)), sum(map(len, weights)), len(weight)
                starts.append(start)
                weights.append(weight.ravel())
    solid = [(1,) * (3 - len(shape)) + tuple(shape) for shape in shapes]
    return np.array(solid, dtype=np.int64).reshape(-1, 3), tables, np.concatenate(starts), np.concatenate(weights)


def _solid(shape: Sequence[int]) -> tuple[int, ...]:
    """Shape of three axes; 2D lacks the first."""
    return (1, *shape)[-3:]


def _volumes(tensor: Tensor) -> NDArray[np.float32]:
    """Components first, each volume one line: (N, K, V)."""
    array: NDArray[np.float32] = tensor.detach().contiguous().numpy()
    return array.reshape(*array.shape[:2], -1)


def _pixels(tensor: Tensor) -> NDArray[Any]:
    """Channels last, each volume one line: (N, V * C)."""
    return np.ascontiguousarray(tensor.detach().movedim(1, -1).numpy()).reshape(len(tensor), -1)


@lru_cache(maxsize=64)
def _cells(shape: tuple[int, ...], reach: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Cells of `reach` voxels and interpolation from them, of every axis: see :func:`_cpu_guard.guarded`."""
    cells, starts = np.zeros((3, max(shape), 2), dtype=np.int64), np.zeros((3, max(shape)), dtype=np.int64)
    weights = np.zeros((3, max(shape), 2), dtype=np.float32)
    for axis, n in enumerate(shape):
        count = max(1, n // reach)
        within = area_taps(n, count).matrix() > 0
        cells[axis, :n, 0], cells[axis, :n, 1] = within.argmax(0), count - 1 - within[::-1].argmax(0)
        back = linear_taps(count, n)
        starts[axis, :n], weights[axis, :n, : back.weights.shape[1]] = back.start, back.weights
    return cells, starts, weights


def _thick(stiffness: Tensor) -> NDArray[np.float32]:
    """Weights as (N, 3, 3), where 2D lacks the last axis."""
    n, ndim = stiffness.shape[:2]
    full = np.zeros((n, 3, 3), dtype=np.float32)
    full[:, :ndim, :ndim] = stiffness.detach().numpy()
    return full


def _scalars(values: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(values.detach().numpy(), dtype=np.float32)


class CompiledKernels:
    """Numba implementation of :class:`learngn.kernels.interface.Kernels`; float32 on the CPU, no autograd."""

    name = "numba"

    def warp(self, image: Tensor, field: Tensor | None, matrix: NDArray[np.float64], shape: Sequence[int]) -> Tensor:
        source, before = _pixels(image), _solid(image.shape[2:])
        out = np.empty((len(source), image.shape[1], math.prod(shape)), dtype=np.float32)
        displacement = _NOWHERE if field is None else _volumes(field)
        _cpu_sampling.warp_linear(source, before, displacement, _matrix(matrix), _solid(shape), out)
        return torch.from_numpy(out).reshape(*image.shape[:2], *shape)

    def warp_nearest(
        self, image: Tensor, field: Tensor | None, matrix: NDArray[np.float64], shape: Sequence[int], outside: float
    ) -> Tensor:
        source, before = _pixels(image), _solid(image.shape[2:])
        out = np.empty((len(source), image.shape[1], math.prod(shape)), dtype=source.dtype)
        displacement, value = _NOWHERE if field is None else _volumes(field), source.dtype.type(outside)
        _cpu_sampling.warp_nearest(source, before, displacement, _matrix(matrix), _solid(shape), value, out)
        return torch.from_numpy(out).reshape(*image.shape[:2], *shape)

    def resample(self, image: Tensor, taps: Sequence[Taps]) -> Tensor:
        interleaved = image.is_contiguous(memory_format=_channels_last(image)) and image.shape[1] > 1
        ndim, shape, channels = len(taps), [len(tap.start) for tap in taps], image.shape[1] if interleaved else 1
        # Planar channels are so many single-channel images: either layout is read as it lies.
        source = image.detach().movedim(1, -1).flatten(-2) if interleaved else image.detach().contiguous().flatten(0, 1)
        solid = (len(source), *[1] * (3 - ndim), *source.shape[1:])
        out = np.empty((len(source), *[1] * (3 - ndim), *shape[:-1], shape[-1] * channels), dtype=np.float32)
        x, y, z = _bands(taps)
        _cpu_resample.resample(source.numpy().reshape(solid), channels, *x, *y, *z, False, out)
        if interleaved:
            return torch.from_numpy(out).reshape(len(image), *shape, channels).movedim(-1, 1)
        return torch.from_numpy(out).reshape(*image.shape[:2], *shape)

    def normal_equations(
        self, fixed: Tensor, warped: Tensor, weight: Tensor | None, symmetric: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        ours, theirs, shape, ndim = _volumes(fixed), _volumes(warped), _solid(fixed.shape[2:]), fixed.ndim - 2
        n, size = len(ours), math.prod(shape)
        blocks = np.empty((n, ndim * (ndim + 1) // 2, size), dtype=np.float32)
        gradient = np.empty((n, ndim, size), dtype=np.float32)
        energy = np.empty((n, _cpu_linearise.pieces(shape)), dtype=np.float64)
        confidence = _NOWHERE if weight is None else _volumes(weight)
        _cpu_linearise.normal_equations(ours, theirs, confidence, symmetric, shape, blocks, gradient, energy)
        both = [torch.from_numpy(a).reshape(n, -1, *fixed.shape[2:]) for a in (blocks, gradient)]
        return both[0], both[1], torch.from_numpy(energy.sum(1))

    def apply_operator(self, blocks: Tensor, stiffness: Tensor, shift: Tensor, x: Tensor) -> Tensor:
        field = _planes(x)
        out = np.empty_like(field)
        weights, nz = _stiffness(stiffness), x.shape[-1]
        _cpu_stencils.apply_operator(_planes(blocks), weights, _scalars(shift), field, nz, out)
        return torch.from_numpy(out).reshape(x.shape)

    def smooth(
        self, blocks: Tensor, stiffness: Tensor, shift: Tensor, rhs: Tensor, x: Tensor | None, omega: float
    ) -> Tensor:
        right, nz, factor = _planes(rhs), rhs.shape[-1], np.float32(omega)
        out = np.empty_like(right)
        system = _planes(blocks), _stiffness(stiffness), _scalars(shift), right
        if x is None:
            _cpu_stencils.relax_from_zero(*system, factor, nz, out)
        else:
            _cpu_stencils.relax(*system, _planes(x), factor, nz, out)
        return torch.from_numpy(out).reshape(rhs.shape)

    def solve(
        self,
        blocks: Tensor,
        stiffness: Sequence[Tensor],
        shift: Tensor,
        steps: tuple[Coarsening, ...],
        omega: float,
        rhs: Tensor,
        tolerance: float,
        iterations: int,
    ) -> Solved:
        right = _planes(rhs)
        x = np.empty_like(right)
        shapes, tables, starts, weights = _packed(steps)
        if not steps:
            shapes = np.array([(1, *rhs.shape[2:])[-3:]], dtype=np.int64)
        stencils = np.stack([_stiffness(level) for level in stiffness])
        status, count, residual = _cpu_cycle.solve(
            _planes(blocks), stencils, _scalars(shift), shapes, tables, starts, weights, np.float32(omega),
            right, tolerance, iterations, x,
        )  # fmt: skip
        return Solved(torch.from_numpy(x).reshape(rhs.shape), _STATUS[status], count, residual)

    def elastic(self, stiffness: Tensor, x: Tensor, faces: Tensor | None) -> Tensor:
        if faces is None:
            planes = _planes(x)
            out = np.empty_like(planes)
            _cpu_stencils.laplacian(_stiffness(stiffness), planes, x.shape[-1], out)
            return torch.from_numpy(out).reshape(x.shape)
        field = _planar(x)
        out = np.empty_like(field)
        _cpu_elastic.diffusion(_thick(stiffness), _planar(faces), field, out)
        return _as_field(out, x.shape[1])

    def apply_blocks(self, blocks: Tensor, shift: Tensor, x: Tensor, elastic: Tensor) -> Tensor:
        field = _planar(x)
        out = np.empty_like(field)
        _cpu_elastic.apply_blocks(_planar(blocks), _scalars(shift), field, _planar(elastic), out)
        return _as_field(out, x.shape[1])

    def relax(
        self,
        blocks: Tensor,
        diagonal: Tensor,
        shift: Tensor,
        rhs: Tensor,
        x: Tensor | None,
        elastic: Tensor | None,
        omega: float,
    ) -> Tensor:
        right = _planar(rhs)
        out = np.empty_like(right)
        start, product = (_NO_FIELD if t is None else _planar(t) for t in (x, elastic))
        _cpu_elastic.relax(
            _planar(blocks), _planar(diagonal), _scalars(shift), right, start, product, np.float32(omega), out
        )
        return _as_field(out, rhs.shape[1])

    def dot(self, a: Tensor, b: Tensor) -> float:
        each = np.empty(len(a))
        _cpu_cycle.dots(_volumes(a).reshape(len(a), -1), _volumes(b).reshape(len(b), -1), each)
        return float(each.sum())

    def pull_back(self, u: Tensor, gradient: Tensor) -> Tensor:
        values = _volumes(gradient)
        out = np.empty_like(values)
        _cpu_linearise.pull_back(_volumes(u), values, _solid(u.shape[2:]), out)
        return torch.from_numpy(out).reshape(gradient.shape)

    def determinant(self, field: Tensor) -> Tensor:
        source = _volumes(field)
        out = np.empty((len(source), source.shape[2]), dtype=np.float32)
        _cpu_guard.determinant(source, _solid(field.shape[2:]), out)
        return torch.from_numpy(out).reshape(field.shape[0], *field.shape[2:])

    def guarded(
        self, u: Tensor, step: Tensor, shares: Sequence[float], bound: float, reach: int, attempts: int
    ) -> Guarded:
        shape = _solid(u.shape[2:])
        before, taken = _volumes(u), _volumes(step).copy()
        out = np.empty_like(before)
        parts = np.array(shares, dtype=np.float32)
        smallest = _cpu_guard.guarded(
            before, taken, parts, shape, *_cells(shape, reach), np.float32(bound), attempts, out
        )
        return Guarded(torch.from_numpy(out).reshape(u.shape), torch.from_numpy(taken).reshape(step.shape), smallest)

    def match_cost(
        self,
        fixed: Tensor,
        weight: Tensor,
        moving: Tensor,
        seen: Tensor,
        offsets: NDArray[np.int64],
        cell: Sequence[int],
    ) -> tuple[Tensor, Tensor]:
        ndim = fixed.ndim - 2

        def rows(tensor: Tensor) -> NDArray[Any]:
            """(N, X, Y, C, Z); a plane is one voxel thick along the *first* axis, so that its rows stay long."""
            solid = tensor.detach() if ndim == 3 else tensor.detach().unsqueeze(2)
            return np.ascontiguousarray(solid.movedim(1, -2).numpy())

        thick = np.zeros((len(offsets), 3), dtype=np.int64), np.ones(3, dtype=np.int64)
        thick[0][:, 3 - ndim :], thick[1][3 - ndim :] = offsets, cell
        cells = [n // k for n, k in zip((1, *fixed.shape[2:])[-3:], thick[1].tolist(), strict=True)]
        cost, covered = (np.empty((len(fixed), len(offsets), *cells), dtype=np.float32) for _ in range(2))
        _cpu_matching.match_cost(
            rows(fixed), rows(weight)[..., 0, :], rows(moving), rows(seen)[..., 0, :], *thick, cost, covered
        )
        shape = (len(fixed), len(offsets), *cells[3 - ndim :])
        return torch.from_numpy(cost).reshape(shape), torch.from_numpy(covered).reshape(shape)


def _channels_last(image: Tensor) -> torch.memory_format:
    return torch.channels_last if image.ndim == 4 else torch.channels_last_3d


COMPILED = CompiledKernels()
