"""Compiled cost of displacing cells by whole voxels, and the displacements of the least cost and distance."""

from __future__ import annotations

import numpy as np

from learngn.kernels._cpu_threads import inlined, loop_with, part
from learngn.kernels._cpu_vectors import LANES, fma, load_upto, splat, store

PLACES = 512  # cells for which the displacements are compared at a time: their costs fit the fastest memory


@inlined
def _compare(fixed, weight, moving, seen, at, weight_at, there, seen_at, sizes, cell, count):  # type: ignore[no-untyped-def]
    """Compare eight voxels along the last axis, summed over a cell's other axes; return cost and coverage.

    `at`, `weight_at`, `there` and `seen_at` are the first voxel's places in the arrays, `sizes` (channels, ny, nz) of
    the fixed image and (ny, nz) of the moving one.
    """
    channels, ny, nz, wide_y, wide_z = sizes
    total, counted = splat(np.float32(0)), splat(np.float32(0))
    for x in range(cell[0]):
        for y in range(cell[1]):
            here, other = x * ny + y, x * wide_y + y
            f, m = at + here * channels * nz, there + other * channels * wide_z
            distance = splat(np.float32(0))
            for c in range(channels):
                d = load_upto(moving, m + c * wide_z, count) - load_upto(fixed, f + c * nz, count)
                distance = fma(d, d, distance)
            v = load_upto(weight, weight_at + here * nz, count) * load_upto(seen, seen_at + other * wide_z, count)
            total, counted = fma(v, distance, total), counted + v
    return total, counted


@part
def _cost_rows(start, stop, fixed, weight, moving, seen, offsets, cell, lines, cost, covered):  # type: ignore[no-untyped-def]
    _batch, width, cx, cy, cz = cost.shape
    _n, nx, ny, channels, nz = fixed.shape
    wide_x, wide_y, wide_z = moving.shape[1], moving.shape[2], moving.shape[4]
    sizes = (channels, ny, nz, wide_y, wide_z)
    share = np.float32(1) / (cell[0] * cell[1] * cell[2])
    for item in range(start, stop):
        n, cell_x, cell_y = item // (cx * cy), item // cy % cx, item % cy
        row = (n * nx + cell_x * cell[0]) * ny + cell_y * cell[1]
        for w in range(width):
            other = (n * wide_x + cell_x * cell[0] + offsets[w, 0]) * wide_y + cell_y * cell[1] + offsets[w, 1]
            for z in range(0, nz, LANES):
                places = row * channels * nz + z, row * nz + z
                others = other * channels * wide_z + offsets[w, 2] + z, other * wide_z + offsets[w, 2] + z
                given = (fixed, weight, moving, seen, places[0], places[1], others[0], others[1], sizes, cell)
                if z + LANES <= nz:
                    total, counted = _compare(*given, None)
                else:
                    total, counted = _compare(*given, nz - z)
                store(lines, z, total)
                store(lines, lines.shape[1] + z, counted)
            for cell_z in range(cz):
                t = s = np.float32(0)
                for z in range(cell_z * cell[2], cell_z * cell[2] + cell[2]):
                    t += lines[0, z]
                    s += lines[1, z]
                cost[n, w, cell_x, cell_y, cell_z] = share * t
                covered[n, w, cell_x, cell_y, cell_z] = share * s


@loop_with(lambda fixed, *_: (np.empty((2, fixed.shape[4] + LANES), np.float32),))
def match_cost(start, stop, lines, fixed, weight, moving, seen, offsets, cell, cost, covered):  # type: ignore[no-untyped-def]
    """Compute the costs; features are (N, X, Y, C, Z), weights (N, X, Y, Z), results (N, W, *cells)."""
    _cost_rows(start, stop, fixed, weight, moving, seen, offsets, cell, lines, cost, covered)


@part
def _best_places(start, stop, cost, factors, target, best, chosen, out):  # type: ignore[no-untyped-def]
    width, places = cost.shape[1], cost.shape[2]
    many = (places + PLACES - 1) // PLACES
    for item in range(start, stop):
        n, lo = item // many, item % many * PLACES
        count = min(PLACES, places - lo)
        for i in range(count):
            best[i], chosen[i] = np.float32(np.inf), np.int32(0)
        t0, t1, t2 = target[n, 0, lo : lo + count], target[n, 1, lo : lo + count], target[n, 2, lo : lo + count]
        for w in range(width):
            constant, a, b, c = factors[w, 0], factors[w, 1], factors[w, 2], factors[w, 3]
            line, index = cost[n, w, lo : lo + count], np.int32(w)
            for i in range(count):
                value = line[i] + constant + (a * t0[i] + b * t1[i] + c * t2[i])
                less = value < best[i]
                best[i] = value if less else best[i]
                chosen[i] = index if less else chosen[i]
        for i in range(count):
            out[n, lo + i] = chosen[i]


@loop_with(lambda *_: (np.empty(PLACES, np.float32), np.empty(PLACES, np.int32)))
def best_match(start, stop, best, chosen, cost, factors, target, out):  # type: ignore[no-untyped-def]
    """Find the least ``cost + factors · (1, target)``; (N, W, P), (W, 4) and (N, 3, P) to indices (N, P)."""
    _best_places(start, stop, cost, factors, target, best, chosen, out)
