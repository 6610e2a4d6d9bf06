"""Loops over lines of values of a plane, which is a line of rows of `nz` values.

Arrays are flat, whatever their shape, with the place at which the values begin. Outputs must not overlap with inputs.
"""

from __future__ import annotations

import numpy as np

from learngn.kernels._cpu_threads import inlined, part
from learngn.kernels._cpu_vectors import LANES, fma, fnma, load, load_upto, splat, store_upto, total

CHUNK = 8192  # largest number of values of a line: thirty such lines fit the second-level cache
_ZERO, _TWO = np.float32(0), np.float32(2)


def pieces(size: int, nz: int, at_most: int = CHUNK) -> tuple[int, int]:
    """Return the number of values of a piece (whole rows of a plane), and the number of pieces of the plane."""
    piece = max(1, at_most // nz) * nz
    return piece, -(-size // piece)


@inlined
def _several(c, i, count, beside, factors):  # type: ignore[no-untyped-def]
    """Compute the stencil for eight values, or `count` of them, whose neighbours along z are beside them in memory."""
    xm, xp, ym, yp = beside
    s0, s1, s2, centre = factors
    t = fnma(s0, load_upto(c, i + xm, count) + load_upto(c, i + xp, count), centre * load_upto(c, i, count))
    t = fnma(s1, load_upto(c, i + ym, count) + load_upto(c, i + yp, count), t)
    return fnma(s2, load_upto(c, i - 1, count) + load_upto(c, i + 1, count), t)


@part
def _line(c, i, count, beside, factors, out, o):  # type: ignore[no-untyped-def]
    """Compute the stencil for a line of values from `i` on, like :func:`_several`."""
    whole = max(count, 0) // LANES * LANES
    for z in range(0, whole, LANES):
        store_upto(out, o + z, None, _several(c, i + z, None, beside, factors))
    if whole < count:
        store_upto(out, o + whole, count - whole, _several(c, i + whole, count - whole, beside, factors))


@inlined
def _one(c, i, zm, zp, beside, factors):  # type: ignore[no-untyped-def]
    """Compute the stencil for one value, with neighbours along z at `zm` and `zp`."""
    xm, xp, ym, yp = beside
    s0, s1, s2, centre = factors
    t = fnma(s1, c[i + ym] + c[i + yp], fnma(s0, c[i + xm] + c[i + xp], centre * c[i]))
    return fnma(s2, c[zm] + c[zp], t)


@part
def _edge_row(c, i, nz, beside, factors, out, o):  # type: ignore[no-untyped-def]
    """Compute the stencil for a row that has a neighbour on one side only: on the other one it is its own."""
    last = i + nz - 1
    _line(c, i + 1, nz - 2, beside, factors, out, o + 1)
    out[o] = _one(c, i, i, min(i + 1, last), beside, factors)
    out[o + nz - 1] = _one(c, last, max(last - 1, i), last, beside, factors)


@part
def stencil(c, at, beside, nz, size, lo, hi, factors, out, o):  # type: ignore[no-untyped-def]
    """Compute ``(Σ_b s_b (-∂_b²) + shift) c`` from `lo` to `hi` of a plane; Neumann borders.

    The plane begins at `at` of the flat array c; `beside` are the steps to its neighbouring planes; `factors` are s_b
    and the shift. The values are written to the flat array `out`, from `o` on.
    """
    (xm, xp), (s0, s1, s2, shift) = beside, factors
    weights = s0, s1, s2, shift + _TWO * (s0 + s1 + s2)
    first, last = max(lo, nz), min(hi, size - nz)
    _line(c, at + first, last - first, (xm, xp, -nz, nz), weights, out, o + first - lo)
    # At the ends of rows, neighbours in memory are not neighbours on the grid.
    for i in range(first, last, nz):
        p, q = at + i, o + i - lo
        out[q] += s2 * (c[p - 1] - c[p])
        out[q + nz - 1] += s2 * (c[p + nz] - c[p + nz - 1])
    if lo == 0:
        _edge_row(c, at, nz, (xm, xp, 0, nz if size > nz else 0), weights, out, o)
    if hi == size and size > nz:
        i = size - nz
        _edge_row(c, at + i, nz, (xm, xp, -nz, 0), weights, out, o + i - lo)


@part
def dot(a, b, first, last):  # type: ignore[no-untyped-def]
    """Compute ``<a, b>`` from `first` to `last`: thirty-two sums in single precision, which are added in double."""
    s0, s1, s2, s3 = splat(_ZERO), splat(_ZERO), splat(_ZERO), splat(_ZERO)
    i = first
    while i + 4 * LANES <= last:
        s0 = fma(load(a, i), load(b, i), s0)
        s1 = fma(load(a, i + LANES), load(b, i + LANES), s1)
        s2 = fma(load(a, i + 2 * LANES), load(b, i + 2 * LANES), s2)
        s3 = fma(load(a, i + 3 * LANES), load(b, i + 3 * LANES), s3)
        i += 4 * LANES
    while i < last:
        s0 = fma(load_upto(a, i, last - i), load_upto(b, i, last - i), s0)
        i += LANES
    return total(s0) + total(s1) + total(s2) + total(s3)
