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
def apply3(b00, b01, b02, b11, b12, b22, t0, t1, t2, v0, v1, v2, o0, o1, o2):  # type: ignore[no-untyped-def]
    """Compute ``B v + t``."""
    for i in range(len(o0)):
        o0[i] = fma(b00[i], v0[i], fma(b01[i], v1[i], fma(b02[i], v2[i], t0[i])))
        o1[i] = fma(b01[i], v0[i], fma(b11[i], v1[i], fma(b12[i], v2[i], t1[i])))
        o2[i] = fma(b02[i], v0[i], fma(b12[i], v1[i], fma(b22[i], v2[i], t2[i])))


@part
def apply2(b00, b01, b11, t0, t1, v0, v1, o0, o1):  # type: ignore[no-untyped-def]
    """Compute :func:`apply3` in 2D."""
    for i in range(len(o0)):
        o0[i] = fma(b00[i], v0[i], fma(b01[i], v1[i], t0[i]))
        o1[i] = fma(b01[i], v0[i], fma(b11[i], v1[i], t1[i]))


@part
def residual3(b00, b01, b02, b11, b12, b22, r0, r1, r2, t0, t1, t2, v0, v1, v2, o0, o1, o2):  # type: ignore[no-untyped-def]
    """Compute ``r - B v - t``."""
    for i in range(len(o0)):
        o0[i] = fnma(b00[i], v0[i], fnma(b01[i], v1[i], fnma(b02[i], v2[i], r0[i] - t0[i])))
        o1[i] = fnma(b01[i], v0[i], fnma(b11[i], v1[i], fnma(b12[i], v2[i], r1[i] - t1[i])))
        o2[i] = fnma(b02[i], v0[i], fnma(b12[i], v1[i], fnma(b22[i], v2[i], r2[i] - t2[i])))


@part
def residual2(b00, b01, b11, r0, r1, t0, t1, v0, v1, o0, o1):  # type: ignore[no-untyped-def]
    """Compute :func:`residual3` in 2D."""
    for i in range(len(o0)):
        o0[i] = fnma(b00[i], v0[i], fnma(b01[i], v1[i], r0[i] - t0[i]))
        o1[i] = fnma(b01[i], v0[i], fnma(b11[i], v1[i], r1[i] - t1[i]))


@part
def solve3(b00, b01, b02, b11, b12, b22, d0, d1, d2, e0, e1, e2, omega, r0, r1, r2, o0, o1, o2):  # type: ignore[no-untyped-def]
    """Compute ``ω (B + diag(d + e))⁻¹ r`` by an LDLᵀ decomposition of every block."""
    for i in range(len(o0)):
        i0 = np.float32(1) / (b00[i] + d0[i] + e0)
        l10, l20 = b01[i] * i0, b02[i] * i0
        i1 = np.float32(1) / fnma(l10, b01[i], b11[i] + d1[i] + e1)
        e21 = fnma(l20, b01[i], b12[i])
        l21 = e21 * i1
        e22 = fnma(l21, e21, fnma(l20, b02[i], b22[i] + d2[i] + e2))
        y1 = fnma(l10, r0[i], r1[i])
        p2 = fnma(l21, y1, fnma(l20, r0[i], r2[i])) / e22
        p1 = fnma(l21, p2, y1 * i1)
        o0[i] = omega * fnma(l20, p2, fnma(l10, p1, r0[i] * i0))
        o1[i] = omega * p1
        o2[i] = omega * p2


@part
def solve2(b00, b01, b11, d0, d1, e0, e1, omega, r0, r1, o0, o1):  # type: ignore[no-untyped-def]
    """Compute :func:`solve3` in 2D."""
    for i in range(len(o0)):
        i0 = np.float32(1) / (b00[i] + d0[i] + e0)
        l10 = b01[i] * i0
        p1 = fnma(l10, r0[i], r1[i]) / fnma(l10, b01[i], b11[i] + d1[i] + e1)
        o0[i] = omega * fnma(l10, p1, r0[i] * i0)
        o1[i] = omega * p1


@part
def relax3(  # type: ignore[no-untyped-def]
    b00, b01, b02, b11, b12, b22, d0, d1, d2, e0, e1, e2, omega, r0, r1, r2, t0, t1, t2, v0, v1, v2, o0, o1, o2
):
    """Compute ``v + ω (B + diag(d + e))⁻¹ (r - B v - t)``."""
    for i in range(len(o0)):
        q0 = fnma(b00[i], v0[i], fnma(b01[i], v1[i], fnma(b02[i], v2[i], r0[i] - t0[i])))
        q1 = fnma(b01[i], v0[i], fnma(b11[i], v1[i], fnma(b12[i], v2[i], r1[i] - t1[i])))
        q2 = fnma(b02[i], v0[i], fnma(b12[i], v1[i], fnma(b22[i], v2[i], r2[i] - t2[i])))
        i0 = np.float32(1) / (b00[i] + d0[i] + e0)
        l10, l20 = b01[i] * i0, b02[i] * i0
        i1 = np.float32(1) / fnma(l10, b01[i], b11[i] + d1[i] + e1)
        e21 = fnma(l20, b01[i], b12[i])
        l21 = e21 * i1
        e22 = fnma(l21, e21, fnma(l20, b02[i], b22[i] + d2[i] + e2))
        y1 = fnma(l10, q0, q1)
        p2 = fnma(l21, y1, fnma(l20, q0, q2)) / e22
        p1 = fnma(l21, p2, y1 * i1)
        o0[i] = fma(omega, fnma(l20, p2, fnma(l10, p1, q0 * i0)), v0[i])
        o1[i] = fma(omega, p1, v1[i])
        o2[i] = fma(omega, p2, v2[i])


@part
def relax2(b00, b01, b11, d0, d1, e0, e1, omega, r0, r1, t0, t1, v0, v1, o0, o1):  # type: ignore[no-untyped-def]
    """Compute :func:`relax3` in 2D."""
    for i in range(len(o0)):
        q0 = fnma(b00[i], v0[i], fnma(b01[i], v1[i], r0[i] - t0[i]))
        q1 = fnma(b01[i], v0[i], fnma(b11[i], v1[i], r1[i] - t1[i]))
        i0 = np.float32(1) / (b00[i] + d0[i] + e0)
        l10 = b01[i] * i0
        p1 = fnma(l10, q0, q1) / fnma(l10, b01[i], b11[i] + d1[i] + e1)
        o0[i] = fma(omega, fnma(l10, p1, q0 * i0), v0[i])
        o1[i] = fma(omega, p1, v1[i])


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
