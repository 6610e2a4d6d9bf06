"""Loops over 1D arrays, the form that the compiler always vectorises.

A plane of a field is such an array, with `nz` values per row. Outputs of a loop must not overlap with its inputs.
"""

from __future__ import annotations

import numpy as np

from learngn.kernels._cpu_threads import part
from learngn.kernels._cpu_vectors import LANES, fma, fnma, load, load_upto, splat, total

CHUNK = 8192  # largest number of values of a line: thirty such lines fit the second-level cache
_ZERO = np.float32(0)


def pieces(size: int, nz: int, at_most: int = CHUNK) -> tuple[int, int]:
    """Return the number of values of a piece (whole rows of a plane), and the number of pieces of the plane."""
    piece = max(1, at_most // nz) * nz
    return piece, -(-size // piece)


@part
def _between(c, xm, xp, ym, yp, zm, zp, s0, s1, s2, centre, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        t = fnma(s1, ym[i] + yp[i], fnma(s0, xm[i] + xp[i], centre * c[i]))
        out[i] = fnma(s2, zm[i] + zp[i], t)


@part
def _edge_row(c, xm, xp, ym, yp, s0, s1, s2, centre, out):  # type: ignore[no-untyped-def]
    last = len(c) - 1
    for z in range(1, last):
        t = fnma(s1, ym[z] + yp[z], fnma(s0, xm[z] + xp[z], centre * c[z]))
        out[z] = fnma(s2, c[z - 1] + c[z + 1], t)
    for z in (0, last):
        t = fnma(s1, ym[z] + yp[z], fnma(s0, xm[z] + xp[z], centre * c[z]))
        out[z] = fnma(s2, c[max(z - 1, 0)] + c[min(z + 1, last)], t)


@part
def stencil(c, xm, xp, nz, lo, hi, s0, s1, s2, shift, out):  # type: ignore[no-untyped-def]
    """Compute ``(Σ_b s_b (-∂_b²) + shift) c`` from `lo` to `hi` of a plane between xm and xp; Neumann borders."""
    size = len(c)
    centre = shift + np.float32(2) * (s0 + s1 + s2)
    first, last = max(lo, nz), min(hi, size - nz)
    if first < last:
        _between(
            c[first:last], xm[first:last], xp[first:last], c[first - nz : last - nz], c[first + nz : last + nz],
            c[first - 1 : last - 1], c[first + 1 : last + 1], s0, s1, s2, centre, out[first - lo : last - lo],
        )  # fmt: skip
    # At the ends of rows, neighbours in memory are not neighbours on the grid.
    for i in range(first, last, nz):
        out[i - lo] += s2 * (c[i - 1] - c[i])
        out[i - lo + nz - 1] += s2 * (c[i + nz] - c[i + nz - 1])
    if lo == 0:
        beside = c[nz : 2 * nz] if size > nz else c[:nz]
        _edge_row(c[:nz], xm[:nz], xp[:nz], c[:nz], beside, s0, s1, s2, centre, out[:nz])
    if hi == size and size > nz:
        i = size - nz
        _edge_row(c[i:], xm[i:], xp[i:], c[i - nz : i], c[i:], s0, s1, s2, centre, out[i - lo :])


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
