"""Compiled composition with a step that is shortened where it would fold, row by row; lengths of steps.

Fields are (N, D, V), whole volumes of `shape` (X, Y, Z); a 2D grid is one plane, X = 1, and
`plane` is not None, so that only this case is compiled. After the first attempt only
the surroundings of folds are composed again, as nothing else has changed.
"""

from __future__ import annotations

from math import sqrt
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from learngn.kernels._cpu_lines import CHUNK
from learngn.kernels._cpu_rows import HALF, ONE, ZERO, gradient, halves, is_inside, neighbours
from learngn.kernels._cpu_sampling import compose_row, row_arrays
from learngn.kernels._cpu_threads import inlined, loop, loop_with, part
from learngn.kernels._cpu_vectors import (
    LANES,
    fma,
    fnma,
    lane,
    larger,
    load_upto,
    root,
    splat,
    store,
    store_upto,
    total,
)

Array: TypeAlias = NDArray[np.float32]
_SAME = np.eye(3, 4, dtype=np.float32)


@inlined
def _determinants(field, at, size, offsets, hx, hy, z, nz, plane, count):  # type: ignore[no-untyped-def]
    """Compute ``det(I + ∇u)`` of eight voxels."""
    if plane is None:
        a0, a1, a2 = gradient(field, at, offsets, hx, hy, z, nz, count)
        b0, b1, b2 = gradient(field, at + size, offsets, hx, hy, z, nz, count)
        c0, c1, c2 = gradient(field, at + 2 * size, offsets, hx, hy, z, nz, count)
        a0, b1, c2 = ONE + a0, ONE + b1, ONE + c2
        return fma(a2, fnma(b1, c0, b0 * c1), fnma(a1, fnma(b2, c0, b0 * c2), a0 * fnma(b2, c1, b1 * c2)))
    _, b1, b2 = gradient(field, at, offsets, hx, hy, z, nz, count)
    _, c1, c2 = gradient(field, at + size, offsets, hx, hy, z, nz, count)
    return fnma(b2, c1, (ONE + b1) * (ONE + c2))


@part
def _determinant_row(field, base, shape, plane, r, out, to):  # type: ignore[no-untyped-def]
    """Compute ``det(I + ∇u)`` of row r of the field that begins at `base`, and write it from `to` on."""
    size, nz, offsets = shape[0] * shape[1] * shape[2], shape[2], neighbours(shape, r)
    hx, hy = halves(offsets, shape)
    for z in range(0, nz, LANES):
        at = base + r * nz + z
        if is_inside(z, nz):
            store(out, to + z, _determinants(field, at, size, offsets, hx, hy, z, nz, plane, None))
        else:
            count = nz - z
            store_upto(out, to + z, count, _determinants(field, at, size, offsets, hx, hy, z, nz, plane, count))


@loop
def determinant(start, stop, field, shape, plane, out):  # type: ignore[no-untyped-def]
    """Compute ``det(I + ∇u)``, (N, D, V) to (N, V)."""
    rows, nz, size = shape[0] * shape[1], shape[2], field.shape[2]
    for item in range(start, stop):
        n, r = item // rows, item % rows
        _determinant_row(field, n * field.shape[1] * size, shape, plane, r, out, n * size + r * nz)


