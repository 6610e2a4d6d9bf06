"""Compiled composition with a step that is shortened where it would fold, row by row.

Fields are (N, D, V), whole volumes of `shape` (X, Y, Z); a 2D grid is one plane, X = 1, and
`plane` is not None: the other case is not even compiled. After the first attempt only
what is near a fold is composed again: elsewhere nothing has changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from learngn.kernels._cpu_lines import line
from learngn.kernels._cpu_sampling import compose_row
from learngn.kernels._cpu_threads import loop

Array: TypeAlias = NDArray[np.float32]

_ONE = np.float32(1)


@line
def _determinant3(hx, hy, a, xm, xp, ym, yp, b, um, up, vm, vp, c, pm, pp, qm, qp, out):  # type: ignore[no-untyped-def]
    """``det(I + ∇u)`` of a row but for its ends, of components a, b and c and their neighbours along x and y."""
    half = np.float32(0.5)
    for z in range(1, len(out) - 1):
        a0 = _ONE + hx * (xp[z] - xm[z])
        a1 = hy * (yp[z] - ym[z])
        a2 = half * (a[z + 1] - a[z - 1])
        b0 = hx * (up[z] - um[z])
        b1 = _ONE + hy * (vp[z] - vm[z])
        b2 = half * (b[z + 1] - b[z - 1])
        c0 = hx * (pp[z] - pm[z])
        c1 = hy * (qp[z] - qm[z])
        c2 = _ONE + half * (c[z + 1] - c[z - 1])
        out[z] = a0 * (b1 * c2 - b2 * c1) - a1 * (b0 * c2 - b2 * c0) + a2 * (b0 * c1 - b1 * c0)


@line
def _determinant2(hy, b, vm, vp, c, qm, qp, out):  # type: ignore[no-untyped-def]
    """:func:`_determinant3` in 2D."""
    half = np.float32(0.5)
    for z in range(1, len(out) - 1):
        b1 = _ONE + hy * (vp[z] - vm[z])
        b2 = half * (b[z + 1] - b[z - 1])
        c1 = hy * (qp[z] - qm[z])
        c2 = _ONE + half * (c[z + 1] - c[z - 1])
        out[z] = b1 * c2 - b2 * c1


@line
def determinant_row(field, plane, nx, ny, nz, x, y, out):  # type: ignore[no-untyped-def]
    """``det(I + ∇u)`` along a row of a field (D, V), central differences, one-sided at the borders."""
    xm, xp, ym, yp = max(x - 1, 0), min(x + 1, nx - 1), max(y - 1, 0), min(y + 1, ny - 1)
    hx, hy = _ONE / np.float32(max(xp - xm, 1)), _ONE / np.float32(max(yp - ym, 1))
    i, im, ip = (x * ny + y) * nz, (xm * ny + y) * nz, (xp * ny + y) * nz
    jm, jp = (x * ny + ym) * nz, (x * ny + yp) * nz
    if plane is None:
        a, b, c = field[0], field[1], field[2]
        _determinant3(
            hx, hy, a[i : i + nz], a[im : im + nz], a[ip : ip + nz], a[jm : jm + nz], a[jp : jp + nz],
            b[i : i + nz], b[im : im + nz], b[ip : ip + nz], b[jm : jm + nz], b[jp : jp + nz],
            c[i : i + nz], c[im : im + nz], c[ip : ip + nz], c[jm : jm + nz], c[jp : jp + nz], out,
        )  # fmt: skip
        for k in range(2):
            z = k * (nz - 1)
            zm, zp = max(z - 1, 0), min(z + 1, nz - 1)
            hz = _ONE / np.float32(max(zp - zm, 1))
            a0, a1, a2 = _ONE + hx * (a[ip + z] - a[im + z]), hy * (a[jp + z] - a[jm + z]), hz * (a[i + zp] - a[i + zm])
            b0, b1, b2 = hx * (b[ip + z] - b[im + z]), _ONE + hy * (b[jp + z] - b[jm + z]), hz * (b[i + zp] - b[i + zm])
            c0, c1, c2 = hx * (c[ip + z] - c[im + z]), hy * (c[jp + z] - c[jm + z]), _ONE + hz * (c[i + zp] - c[i + zm])
            out[z] = a0 * (b1 * c2 - b2 * c1) - a1 * (b0 * c2 - b2 * c0) + a2 * (b0 * c1 - b1 * c0)
    else:
        b, c = field[0], field[1]
        _determinant2(
            hy, b[i : i + nz], b[jm : jm + nz], b[jp : jp + nz], c[i : i + nz], c[jm : jm + nz], c[jp : jp + nz], out
        )
        for k in range(2):
            z = k * (nz - 1)
            zm, zp = max(z - 1, 0), min(z + 1, nz - 1)
            hz = _ONE / np.float32(max(zp - zm, 1))
            b1, b2 = _ONE + hy * (b[jp + z] - b[jm + z]), hz * (b[i + zp] - b[i + zm])
            c1, c2 = hy * (c[jp + z] - c[jm + z]), _ONE + hz * (c[i + zp] - c[i + zm])
            out[z] = b1 * c2 - b2 * c1


@loop
def determinant(start, stop, field, shape, plane, out):  # type: ignore[no-untyped-def]
    """``det(I + ∇u)``, (N, D, V) to (N, V)."""
    nx, ny, nz = shape
    rows = nx * ny
    for item in range(start, stop):
        n, r = item // rows, item % rows
        determinant_row(field[n], plane, nx, ny, nz, r // ny, r % ny, out[n, r * nz : r * nz + nz])


@loop
def _compose(start, stop, u, step, shares, spans, shape, plane, out):  # type: ignore[no-untyped-def]
    """Join the step to every displacement, rows' spans alone."""
    rows = shape[0] * shape[1]
    same = np.eye(3, 4).astype(np.float32)
    for item in range(start, stop):
        k, r = item // rows, item % rows
        n, share = k % len(step), shares[k // len(step)]
        lo, hi = spans[n, r, 0], spans[n, r, 1]
        if lo < hi:
            compose_row(u[k], step[n], share, same, shape, plane, r, lo, hi, out[k])


@line
def _least(values):  # type: ignore[no-untyped-def]
    smallest = values[0]
    for i in range(len(values)):
        smallest = values[i] if values[i] < smallest else smallest
    return smallest


@loop
def _judge(start, stop, joined, spans, shape, plane, bound, cells, least, low):  # type: ignore[no-untyped-def]
    """Least determinant of every row that has changed or borders on one; cells with too small a one are marked."""
    nx, ny, nz = shape
    rows, count = nx * ny, len(spans)
    for item in range(start, stop):
        m, r = item // rows, item % rows
        n, x, y = m % count, r // ny, r % ny
        changed = False
        for q in (
            r,
            max(x - 1, 0) * ny + y,
            min(x + 1, nx - 1) * ny + y,
            x * ny + max(y - 1, 0),
            x * ny + min(y + 1, ny - 1),
        ):
            changed = changed or spans[n, q, 0] < spans[n, q, 1]
        if not changed:
            continue
        row = np.empty(nz, dtype=np.float32)
        determinant_row(joined[m], plane, nx, ny, nz, x, y, row)
        least[m, r] = _least(row)
        if least[m, r] < bound:
            for z in range(nz):
                if row[z] < bound:
                    for cx in range(cells[0, x, 0], cells[0, x, 1] + 1):
                        for cy in range(cells[1, y, 0], cells[1, y, 1] + 1):
                            for cz in range(cells[2, z, 0], cells[2, z, 1] + 1):
                                low[n, cx, cy, cz] = 1


@line
def _widened(low):  # type: ignore[no-untyped-def]
    """Marked cells and all their neighbours."""
    count, nx, ny, nz = low.shape
    out = np.zeros_like(low)
    for n in range(count):
        for x in range(nx):
            for y in range(ny):
                for z in range(nz):
                    if low[n, x, y, z]:
                        out[n, max(x - 1, 0) : x + 2, max(y - 1, 0) : y + 2, max(z - 1, 0) : z + 2] = 1
    return out


@loop
def _shorten(start, stop, step, wide, starts, weights, shape, spans):  # type: ignore[no-untyped-def]
    """Halve the step about the marked cells, less towards their rim; spans get what has changed of each row."""
    nx, ny, nz = shape
    rows, ndim = nx * ny, step.shape[1]
    for item in range(start, stop):
        n, r = item // rows, item % rows
        x, y = r // ny, r % ny
        along = np.zeros(wide.shape[3] + 1, dtype=np.float32)
        found = False
        for i in range(2):
            cx = min(starts[0, x] + i, wide.shape[1] - 1)
            for j in range(2):
                cy = min(starts[1, y] + j, wide.shape[2] - 1)
                w = weights[0, x, i] * weights[1, y, j]
                if w != 0:
                    for cz in range(wide.shape[3]):
                        if wide[n, cx, cy, cz]:
                            along[cz] += w
                            found = True
        spans[n, r, 0], spans[n, r, 1] = nz, 0
        if not found:
            continue
        for z in range(nz):
            cz = starts[2, z]
            share = weights[2, z, 0] * along[cz] + weights[2, z, 1] * along[cz + 1]
            if share > 0:
                factor = _ONE - np.float32(0.5) * min(share, _ONE)
                for a in range(ndim):
                    step[n, a, r * nz + z] *= factor
                spans[n, r, 0], spans[n, r, 1] = min(spans[n, r, 0], z), z + 1


def guarded(
    u: Array,
    step: Array,
    shares: Sequence[float],
    shape: tuple[int, ...],
    cells: NDArray[np.int64],
    starts: NDArray[np.int64],
    weights: Array,
    bound: float,
    attempts: int,
    out: Array,
) -> float:
    """Join a step to displacements; shorten it where ``det(I + ∇u)`` would fall below a bound.

    Parameters
    ----------
    u, out : array, shape (M, D, V)
    step : array, shape (N, D, V)
        Changed to what is taken of it.
    shares : sequence of float, M / N of them
        What each displacement gets of the step.
    shape : tuple of 3 int
    cells : array, shape (3, longest, 2)
        Of every axis and voxel: the first and the last cell, of two voxels about, that it lies in.
    starts, weights : array, shape (3, longest), (3, longest, 2)
        Linear interpolation from cells to voxels.
    bound : float
    attempts : int

    Returns
    -------
    float
        Smallest determinant left.
    """
    count, rows, plane = len(step), shape[0] * shape[1], None if u.shape[1] == 3 else 0
    spans = np.empty((count, rows, 2), dtype=np.int64)
    spans[..., 0], spans[..., 1] = 0, shape[2]
    least = np.empty((len(u), rows), dtype=np.float32)
    parts, floor = np.array(shares, dtype=np.float32), np.float32(bound)
    coarse = [int(cells[axis, n - 1, 1]) + 1 for axis, n in enumerate(shape)]
    for attempt in range(attempts):
        low = np.zeros((count, *coarse), dtype=np.uint8)
        _compose(len(u) * rows, u, step, parts, spans, shape, plane, out)
        _judge(len(u) * rows, out, spans, shape, plane, floor, cells, least, low)
        if attempt == attempts - 1 or not low.any():
            break
        _shorten(count * rows, step, _widened(low), starts, weights, shape, spans)
    return float(least.min())
