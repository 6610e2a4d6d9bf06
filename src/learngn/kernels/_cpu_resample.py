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
def _gather(start, weights, row, first, last, out):  # type: ignore[no-untyped-def]
    """Any band."""
    for k in range(len(weights)):
        for i in range(first, last):
            out[i] += weights[k, i] * row[start[i] + np.uint32(k)]


@line
def _halve(w0, w1, even, out):  # type: ignore[no-untyped-def]
    """Two taps further on by two samples for every one of `out`: neighbours in memory, which _gather does not see."""
    for i in range(len(out)):
        out[i] += w0[i] * even[2 * i] + w1[i] * even[2 * i + 1]


@line
def _double(w0, w1, row, out):  # type: ignore[no-untyped-def]
    """Two samples of `out` between every two of `row`, from its first to that of index ``len(out) / 2``."""
    for j in range(len(out) // 2):
        out[2 * j] += w0[2 * j] * row[j] + w1[2 * j] * row[j + 1]
        out[2 * j + 1] += w0[2 * j + 1] * row[j] + w1[2 * j + 1] * row[j + 1]


@line
def regular(start, width):  # type: ignore[no-untyped-def]
    """How a band goes: 2 if by two samples, 1 if by one for every two of the output, 0 else; and where it does so."""
    m = len(start)
    for step in (2, 1):
        if (step == 2 and width % 2) or (step == 1 and width != 2):
            continue
        first = 0
        # Borders are apart: there a band is pushed back within the axis.
        while first < min(m, 3) and not _goes(start, first, step):
            first += 1
        last = first
        while _goes(start, last, step):
            last += 1 if step == 2 else 2
        if last - first > 4:
            return step, first, last
    return 0, 0, 0


@line
def _goes(start, i, step):  # type: ignore[no-untyped-def]
    """Whether the band goes on regularly from sample i of the output."""
    if step == 2:
        return i + 1 < len(start) and start[i + 1] == start[i] + 2
    return i + 3 < len(start) and start[i + 1] == start[i] and start[i + 2] == start[i] + 1


@line
def _along_row(start, weights, channels, row, way, out):  # type: ignore[no-untyped-def]
    """Add a row of `channels` interleaved values, resampled, to `out`."""
    width, length = weights.shape
    if channels == 1:
        step, first, last = way
        if step == 2:
            at = np.int64(start[first])
            for k in range(0, width, 2):
                _halve(weights[k, first:last], weights[k + 1, first:last], row[at + k :], out[first:last])
        elif step == 1:
            _double(weights[0, first:last], weights[1, first:last], row[np.int64(start[first]) :], out[first:last])
        _gather(start, weights, row, 0, first, out)
        _gather(start, weights, row, last, length, out)
    else:
        for z in range(length):
            for k in range(width):
                here = np.int64(start[z] + k) * channels
                weight = weights[k, z]
                for c in range(channels):
                    out[z * channels + c] += weight * row[here + c]


@loop
def resample(start, stop, image, channels, sx, wx, sy, wy, sz, wz, add, out):  # type: ignore[no-untyped-def]
    """Resample (P, X, Y, Z * channels) to (P, X', Y', Z' * channels), or add to it what is resampled.

    Starts are (m,), unsigned; weights are (width, m): a zero weight must not reach beyond the axis.
    """
    _planes, mx, my, mz = out.shape
    ny, nz = image.shape[2], image.shape[3]
    way = regular(sz, wz.shape[0])
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
                _along_row(sz, wz, channels, row, way, out[p, x, y])
        else:
            rows = np.zeros((ny, mz), dtype=np.float32)
            for y in range(ny):
                _along_row(sz, wz, channels, plane[y * nz : y * nz + nz], way, rows[y])
            for y in range(my):
                for k in range(wy.shape[0]):
                    if wy[k, y] != 0:
                        _add_scaled(wy[k, y], rows[np.int64(sy[y]) + k], out[p, x, y])
