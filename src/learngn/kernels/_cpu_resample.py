"""Compiled resampling by banded matrices along the three axes, one after the other, plane by plane."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from learngn.kernels._cpu_lines import line
from learngn.kernels._cpu_threads import loop

# Starts (m,) and weights (width, m) of the three axes.
Bands: TypeAlias = tuple[NDArray[np.uint32] | NDArray[np.float32], ...]


@line
def _add_scaled(weight, source, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        out[i] += weight * source[i]


@line
def _gather(start, weight, row, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        out[i] += weight[i] * row[start[i]]


@line
def _along_row(start, weights, channels, row, out):  # type: ignore[no-untyped-def]
    """Add a row of `channels` interleaved values, resampled, to `out`."""
    width, length = weights.shape
    if channels == 1:
        for k in range(width):
            _gather(start, weights[k], row[k:], out)
    else:
        for z in range(length):
            for k in range(width):
                first = np.int64(start[z] + k) * channels
                weight = weights[k, z]
                for c in range(channels):
                    out[z * channels + c] += weight * row[first + c]


@loop
def resample(start, stop, image, channels, sx, wx, sy, wy, sz, wz, add, out):  # type: ignore[no-untyped-def]
    """Resample (P, X, Y, Z * channels) to (P, X', Y', Z' * channels), or add to it what is resampled.

    Starts are (m,), unsigned; weights are (width, m): a zero weight must not reach beyond the axis.
    """
    _planes, mx, my, mz = out.shape
    ny, nz = image.shape[2], image.shape[3]
    for item in range(start, stop):
        p, x = item // mx, item % mx
        plane = np.zeros(ny * nz, dtype=np.float32)
        for k in range(wx.shape[0]):
            if wx[k, x] != 0:
                _add_scaled(wx[k, x], image[p, np.int64(sx[x]) + k].ravel(), plane)
        if not add:
            out[p, x, :, :] = 0
        # Whichever leaves less to do comes first.
        if my <= ny:
            for y in range(my):
                row = np.zeros(nz, dtype=np.float32)
                for k in range(wy.shape[0]):
                    if wy[k, y] != 0:
                        at = (np.int64(sy[y]) + k) * nz
                        _add_scaled(wy[k, y], plane[at : at + nz], row)
                _along_row(sz, wz, channels, row, out[p, x, y])
        else:
            rows = np.zeros((ny, mz), dtype=np.float32)
            for y in range(ny):
                _along_row(sz, wz, channels, plane[y * nz : y * nz + nz], rows[y])
            for y in range(my):
                for k in range(wy.shape[0]):
                    if wy[k, y] != 0:
                        _add_scaled(wy[k, y], rows[np.int64(sy[y]) + k], out[p, x, y])
