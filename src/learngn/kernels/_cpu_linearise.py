"""Compiled linearisation; 2D is one voxel thick along the last axis."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from learngn.kernels._cpu_lines import FAST


@njit(parallel=True, cache=True, nogil=True, fastmath=FAST)
def normal_equations(fixed, warped, weight, symmetric, blocks, gradient, energy):  # type: ignore[no-untyped-def]
    """Blocks JᵀJ and gradient Jᵀf summed over channels; `energy` gets ½ Σ f² of every row (n, x)."""
    batch, nx, ny, nz, channels = fixed.shape
    ndim = gradient.shape[1]
    weighted = weight.size > 0
    share = np.float32(0.5) if symmetric else np.float32(0)
    for row in prange(batch * nx):
        n, x = row // nx, row % nx
        xm, xp = max(x - 1, 0), min(x + 1, nx - 1)
        hx = np.float32(1) / max(xp - xm, 1)
        total = np.float64(0)
        for y in range(ny):
            ym, yp = max(y - 1, 0), min(y + 1, ny - 1)
            hy = np.float32(1) / max(yp - ym, 1)
            for z in range(nz):
                zm, zp = max(z - 1, 0), min(z + 1, nz - 1)
                hz = np.float32(1) / max(zp - zm, 1)
                a00 = a01 = a02 = a11 = a12 = a22 = np.float32(0)
                g0 = g1 = g2 = e = np.float32(0)
                for c in range(channels):
                    j0 = warped[n, xp, y, z, c] - warped[n, xm, y, z, c]
                    j1 = warped[n, x, yp, z, c] - warped[n, x, ym, z, c]
                    j2 = warped[n, x, y, zp, c] - warped[n, x, y, zm, c]
                    if symmetric:
                        j0 += share * (fixed[n, xp, y, z, c] - fixed[n, xm, y, z, c] - j0)
                        j1 += share * (fixed[n, x, yp, z, c] - fixed[n, x, ym, z, c] - j1)
                        j2 += share * (fixed[n, x, y, zp, c] - fixed[n, x, y, zm, c] - j2)
                    f = warped[n, x, y, z, c] - fixed[n, x, y, z, c]
                    a00 += j0 * j0
                    a01 += j0 * j1
                    a02 += j0 * j2
                    a11 += j1 * j1
                    a12 += j1 * j2
                    a22 += j2 * j2
                    g0 += j0 * f
                    g1 += j1 * f
                    g2 += j2 * f
                    e += f * f
                w = weight[n, 0, x, y, z] if weighted else np.float32(1)
                g0, g1, g2, e = w * g0, w * g1, w * g2, w * e
                a00, a01, a02, a11, a12, a22 = w * a00, w * a01, w * a02, w * a11, w * a12, w * a22
                gradient[n, 0, x, y, z] = g0 * hx
                gradient[n, 1, x, y, z] = g1 * hy
                blocks[n, 0, x, y, z] = a00 * hx * hx
                blocks[n, 1, x, y, z] = a01 * hx * hy
                if ndim == 3:
                    gradient[n, 2, x, y, z] = g2 * hz
                    blocks[n, 2, x, y, z] = a02 * hx * hz
                    blocks[n, 3, x, y, z] = a11 * hy * hy
                    blocks[n, 4, x, y, z] = a12 * hy * hz
                    blocks[n, 5, x, y, z] = a22 * hz * hz
                else:
                    blocks[n, 2, x, y, z] = a11 * hy * hy
                total += e
        energy[row] = total / 2
