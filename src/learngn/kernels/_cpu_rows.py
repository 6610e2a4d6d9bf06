"""Neighbours and differences along a row of a volume, eight values at a time.

A volume of `shape` (X, Y, Z) is a flat array; a 2D one is a single plane, X = 1. Row r is y + x Y. `count` is None
inside a row, where there are eight values and all of their neighbours; else the number of remaining values of the row.
"""

from __future__ import annotations

import numpy as np

from learngn.kernels._cpu_threads import inlined
from learngn.kernels._cpu_vectors import LANES, lane, later, load, load_upto, splat, with_lane

ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)


@inlined
def is_inside(z, nz):  # type: ignore[no-untyped-def]
    """Return whether a vector and its neighbours are inside the row."""
    return z > 0 and z + LANES < nz


@inlined
def neighbours(shape, r):  # type: ignore[no-untyped-def]
    """Return the offsets in memory of the neighbours of row r along x, then along y; zero at the borders."""
    nx, ny, nz = shape
    x, y = r // ny, r % ny
    xm, xp, ym, yp = max(x - 1, 0), min(x + 1, nx - 1), max(y - 1, 0), min(y + 1, ny - 1)
    return (xm - x) * ny * nz, (xp - x) * ny * nz, (ym - y) * nz, (yp - y) * nz


@inlined
def around(v, at, z, nz, count):  # type: ignore[no-untyped-def]
    """Load the neighbours along z of the values from `at` on, which begin at z; at the ends the value itself."""
    if count is None:
        return load(v, at - 1), load(v, at + 1)
    here = load_upto(v, at, count)
    before = load_upto(v, at - 1, count) if z > 0 else later(here)
    if count > LANES:
        return before, load(v, at + 1)
    after = load_upto(v, at + 1, count - 1)
    return before, with_lane(after, count - 1, lane(here, count - 1))


@inlined
def differences(v, at, offsets, z, nz, count):  # type: ignore[no-untyped-def]
    """Compute the differences along x, y and z between the neighbours of the values from `at` on."""
    xm, xp, ym, yp = offsets
    before, after = around(v, at, z, nz, count)
    j0 = load_upto(v, at + xp, count) - load_upto(v, at + xm, count)
    j1 = load_upto(v, at + yp, count) - load_upto(v, at + ym, count)
    return j0, j1, after - before


@inlined
def halves(offsets, shape):  # type: ignore[no-untyped-def]
    """Return the weights of differences along x and y: ½, one at borders."""
    xm, xp, ym, yp = offsets
    hx = HALF if xp - xm > shape[1] * shape[2] else ONE
    hy = HALF if yp - ym > shape[2] else ONE
    return hx, hy


@inlined
def halves_within(z, nz, count):  # type: ignore[no-untyped-def]
    """Return the weights of differences along z: ½, one at the ends of a row."""
    h = splat(HALF)
    if count is None:
        return h
    if z == 0:
        h = with_lane(h, 0, ONE)
    if count <= LANES:
        h = with_lane(h, count - 1, ONE)
    return h


@inlined
def gradient(v, at, offsets, hx, hy, z, nz, count):  # type: ignore[no-untyped-def]
    """Compute ∂v/∂x, ∂v/∂y, ∂v/∂z of the values from `at` on: central, one-sided at borders, where hx or hy is 1."""
    j0, j1, j2 = differences(v, at, offsets, z, nz, count)
    return hx * j0, hy * j1, halves_within(z, nz, count) * j2