@loop_with(lambda u, step, shares, spans, shape, plane, out: (_SAME, *row_arrays(shape[2])))
def compose(start, stop, same, index, f, nothing, u, step, shares, spans, shape, plane, out):  # type: ignore[no-untyped-def]
    """Join the step to every displacement, within the span of each row."""
    rows = shape[0] * shape[1]
    for item in range(start, stop):
        k, r = item // rows, item % rows
        n, share = k % len(step), shares[k // len(step)]
        lo, hi = spans[n, r, 0], spans[n, r, 1]
        if lo < hi:
            compose_row(u[k], step[n], share, same, shape, plane, r, lo, hi, index, f, nothing, out[k])


@inlined
def _least(values):  # type: ignore[no-untyped-def]
    smallest = values[0]
    for i in range(len(values)):
        smallest = values[i] if values[i] < smallest else smallest
    return smallest


@inlined
def _touched(spans, n, shape, r):  # type: ignore[no-untyped-def]
    """Return whether a row or a neighbouring row has changed."""
    for offset in neighbours(shape, r):
        q = r + offset // shape[2]
        if spans[n, q, 0] < spans[n, q, 1]:
            return True
    return spans[n, r, 0] < spans[n, r, 1]


@loop_with(lambda joined, spans, shape, plane, bound, cells, least, low: (np.empty(shape[2], np.float32),))
def judge(start, stop, row, joined, spans, shape, plane, bound, cells, least, low):  # type: ignore[no-untyped-def]
    """Find the smallest determinant of every changed or neighbouring row; mark cells in which it is below the bound."""
    rows, count, nz = shape[0] * shape[1], len(spans), shape[2]
    for item in range(start, stop):
        m, r = item // rows, item % rows
        n, x, y = m % count, r // shape[1], r % shape[1]
        if not _touched(spans, n, shape, r):
            continue
        _determinant_row(joined, m * joined.shape[1] * joined.shape[2], shape, plane, r, row, 0)
        least[m, r] = _least(row)
        if least[m, r] < bound:
            for z in range(nz):
                if row[z] < bound:
                    for cx in range(cells[0, x, 0], cells[0, x, 1] + 1):
                        for cy in range(cells[1, y, 0], cells[1, y, 1] + 1):
                            for cz in range(cells[2, z, 0], cells[2, z, 1] + 1):
                                low[n, cx, cy, cz] = 1


def widened(low: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mark all neighbours of marked cells, too."""
    for axis in (1, 2, 3):
        before, after = low.copy(), np.moveaxis(low, axis, 0)
        wide = np.moveaxis(before, axis, 0)
        wide[1:] |= after[:-1]
        wide[:-1] |= after[1:]
        low = before
    return low


@loop_with(lambda step, wide, marked, starts, weights, shape, spans: (np.empty(wide.shape[3] + 1, np.float32),))
def shorten(start, stop, along, step, wide, marked, starts, weights, shape, spans):  # type: ignore[no-untyped-def]
    """Halve the step in the marked cells, with a smooth transition at their rim; set the changed span of each row.

    `marked` says which lines of cells contain marked cells.
    """
    nx, ny, nz = shape
    rows, ndim = nx * ny, step.shape[1]
    for item in range(start, stop):
        n, r = item // rows, item % rows
        x, y = r // ny, r % ny
        along[:] = 0
        first, last = wide.shape[3], -1
        for i in range(2):
            cx = min(starts[0, x] + i, wide.shape[1] - 1)
            for j in range(2):
                cy = min(starts[1, y] + j, wide.shape[2] - 1)
                w = weights[0, x, i] * weights[1, y, j]
                if w != 0 and marked[n, cx, cy]:
                    for cz in range(wide.shape[3]):
                        if wide[n, cx, cy, cz]:
                            along[cz] += w
                            first, last = min(first, cz), max(last, cz)
        spans[n, r, 0], spans[n, r, 1] = nz, 0
        for z in range(nz if last >= 0 else 0):
            cz = starts[2, z]
            if cz + 1 < first or cz > last:
                continue
            share = weights[2, z, 0] * along[cz] + weights[2, z, 1] * along[cz + 1]
            if share > 0:
                factor = ONE - HALF * min(share, ONE)
                for a in range(ndim):
                    step[n, a, r * nz + z] *= factor
                spans[n, r, 0], spans[n, r, 1] = min(spans[n, r, 0], z), z + 1


@loop
def _lengths(start, stop, field, sums, longest):  # type: ignore[no-untyped-def]
    """Compute the sum of |u| and the largest |u|² of every piece of a field (N, D, V)."""
    ndim, size = field.shape[1], field.shape[2]
    many = (size + CHUNK - 1) // CHUNK
    for item in range(start, stop):
        n, lo = item // many, item % many * CHUNK
        hi = min(lo + CHUNK, size)
        whole, most = splat(ZERO), splat(ZERO)
        for i in range(lo, hi, LANES):
            squared = splat(ZERO)
            for a in range(ndim):
                v = load_upto(field, (n * ndim + a) * size + i, hi - i)
                squared = fma(v, v, squared)
            whole, most = whole + root(squared), larger(squared, most)
        sums[item] = total(whole)
        longest[item] = ZERO
        for i in range(LANES):
            longest[item] = max(longest[item], lane(most, i))


def lengths(field: Array) -> tuple[float, float]:
    """Return the mean and the largest |u| of a field (N, D, V)."""
    items = len(field) * -(-field.shape[2] // CHUNK)
    sums, longest = np.empty(items), np.empty(items, dtype=np.float32)
    _lengths(items, field, sums, longest)
    return float(sums.sum()) / (len(field) * field.shape[2]), sqrt(longest.max())


@loop
def _cap(start, stop, field, longest, out):  # type: ignore[no-untyped-def]
    ndim, size = field.shape[1], field.shape[2]
    many = (size + CHUNK - 1) // CHUNK
    bound = splat(longest * longest)
    for item in range(start, stop):
        n, lo = item // many, item % many * CHUNK
        hi = min(lo + CHUNK, size)
        for i in range(lo, hi, LANES):
            squared = splat(ZERO)
            for a in range(ndim):
                v = load_upto(field, (n * ndim + a) * size + i, hi - i)
                squared = fma(v, v, squared)
            factor = longest / root(larger(squared, bound))
            for a in range(ndim):
                at = (n * ndim + a) * size + i
                store_upto(out, at, hi - i, factor * load_upto(field, at, hi - i))


def capped(field: Array, longest: float) -> Array:
    """Return a field (N, D, V) with every vector shortened to `longest` at most."""
    out = np.empty_like(field)
    _cap(len(field) * -(-field.shape[2] // CHUNK), field, np.float32(longest), out)
    return out
