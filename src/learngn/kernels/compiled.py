"""Numba kernels for the CPU, float32: thin adaptors from tensors to the compiled loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learngn.kernels import _cpu_elastic, _cpu_matching, _cpu_sampling, _cpu_stencils
from learngn.kernels.interface import Taps

_NO_FIELD = np.zeros((0, 3, 0, 0, 0), dtype=np.float32)
_IDENTITY_TAPS = (np.zeros(1, dtype=np.int64), np.ones((1, 1), dtype=np.float32))


def _volume(tensor: Tensor) -> Tensor:
    """Give a 2D tensor a last axis one voxel thick."""
    return tensor.unsqueeze(-1) if tensor.ndim == 4 else tensor


def _planar(tensor: Tensor) -> NDArray[Any]:
    """Components first: (N, K, X, Y, Z)."""
    return np.ascontiguousarray(_volume(tensor.detach()).numpy())


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
    ndim = len(matrix) - 1
    full = np.eye(3, 4, dtype=np.float32)
    full[:ndim, :ndim], full[:ndim, 3] = matrix[:-1, :-1], matrix[:-1, -1]
    return full


def _stiffness(stiffness: Tensor) -> NDArray[np.float32]:
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
        source, ndim = _interleaved(image), len(shape)
        out = np.empty((len(source), *(*shape, 1)[:3], source.shape[-1]), dtype=np.float32)
        _cpu_sampling.warp_linear(source, _NO_FIELD if field is None else _planar(field), _matrix(matrix), out)
        return _as_channels(out, ndim)

    def warp_nearest(
        self, image: Tensor, field: Tensor | None, matrix: NDArray[np.float64], shape: Sequence[int], outside: float
    ) -> Tensor:
        source, ndim = _interleaved(image), len(shape)
        out = np.empty((len(source), *(*shape, 1)[:3], source.shape[-1]), dtype=source.dtype)
        displacement = _NO_FIELD if field is None else _planar(field)
        _cpu_sampling.warp_nearest(source, displacement, _matrix(matrix), source.dtype.type(outside), out)
        return _as_channels(out, ndim)

    def resample(self, image: Tensor, taps: Sequence[Taps]) -> Tensor:
        interleaved = image.is_contiguous(memory_format=_channels_last(image)) and image.shape[1] > 1
        # Planar channels are so many single-channel images: either layout is read as it lies.
        source = _interleaved(image) if interleaved else _planar(image).reshape(-1, *_volume(image).shape[2:], 1)
        bands: list[NDArray[Any]] = []
        for tap in taps:
            bands += [tap.start, tap.weights.astype(np.float32)]
        bands += _IDENTITY_TAPS * (3 - len(taps))
        shape = [len(start) for start in bands[::2]]
        out = np.empty((len(source), *shape, source.shape[-1]), dtype=np.float32)
        _cpu_sampling.resample(*(source, *bands, out))
        if interleaved:
            return _as_channels(out, len(taps))
        return torch.from_numpy(out).reshape(*image.shape[:2], *shape[: len(taps)])

    def normal_equations(
        self, fixed: Tensor, warped: Tensor, weight: Tensor | None, symmetric: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        f, w, ndim = _interleaved(fixed), _interleaved(warped), fixed.ndim - 2
        n, volume = len(f), f.shape[1:4]
        blocks = np.empty((n, ndim * (ndim + 1) // 2, *volume), dtype=np.float32)
        gradient = np.empty((n, ndim, *volume), dtype=np.float32)
        energy = np.empty(n * volume[0], dtype=np.float64)
        confidence = _NO_FIELD if weight is None else _planar(weight)
        _cpu_stencils.normal_equations(f, w, confidence, symmetric, blocks, gradient, energy)
        return _as_field(blocks, ndim), _as_field(gradient, ndim), torch.from_numpy(energy.reshape(n, -1).sum(1))

    def apply_operator(self, blocks: Tensor, stiffness: Tensor, shift: Tensor, x: Tensor) -> Tensor:
        field = _planar(x)
        out = np.empty_like(field)
        _cpu_stencils.apply_operator(_planar(blocks), _stiffness(stiffness), _scalars(shift), field, out)
        return _as_field(out, x.shape[1])

    def smooth(
        self, blocks: Tensor, stiffness: Tensor, shift: Tensor, rhs: Tensor, x: Tensor | None, omega: float
    ) -> Tensor:
        right = _planar(rhs)
        out = np.empty_like(right)
        start = _NO_FIELD if x is None else _planar(x)
        _cpu_stencils.smooth(
            _planar(blocks), _stiffness(stiffness), _scalars(shift), right, start, np.float32(omega), out
        )
        return _as_field(out, rhs.shape[1])

    def elastic(self, stiffness: Tensor, x: Tensor, faces: Tensor | None) -> Tensor:
        field = _planar(x)
        out = np.empty_like(field)
        if faces is None:
            _cpu_elastic.laplacian(_stiffness(stiffness), field, out)
        else:
            _cpu_elastic.diffusion(_stiffness(stiffness), _planar(faces), field, out)
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

    def determinant(self, field: Tensor) -> Tensor:
        source = _planar(field)
        out = np.empty((len(source), *source.shape[2:]), dtype=np.float32)
        _cpu_stencils.determinant(source, out)
        return torch.from_numpy(out).reshape(field.shape[0], *field.shape[2:])

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
