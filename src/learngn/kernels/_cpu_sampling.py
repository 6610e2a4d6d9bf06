"""Compiled sampling loops. Arrays are 3D with channels last; a 2D image is one voxel thick along the last axis."""

from __future__ import annotations

from math import floor

import numpy as np
from numba import njit, prange

from learngn.kernels._cpu_lines import FAST


@njit(inline="always")
def _position(m, a, x, y, z, u0, u1, u2):  # type: ignore[no-untyped-def]
    return m[a, 0] * (x + u0) + m[a, 1] * (y + u1) + m[a, 2] * (z + u2) + m[a, 3]


@njit(parallel=True, cache=True, nogil=True, fastmath=FAST)
def warp_linear(image, field, m, out):  # type: ignore[no-untyped-def]
    """``out[n, x] = image[n, m (x + field[n, :, x])]``; `field` may be empty (no displacement)."""
    batch, nx, ny, nz, channels = out.shape
    sx, sy, sz = image.shape[1], image.shape[2], image.shape[3]
    displaced = field.size > 0
    for row in prange(batch * nx):
        n, x = row // nx, row % nx
        for y in range(ny):
            for z in range(nz):
                u0 = field[n, 0, x, y, z] if displaced else np.float32(0)
                u1 = field[n, 1, x, y, z] if displaced else np.float32(0)
                u2 = field[n, 2, x, y, z] if displaced and field.shape[1] == 3 else np.float32(0)
                px = min(max(_position(m, 0, x, y, z, u0, u1, u2), np.float32(0)), np.float32(sx - 1))
                py = min(max(_position(m, 1, x, y, z, u0, u1, u2), np.float32(0)), np.float32(sy - 1))
                pz = min(max(_position(m, 2, x, y, z, u0, u1, u2), np.float32(0)), np.float32(sz - 1))
                x0, y0, z0 = int(px), int(py), int(pz)
                x1, y1, z1 = min(x0 + 1, sx - 1), min(y0 + 1, sy - 1), min(z0 + 1, sz - 1)
                ax, ay, az = px - np.float32(x0), py - np.float32(y0), pz - np.float32(z0)
                bx, by, bz = np.float32(1) - ax, np.float32(1) - ay, np.float32(1) - az
                w000, w001, w010, w011 = bx * by * bz, bx * by * az, bx * ay * bz, bx * ay * az
                w100, w101, w110, w111 = ax * by * bz, ax * by * az, ax * ay * bz, ax * ay * az
                for c in range(channels):
                    out[n, x, y, z, c] = (
                        w000 * image[n, x0, y0, z0, c]
                        + w001 * image[n, x0, y0, z1, c]
                        + w010 * image[n, x0, y1, z0, c]
                        + w011 * image[n, x0, y1, z1, c]
                        + w100 * image[n, x1, y0, z0, c]
                        + w101 * image[n, x1, y0, z1, c]
                        + w110 * image[n, x1, y1, z0, c]
                        + w111 * image[n, x1, y1, z1, c]
                    )


@njit(parallel=True, cache=True, nogil=True)
def warp_nearest(image, field, m, outside, out):  # type: ignore[no-untyped-def]
    """As :func:`warp_linear` with the nearest voxel (halves round up) and `outside` beyond the image."""
    batch, nx, ny, nz, channels = out.shape
    sx, sy, sz = image.shape[1], image.shape[2], image.shape[3]
    displaced = field.size > 0
    for row in prange(batch * nx):
        n, x = row // nx, row % nx
        for y in range(ny):
            for z in range(nz):
                u0 = field[n, 0, x, y, z] if displaced else np.float32(0)
                u1 = field[n, 1, x, y, z] if displaced else np.float32(0)
                u2 = field[n, 2, x, y, z] if displaced and field.shape[1] == 3 else np.float32(0)
                px = floor(_position(m, 0, x, y, z, u0, u1, u2) + np.float32(0.5))
                py = floor(_position(m, 1, x, y, z, u0, u1, u2) + np.float32(0.5))
                pz = floor(_position(m, 2, x, y, z, u0, u1, u2) + np.float32(0.5))
                # Compared as floats: a far point may not fit an integer.
                inside = 0 <= px < sx and 0 <= py < sy and 0 <= pz < sz
                for c in range(channels):
                    out[n, x, y, z, c] = image[n, int(px), int(py), int(pz), c] if inside else outside
