"""Vector loops on 1D arrays alone: the one form that the compiler always turns into vector instructions.

A plane of a field is such an array, `nz` values a row. What a loop writes must not overlap with what it reads.
"""

from __future__ import annotations

import numpy as np

from learngn.kernels._cpu_threads import part

CHUNK = 8192  # values of a line at most: thirty such lines fit the second cache


def pieces(size: int, nz: int, at_most: int = CHUNK) -> tuple[int, int]:
    """Values of a piece of whole rows of a plane, and pieces of the plane."""
    piece = max(1, at_most // nz) * nz
    return piece, -(-size // piece)


@part
def _between(c, xm, xp, ym, yp, zm, zp, s0, s1, s2, centre, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        out[i] = centre * c[i] - s0 * (xm[i] + xp[i]) - s1 * (ym[i] + yp[i]) - s2 * (zm[i] + zp[i])


@part
def _edge_row(c, xm, xp, ym, yp, s0, s1, s2, centre, out):  # type: ignore[no-untyped-def]
    last = len(c) - 1
    for z in range(1, last):
        out[z] = centre * c[z] - s0 * (xm[z] + xp[z]) - s1 * (ym[z] + yp[z]) - s2 * (c[z - 1] + c[z + 1])
    for z in (0, last):
        beside = c[max(z - 1, 0)] + c[min(z + 1, last)]
        out[z] = centre * c[z] - s0 * (xm[z] + xp[z]) - s1 * (ym[z] + yp[z]) - s2 * beside


@part
def stencil(c, xm, xp, nz, lo, hi, s0, s1, s2, shift, out):  # type: ignore[no-untyped-def]
    """``(Σ_b s_b (-∂_b²) + shift) c`` from `lo` to `hi` of a plane, whose neighbours are xm and xp; no flux out."""
    size = len(c)
    centre = shift + np.float32(2) * (s0 + s1 + s2)
    first, last = max(lo, nz), min(hi, size - nz)
    if first < last:
        _between(
            c[first:last], xm[first:last], xp[first:last], c[first - nz : last - nz], c[first + nz : last + nz],
            c[first - 1 : last - 1], c[first + 1 : last + 1], s0, s1, s2, centre, out[first - lo : last - lo],
        )  # fmt: skip
    # Where a row meets the next, neighbours in memory are none.
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
    """``B v + t``."""
    for i in range(len(o0)):
        o0[i] = t0[i] + b00[i] * v0[i] + b01[i] * v1[i] + b02[i] * v2[i]
        o1[i] = t1[i] + b01[i] * v0[i] + b11[i] * v1[i] + b12[i] * v2[i]
        o2[i] = t2[i] + b02[i] * v0[i] + b12[i] * v1[i] + b22[i] * v2[i]


@part
def apply2(b00, b01, b11, t0, t1, v0, v1, o0, o1):  # type: ignore[no-untyped-def]
    """:func:`apply3` in 2D."""
    for i in range(len(o0)):
        o0[i] = t0[i] + b00[i] * v0[i] + b01[i] * v1[i]
        o1[i] = t1[i] + b01[i] * v0[i] + b11[i] * v1[i]


@part
def residual3(b00, b01, b02, b11, b12, b22, r0, r1, r2, t0, t1, t2, v0, v1, v2, o0, o1, o2):  # type: ignore[no-untyped-def]
    """``r - B v - t``."""
    for i in range(len(o0)):
        o0[i] = r0[i] - t0[i] - b00[i] * v0[i] - b01[i] * v1[i] - b02[i] * v2[i]
        o1[i] = r1[i] - t1[i] - b01[i] * v0[i] - b11[i] * v1[i] - b12[i] * v2[i]
        o2[i] = r2[i] - t2[i] - b02[i] * v0[i] - b12[i] * v1[i] - b22[i] * v2[i]


@part
def residual2(b00, b01, b11, r0, r1, t0, t1, v0, v1, o0, o1):  # type: ignore[no-untyped-def]
    """:func:`residual3` in 2D."""
    for i in range(len(o0)):
        o0[i] = r0[i] - t0[i] - b00[i] * v0[i] - b01[i] * v1[i]
        o1[i] = r1[i] - t1[i] - b01[i] * v0[i] - b11[i] * v1[i]


@part
def solve3(b00, b01, b02, b11, b12, b22, d0, d1, d2, e0, e1, e2, omega, r0, r1, r2, o0, o1, o2):  # type: ignore[no-untyped-def]
    """``ω (B + diag(d + e))⁻¹ r``, every block as LDLᵀ."""
    for i in range(len(o0)):
        i0 = np.float32(1) / (b00[i] + d0[i] + e0)
        l10, l20 = b01[i] * i0, b02[i] * i0
        i1 = np.float32(1) / (b11[i] + d1[i] + e1 - l10 * b01[i])
        e21 = b12[i] - l20 * b01[i]
        l21 = e21 * i1
        e22 = b22[i] + d2[i] + e2 - l20 * b02[i] - l21 * e21
        y1 = r1[i] - l10 * r0[i]
        p2 = (r2[i] - l20 * r0[i] - l21 * y1) / e22
        p1 = y1 * i1 - l21 * p2
        o0[i] = omega * (r0[i] * i0 - l10 * p1 - l20 * p2)
        o1[i] = omega * p1
        o2[i] = omega * p2


@part
def solve2(b00, b01, b11, d0, d1, e0, e1, omega, r0, r1, o0, o1):  # type: ignore[no-untyped-def]
    """:func:`solve3` in 2D."""
    for i in range(len(o0)):
        i0 = np.float32(1) / (b00[i] + d0[i] + e0)
        l10 = b01[i] * i0
        p1 = (r1[i] - l10 * r0[i]) / (b11[i] + d1[i] + e1 - l10 * b01[i])
        o0[i] = omega * (r0[i] * i0 - l10 * p1)
        o1[i] = omega * p1


@part
def relax3(  # type: ignore[no-untyped-def]
    b00, b01, b02, b11, b12, b22, d0, d1, d2, e0, e1, e2, omega, r0, r1, r2, t0, t1, t2, v0, v1, v2, o0, o1, o2
):
    """``v + ω (B + diag(d + e))⁻¹ (r - B v - t)``."""
    for i in range(len(o0)):
        q0 = r0[i] - t0[i] - b00[i] * v0[i] - b01[i] * v1[i] - b02[i] * v2[i]
        q1 = r1[i] - t1[i] - b01[i] * v0[i] - b11[i] * v1[i] - b12[i] * v2[i]
        q2 = r2[i] - t2[i] - b02[i] * v0[i] - b12[i] * v1[i] - b22[i] * v2[i]
        i0 = np.float32(1) / (b00[i] + d0[i] + e0)
        l10, l20 = b01[i] * i0, b02[i] * i0
        i1 = np.float32(1) / (b11[i] + d1[i] + e1 - l10 * b01[i])
        e21 = b12[i] - l20 * b01[i]
        l21 = e21 * i1
        e22 = b22[i] + d2[i] + e2 - l20 * b02[i] - l21 * e21
        y1 = q1 - l10 * q0
        p2 = (q2 - l20 * q0 - l21 * y1) / e22
        p1 = y1 * i1 - l21 * p2
        o0[i] = v0[i] + omega * (q0 * i0 - l10 * p1 - l20 * p2)
        o1[i] = v1[i] + omega * p1
        o2[i] = v2[i] + omega * p2


@part
def relax2(b00, b01, b11, d0, d1, e0, e1, omega, r0, r1, t0, t1, v0, v1, o0, o1):  # type: ignore[no-untyped-def]
    """:func:`relax3` in 2D."""
    for i in range(len(o0)):
        q0 = r0[i] - t0[i] - b00[i] * v0[i] - b01[i] * v1[i]
        q1 = r1[i] - t1[i] - b01[i] * v0[i] - b11[i] * v1[i]
        i0 = np.float32(1) / (b00[i] + d0[i] + e0)
        l10 = b01[i] * i0
        p1 = (q1 - l10 * q0) / (b11[i] + d1[i] + e1 - l10 * b01[i])
        o0[i] = v0[i] + omega * (q0 * i0 - l10 * p1)
        o1[i] = v1[i] + omega * p1
