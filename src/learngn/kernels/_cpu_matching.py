"""Compiled cost of displacing cells by whole voxels; whole rows along the last axis are compared at once."""

from __future__ import annotations

import numpy as np

from learngn.kernels._cpu_threads import loop_with


@loop_with(lambda fixed, *_: tuple(np.empty(fixed.shape[4], np.float32) for _ in range(3)))
def match_cost(start, stop, line, total, counted, fixed, weight, moving, seen, offsets, cell, cost, covered):  # type: ignore[no-untyped-def]
    """Compute the costs; features are (N, X, Y, C, Z), weights (N, X, Y, Z), results (N, W, *cells)."""
    _batch, width, cx, cy, cz = cost.shape
    channels, nz = fixed.shape[3], fixed.shape[4]
    k0, k1, k2 = cell[0], cell[1], cell[2]
    share = np.float32(1) / (k0 * k1 * k2)
    for row in range(start, stop):
        n, cell_x, cell_y = row // (cx * cy), row // cy % cx, row % cy
        for w in range(width):
            o0, o1, o2 = offsets[w, 0], offsets[w, 1], offsets[w, 2]
            total[:] = 0
            counted[:] = 0
            for x in range(cell_x * k0, cell_x * k0 + k0):
                for y in range(cell_y * k1, cell_y * k1 + k1):
                    line[:] = 0
                    f = fixed[n, x, y]
                    m = moving[n, x + o0, y + o1, :, o2 : o2 + nz]
                    c = 0
                    while c + 4 <= channels:  # four channels at a time, for fewer passes over the line
                        for z in range(nz):
                            d0 = m[c, z] - f[c, z]
                            d1 = m[c + 1, z] - f[c + 1, z]
                            d2 = m[c + 2, z] - f[c + 2, z]
                            d3 = m[c + 3, z] - f[c + 3, z]
                            line[z] += d0 * d0 + d1 * d1 + d2 * d2 + d3 * d3
                        c += 4
                    while c < channels:
                        for z in range(nz):
                            d0 = m[c, z] - f[c, z]
                            line[z] += d0 * d0
                        c += 1
                    for z in range(nz):
                        v = weight[n, x, y, z] * seen[n, x + o0, y + o1, z + o2]
                        total[z] += v * line[z]
                        counted[z] += v
            for cell_z in range(cz):
                t = s = np.float32(0)
                for z in range(cell_z * k2, cell_z * k2 + k2):
                    t += total[z]
                    s += counted[z]
                cost[n, w, cell_x, cell_y, cell_z] = share * t
                covered[n, w, cell_x, cell_y, cell_z] = share * s
