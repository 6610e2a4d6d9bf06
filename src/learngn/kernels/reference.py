"""Reference implementation of all kernels: any array library, floating type and device, 2D and 3D, differentiable."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod

import numpy as np
from numpy.typing import NDArray

from learngn.arrays import (
    Array,
    as_numpy,
    clamped,
    device_of,
    empty_channels_last,
    lattice,
    like,
    namespace,
    per_sample,
    zeros,
)
from learngn.kernels.bound import ReferenceGuard, ReferenceOperator, ReferenceTransfer
from learngn.kernels.interface import BoundOperator, BoundTransfer, Coarsening, Guard, Sums
from learngn.kernels.stencils import (
    block_index,
    diagonal,
    difference,
    full_blocks,
    negative_second_difference,
    squared_length,
    stencil_diagonal,
)
from learngn.kernels.taps import Taps, area_taps, box_taps


class ReferenceKernels:
    """Implementation of :class:`learngn.kernels.interface.Kernels` by the array API standard: its definition."""

    name = "reference"

    def _coordinates(
        self, field: Array | None, matrix: NDArray[np.float64], shape: Sequence[int], image: Array
    ) -> list[Array]:
        """Return the image index at which to sample along each axis, shape (N, *S)."""
        x = lattice(shape, image)[None]
        if field is not None:
            x = x + field
        n = image.shape[0]
        found = []
        for row in matrix[:-1].tolist():
            along = x[:, 0] * row[0]
            for b in range(1, len(shape)):
                along = along + x[:, b] * row[b]
            found.append(namespace(x).broadcast_to(along + row[-1], (n, *shape)))
        return found

    def warp(
        self,
        image: Array,
        field: Array | None,
        matrix: NDArray[np.float64],
        shape: Sequence[int],
        outside: float | None = None,
    ) -> Array:
        warped = self._sampled(image, field, matrix, shape)
        if outside is None:
            return warped
        xp, inside = namespace(warped), None
        for index, n in zip(self._coordinates(field, matrix, shape, image), image.shape[2:], strict=True):
            within = _within(xp.floor(index + 0.5), n)
            inside = within if inside is None else inside & within
        return xp.where(xp.expand_dims(inside, axis=1), warped, xp.full_like(warped, outside))

    def _sampled(self, image: Array, field: Array | None, matrix: NDArray[np.float64], shape: Sequence[int]) -> Array:
        """Sample an image linearly, and repeat its border beyond."""
        xp, size = namespace(image), image.shape[2:]
        lower, parts = [], []
        for index, n in zip(self._coordinates(field, matrix, shape, image), size, strict=True):
            inner = clamped(xp.where(xp.isnan(index), xp.zeros_like(index), index), 0, n - 1)
            first = clamped(xp.floor(inner), 0, max(n - 2, 0))
            lower.append(xp.astype(first, xp.int64))
            parts.append(inner - first)
        out = None
        for corner in product((0, 1), repeat=len(size)):
            flat, weight = None, None
            for offset, first, part, n in zip(corner, lower, parts, size, strict=True):
                at = xp.minimum(first + offset, xp.full_like(first, n - 1))
                share = part if offset else 1 - part
                flat = at if flat is None else flat * n + at
                weight = share if weight is None else weight * share
            term = _gathered(image, flat) * xp.expand_dims(weight, axis=1)
            out = term if out is None else out + term
        return out

    def warp_nearest(
        self, image: Array, field: Array | None, matrix: NDArray[np.float64], shape: Sequence[int], outside: float
    ) -> Array:
        xp = namespace(image)
        floating = image if xp.isdtype(image.dtype, "real floating") else None
        kind = field if field is not None else (floating if floating is not None else _single(image))
        samples = zeros((image.shape[0], 1, *[1] * len(shape)), kind)
        inside, flat = None, None
        for index, n in zip(self._coordinates(field, matrix, shape, samples), image.shape[2:], strict=True):
            whole = xp.floor(index + 0.5)
            within = _within(whole, n)
            at = xp.astype(xp.where(within, whole, xp.zeros_like(whole)), xp.int64)
            inside = within if inside is None else inside & within
            flat = at if flat is None else flat * n + at
        values = _gathered(image, flat)
        return xp.where(xp.expand_dims(inside, axis=1), values, xp.full_like(values, outside))

    def warp_labels(self, labels: Array, displacement: Array, first: int) -> Array:
        xp, shape = namespace(labels, displacement), displacement.shape[1:]
        inside, flat = None, None
        for axis, n in enumerate(labels.shape):
            along = np.arange(shape[axis]) + (first if axis == 0 else 0)
            along = like(along.reshape([-1 if other == axis else 1 for other in range(len(shape))]), displacement)
            place = xp.astype(along, xp.float64) + xp.astype(displacement[axis], xp.float64)
            within = (place >= 0) & (place <= n - 1)
            at = xp.astype(xp.where(within, xp.floor(place + 0.5), xp.zeros_like(place)), xp.int64)
            inside = within if inside is None else inside & within
            flat = at if flat is None else flat * n + at
        values = xp.reshape(xp.reshape(labels, (-1,))[xp.reshape(flat, (-1,))], shape)
        return xp.where(inside, values, xp.zeros_like(values))

    def resample(self, image: Array, taps: Sequence[Taps]) -> Array:
        xp = namespace(image)
        for axis, tap in enumerate(taps):
            matrix = like(tap.matrix(), image)
            image = xp.moveaxis(xp.tensordot(matrix, image, axes=((1,), (axis + 2,))), 0, axis + 2)
        return image

    def normal_equations(
        self, fixed: Array, warped: Array, weight: Array | None, symmetric: bool
    ) -> tuple[Array, Array, Array]:
        xp, ndim = namespace(fixed, warped), fixed.ndim - 2
        residual = warped - fixed
        source = (warped + fixed) / 2 if symmetric else warped
        jacobian = [difference(source, axis + 2) for axis in range(ndim)]
        blocks = xp.stack([xp.sum(jacobian[a] * jacobian[b], axis=1) for a, b in block_index(ndim)], axis=1)
        gradient = xp.stack([xp.sum(j * residual, axis=1) for j in jacobian], axis=1)
        energy = xp.sum(xp.astype(residual, xp.float64) ** 2, axis=1, keepdims=True)
        if weight is not None:
            blocks, gradient, energy = blocks * weight, gradient * weight, energy * weight
        return blocks, gradient, xp.sum(energy, axis=tuple(range(1, energy.ndim))) / 2

    def apply_operator(self, blocks: Array, stiffness: Array, shift: Array, x: Array) -> Array:
        return self.apply_blocks(blocks, shift, x, self.elastic(stiffness, x, None))

    def smooth(self, blocks: Array, stiffness: Array, shift: Array, rhs: Array, x: Array | None, omega: float) -> Array:
        diagonal = stencil_diagonal(stiffness, rhs.shape[2:], None, 1)
        elastic = None if x is None else self.elastic(stiffness, x, None)
        return self.relax(blocks, diagonal, shift, rhs, x, elastic, omega)

    def elastic(self, stiffness: Array, x: Array, faces: Array | None) -> Array:
        xp, ndim = namespace(x), x.shape[1]
        rows = []
        for a in range(ndim):
            row = xp.zeros_like(x[:, a])
            for b in range(ndim):
                if x.shape[b + 2] > 1:
                    conducts = None if faces is None else faces[:, b]
                    weight = per_sample(stiffness[:, a, b], row)
                    row = row + weight * negative_second_difference(x[:, a], b + 1, conducts)
            rows.append(row)
        return xp.stack(rows, axis=1)

    def apply_blocks(self, blocks: Array, shift: Array, x: Array, elastic: Array) -> Array:
        xp, ndim = namespace(x), x.shape[1]
        whole = elastic + per_sample(shift, x) * x
        rows = [whole[:, a] for a in range(ndim)]
        for k, (a, b) in enumerate(block_index(ndim)):
            rows[a] = rows[a] + blocks[:, k] * x[:, b]
            if a != b:
                rows[b] = rows[b] + blocks[:, k] * x[:, a]
        return xp.stack(rows, axis=1)

    def relax(
        self,
        blocks: Array,
        diagonal: Array,
        shift: Array,
        rhs: Array,
        x: Array | None,
        elastic: Array | None,
        omega: float,
    ) -> Array:
        xp, ndim = namespace(rhs), rhs.shape[1]
        residual = rhs if x is None or elastic is None else rhs - self.apply_blocks(blocks, shift, x, elastic)
        own = diagonal + per_sample(shift, rhs)
        entries = [blocks[:, k] + own[:, a] if a == b else blocks[:, k] for k, (a, b) in enumerate(block_index(ndim))]
        matrix = full_blocks(xp.stack(entries, axis=1), ndim)
        column = xp.expand_dims(xp.moveaxis(residual, 1, -1), axis=-1)
        step = omega * xp.moveaxis(xp.linalg.solve(matrix, column)[..., 0], -1, 1)
        return step if x is None else x + step

    def bind(self, blocks: Array, stiffness: Array, shift: Array, faces: Array | None, order: int) -> BoundOperator:
        return ReferenceOperator(self, blocks, stiffness, shift, faces, order)

    def dots(self, a: Array, b: Array) -> Sums:
        xp, n = namespace(a, b), a.shape[0]
        return as_numpy(xp.sum(xp.reshape(xp.astype(a * b, xp.float64), (n, -1)), axis=1))

    def turn(self, z: Array, beta: Sums, p: Array) -> None:
        p *= per_sample(like(beta, p), p)
        p += z

    def advance(self, alpha: Sums, p: Array, q: Array, x: Array, r: Array) -> Sums:
        share = per_sample(like(alpha, x), x)
        x += share * p
        r -= share * q
        return self.dots(r, r)

    def between(self, step: Coarsening) -> BoundTransfer:
        return ReferenceTransfer(self, step)

    def dot(self, a: Array, b: Array) -> float:
        xp = namespace(a, b)
        return float(xp.sum(a * b, dtype=xp.float64))

    def combined(self, x: Array, a: Array, y: Array, b: Array) -> Array:
        return like(a, x) * x + like(b, y) * y

    def mean_diagonal(self, blocks: Array) -> Array:
        # Rows first, the rest in double precision: the mean then does not depend on the number of threads.
        xp = namespace(blocks)
        rows = xp.mean(xp.stack([blocks[:, k] for k in diagonal(blocks)], axis=1), axis=-1)
        return xp.mean(xp.astype(xp.reshape(rows, (rows.shape[0], -1)), xp.float64), axis=1)

    def lengths(self, field: Array) -> tuple[float, float]:
        xp = namespace(field)
        length = xp.sqrt(squared_length(field))
        return float(xp.mean(xp.astype(length, xp.float64))), float(xp.max(length))

    def capped(self, field: Array, longest: float) -> Array:
        # Short vectors are masked before the root: it has no derivative at zero.
        return field * (longest / namespace(field).sqrt(clamped(squared_length(field), longest**2)))

    def pull_back(self, u: Array, gradient: Array) -> Array:
        xp, ndim = namespace(u, gradient), u.shape[1]
        change = [xp.sum(difference(u, axis + 2) * gradient, axis=1) for axis in range(ndim)]
        return gradient + xp.stack(change, axis=1)

    def determinant(self, field: Array) -> Array:
        xp, ndim = namespace(field), field.shape[1]
        rows = [[difference(field[:, a], b + 1) + float(a == b) for b in range(ndim)] for a in range(ndim)]
        matrix = xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)
        return xp.linalg.det(matrix)

    def guard(self, u: Array, step: Array, shares: Sequence[float], bound: float, reach: int) -> Guard:
        def join(u: Array, step: Array) -> Array:
            xp, shape = namespace(u, step), step.shape[2:]
            moved = xp.concat([share * step for share in shares])
            return moved + self.warp(u, moved, np.eye(len(shape) + 1), shape)

        return ReferenceGuard(self, u, step, join, bound, reach)

    def match_cost(
        self,
        fixed: Array,
        weight: Array,
        moving: Array,
        seen: Array,
        offsets: NDArray[np.int64],
        cell: Sequence[int],
    ) -> tuple[Array, Array]:
        xp = namespace(fixed, moving)
        average = [area_taps(n, n // k) for n, k in zip(fixed.shape[2:], cell, strict=True)]
        cost, covered = [], []
        for offset in offsets.tolist():
            across = [slice(o, o + n) for o, n in zip(offset, fixed.shape[2:], strict=True)]
            there = (slice(None), slice(None), *across)
            counted = weight * seen[there]
            distance = xp.sum((moving[there] - fixed) ** 2, axis=1, keepdims=True) * counted
            cost.append(self.resample(distance, average))
            covered.append(self.resample(counted, average))
        return xp.concat(cost, axis=1), xp.concat(covered, axis=1)

    def best_match(self, cost: Array, steps: Array, target: Array, theta: float) -> Array:
        # Without |target|², which is the same for all displacements.
        xp = namespace(cost, steps, target)
        away = (-2 * theta * steps) @ target + theta * xp.sum(steps**2, axis=1)[:, None]
        return xp.argmin(cost + away, axis=1)

    def self_similarity(self, image: Array, first: NDArray[np.int64], second: NDArray[np.int64], radius: int) -> Array:
        xp, taps = namespace(image), [box_taps(n, 2 * radius + 1) for n in image.shape[2:]]
        steps = {tuple(step): _shifted(image, step) for step in (*first.tolist(), *second.tolist())}
        distances = empty_channels_last((image.shape[0], len(first), *image.shape[2:]), image)
        for pair, (p, q) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
            distances[:, pair] = self.resample((steps[tuple(p)] - steps[tuple(q)]) ** 2, taps)[:, 0]
        distances = distances - xp.min(distances, axis=1, keepdims=True)
        variance = xp.mean(distances, axis=1, keepdims=True)
        low, high = similarity_bounds(xp.mean(variance, axis=tuple(range(1, image.ndim))), image)
        variance = xp.minimum(xp.maximum(variance, per_sample(low, image)), per_sample(high, image))
        return xp.exp(-distances / variance)


def similarity_bounds(mean: Array, image: Array) -> tuple[Array, Array]:
    """Return the bounds of V of :meth:`Kernels.self_similarity` from its means (N,), in the type of an image."""
    typical = like(mean, image)
    return clamped(typical * 1e-3, float(namespace(image).finfo(image.dtype).smallest_normal)), clamped(
        typical, 1e-30
    ) * 1e3


def _shifted(image: Array, step: Sequence[int]) -> Array:
    """Return ``image(x + step)``; border values are repeated."""
    for axis, along in enumerate(step, start=2):
        if along:
            n = image.shape[axis]
            index = np.clip(np.arange(n) + along, 0, n - 1)
            image = namespace(image).take(image, like(index, image, namespace(image).int64), axis=axis)
    return image


def _within(whole: Array, n: int) -> Array:
    """Return which whole coordinates are those of a voxel, along an axis of n."""
    return (whole >= 0) & (whole < n)


def _gathered(image: Array, flat: Array) -> Array:
    """Return the values (N, C, *S) of an image (N, C, *T) at flat indices (N, *S)."""
    xp, (n, channels) = namespace(image), image.shape[:2]
    volumes = xp.reshape(image, (n, channels, prod(image.shape[2:])))
    values = [volumes[k][:, xp.reshape(flat[k], (-1,))] for k in range(n)]
    return xp.reshape(xp.stack(values), (n, channels, *flat.shape[1:]))


def _single(array: Array) -> Array:
    xp = namespace(array)
    return xp.zeros((1,), dtype=xp.float32, device=device_of(array))
