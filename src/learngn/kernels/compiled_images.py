"""Compiled operations on images: sampling, matching and similarities."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from learngn.kernels import _cpu_matching, _cpu_mind, _cpu_resample, _cpu_sampling
from learngn.kernels._cpu_vectors import LANES
from learngn.kernels.layouts import (
    Values,
    bands,
    contiguous,
    extended,
    index_map,
    lines,
    pixels,
    row_count,
    solid,
    volumes,
    volumes_or_none,
)
from learngn.kernels.reference import similarity_bounds
from learngn.kernels.taps import Taps


class CompiledImageKernels:
    """Part of :class:`learngn.kernels.compiled.CompiledKernels`: what is computed of images alone."""

    def warp(
        self,
        image: Values,
        field: Values | None,
        matrix: NDArray[np.float64],
        shape: Sequence[int],
        outside: float | None = None,
    ) -> Values:
        source, before = pixels(image), solid(image.shape[2:])
        out = np.empty((len(source), image.shape[1], math.prod(shape)), dtype=np.float32)
        displacement = volumes_or_none(field)
        # Two arguments of the same types with and without a value outside: one version is compiled.
        value = np.float32(0 if outside is None else outside)
        _cpu_sampling.warp_linear(
            row_count(len(out), shape),
            source,
            before,
            displacement,
            index_map(matrix),
            solid(shape),
            outside is not None,
            value,
            out,
        )
        return out.reshape(*image.shape[:2], *shape)

    def warp_nearest(
        self, image: Values, field: Values | None, matrix: NDArray[np.float64], shape: Sequence[int], outside: float
    ) -> Values:
        source, before = pixels(image), solid(image.shape[2:])
        out = np.empty((len(source), image.shape[1], math.prod(shape)), dtype=source.dtype)
        displacement, value = volumes_or_none(field), source.dtype.type(outside)
        _cpu_sampling.warp_nearest(
            row_count(len(out), shape), source, before, displacement, index_map(matrix), solid(shape), value, out
        )
        return out.reshape(*image.shape[:2], *shape)

    def warp_labels(self, labels: Values, displacement: Values, first: int) -> Values:
        source, shape = contiguous(labels).reshape(-1), displacement.shape[1:]
        out = np.empty((1, math.prod(shape)), dtype=source.dtype)
        start = (first, 0) if len(shape) == 3 else (0, first)
        _cpu_sampling.warp_labels(
            row_count(len(out), shape),
            source,
            solid(labels.shape),
            volumes(displacement[None]),
            solid(shape),
            start,
            out,
        )
        return out.reshape(shape)

    def resample(self, image: Values, taps: Sequence[Taps]) -> Values:
        last = np.moveaxis(image, 1, -1)
        interleaved = last.flags.c_contiguous and image.shape[1] > 1
        ndim, shape, channels = len(taps), [len(tap.start) for tap in taps], image.shape[1] if interleaved else 1
        # Images with channels first are read as several images of one channel, so that neither layout is copied.
        source = (last if interleaved else contiguous(image)).reshape(-1)
        before = (*image.shape[2:-1], image.shape[-1] * channels)
        count = len(image) * (1 if interleaved else image.shape[1])
        solid = (count, *[1] * (3 - ndim), *before)
        out = np.empty((count, *[1] * (3 - ndim), *shape[:-1], shape[-1] * channels), dtype=np.float32)
        _cpu_resample.resample(
            out.shape[0] * out.shape[1],
            source,
            solid[1:],
            channels,
            *bands(taps),
            False,
            out.reshape(-1),
        )
        if interleaved:
            return np.moveaxis(out.reshape(len(image), *shape, channels), -1, 1)
        return out.reshape(*image.shape[:2], *shape)

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

        thick = np.zeros((len(offsets), 3), dtype=np.int64), np.ones(3, dtype=np.int64)
        thick[0][:, 3 - ndim :], thick[1][3 - ndim :] = offsets, cell
        cells = [n // k for n, k in zip(solid(fixed.shape[2:]), thick[1].tolist(), strict=True)]
        cost, covered = (np.empty((len(fixed), len(offsets), *cells), dtype=np.float32) for _ in range(2))
        _cpu_matching.match_cost(
            len(cost) * cells[0] * cells[1],
            lines(fixed),
            contiguous(lines(weight)[..., 0, :]),
            lines(moving),
            contiguous(lines(seen)[..., 0, :]),
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
        _cpu_matching.best_match(n * -(-places // _cpu_matching.PLACES), contiguous(cost), factors, wanted, out)
        return out

    def self_similarity(
        self, image: Values, first: NDArray[np.int64], second: NDArray[np.int64], radius: int
    ) -> Values:
        n, pairs, shape = len(image), len(first), solid(image.shape[2:])
        steps = np.zeros((pairs, 2, 3), dtype=np.int64)
        steps[:, 0, 3 - first.shape[1] :], steps[:, 1, 3 - first.shape[1] :] = first, second
        margin = int(abs(steps[..., 2]).max())
        rows = extended(contiguous(image).reshape(-1, shape[-1]), margin, LANES)
        sums, bounds = np.empty(n * shape[0]), np.zeros((2, n), dtype=np.float32)
        out, nothing = np.empty((n, *image.shape[2:], pairs), dtype=np.float32), np.empty(0, dtype=np.float32)
        given = n * shape[0], rows, shape, margin, steps, radius
        _cpu_mind.self_similarity(*given, *bounds, sums, nothing)
        low, high = similarity_bounds(sums.reshape(n, -1).sum(axis=1) / math.prod(shape), image)
        _cpu_mind.self_similarity(*given, low, high, sums, out.reshape(-1))
        return np.moveaxis(out, -1, 1)
