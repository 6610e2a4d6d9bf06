"""Compiled combinations and sums of fields, as conjugate gradients need them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from learngn.kernels._cpu_lines import CHUNK, dot
from learngn.kernels._cpu_threads import loop, part
from learngn.kernels._cpu_vectors import LANES, fma, load_upto, splat, total

Array: TypeAlias = NDArray[np.float32]
Sums: TypeAlias = NDArray[np.float64]
_ZERO = np.float32(0)


@part
def _combine(z, beta, p):  # type: ignore[no-untyped-def]
    for i in range(len(p)):
        p[i] = fma(beta, p[i], z[i])


@part
def _advance(alpha, p, x):  # type: ignore[no-untyped-def]
    for i in range(len(x)):
        x[i] = fma(alpha, p[i], x[i])


@loop
def _turn(start, stop, z, beta, p):  # type: ignore[no-untyped-def]
    """Compute ``p = z + beta p``."""
    many = (z.shape[1] + CHUNK - 1) // CHUNK
    for item in range(start, stop):
        n, lo = item // many, item % many * CHUNK
        _combine(z[n, lo : lo + CHUNK], beta[n], p[n, lo : lo + CHUNK])


@loop
def _advanced(start, stop, p, q, alpha, x, r, sums):  # type: ignore[no-untyped-def]
    """Compute ``x += alpha p`` and ``r -= alpha q``, and write <r, r> of every piece to `sums`."""
    size = x.shape[1]
    many = (size + CHUNK - 1) // CHUNK
    for item in range(start, stop):
        n, lo = item // many, item % many * CHUNK
        hi = min(lo + CHUNK, size)
        _advance(alpha[n], p[n, lo:hi], x[n, lo:hi])
        _advance(-alpha[n], q[n, lo:hi], r[n, lo:hi])
        sums[n, item % many] = dot(r, r, n * size + lo, n * size + hi)


@part
def _combine_line(x, a, y, b, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        out[i] = fma(a, x[i], b * y[i])


@loop
def _combined(start, stop, x, a, y, b, out):  # type: ignore[no-untyped-def]
    for item in range(start, stop):
        lo = item * CHUNK
        _combine_line(x[lo : lo + CHUNK], a, y[lo : lo + CHUNK], b, out[lo : lo + CHUNK])


def combined(x: Array, a: float, y: Array, b: float) -> Array:
    """Return ``a x + b y`` for two arrays of the same shape."""
    out = np.empty_like(x)
    items = -(-x.size // CHUNK)
    _combined(items, x.reshape(-1), np.float32(a), y.reshape(-1), np.float32(b), out.reshape(-1))
    return out


@part
def _sum_line(a):  # type: ignore[no-untyped-def]
    s0, s1, s2, s3 = splat(_ZERO), splat(_ZERO), splat(_ZERO), splat(_ZERO)
    for i in range(0, len(a), 4 * LANES):
        left = len(a) - i
        s0 = s0 + load_upto(a, i, left)
        if left > LANES:
            s1 = s1 + load_upto(a, i + LANES, left - LANES)
        if left > 2 * LANES:
            s2 = s2 + load_upto(a, i + 2 * LANES, left - 2 * LANES)
        if left > 3 * LANES:
            s3 = s3 + load_upto(a, i + 3 * LANES, left - 3 * LANES)
    return total(s0) + total(s1) + total(s2) + total(s3)


@loop
def _sums(start, stop, a, rows, sums):  # type: ignore[no-untyped-def]
    """Sum the pieces of some rows of an array (N, K, V)."""
    many = sums.shape[2]
    for item in range(start, stop):
        n, k, lo = item // (many * len(rows)), item // many % len(rows), item % many * CHUNK
        sums[n, k, item % many] = _sum_line(a[n, rows[k], lo : lo + CHUNK])


def mean(a: Array, rows: Sequence[int]) -> Sums:
    """Return the mean of some rows of every sample of an array (N, K, V)."""
    sums = np.empty((len(a), len(rows), -(-a.shape[2] // CHUNK)))
    _sums(sums.size, a, np.array(rows), sums)
    means: Sums = _over_items(sums.reshape(len(a), -1)) / (len(rows) * a.shape[2])
    return means


@loop
def _dots(start, stop, a, b, sums):  # type: ignore[no-untyped-def]
    size = a.shape[1]
    many = (size + CHUNK - 1) // CHUNK
    for item in range(start, stop):
        n, lo = item // many, item % many * CHUNK
        sums[n, item % many] = dot(a, b, n * size + lo, n * size + min(lo + CHUNK, size))


def dots(a: Array, b: Array) -> Sums:
    """Return ``<a[n], b[n]>`` of every sample of two arrays (N, ...)."""
    flat = (len(a), -1)
    sums = np.empty((len(a), -(-a[0].size // CHUNK)))
    _dots(sums.size, a.reshape(flat), b.reshape(flat), sums)
    return _over_items(sums)


def _over_items(sums: Sums) -> Sums:
    whole: Sums = sums.sum(1)
    return whole


def turn(z: Array, beta: Sums, p: Array) -> None:
    """Compute ``p = z + β p`` of every sample."""
    flat = (len(z), -1)
    _turn(_many(p), z.reshape(flat), beta.astype(np.float32), p.reshape(flat))


def advance(alpha: Sums, p: Array, q: Array, x: Array, r: Array) -> Sums:
    """Compute ``x += α p`` and ``r -= α q`` of every sample; return <r, r>."""
    flat, sums = (len(x), -1), np.empty((len(x), _many(x) // len(x)))
    given = (array.reshape(flat) for array in (x, r))
    _advanced(sums.size, p.reshape(flat), q.reshape(flat), alpha.astype(np.float32), *given, sums)
    return _over_items(sums)


def _many(array: Array) -> int:
    """Return the number of pieces of an array (N, ...)."""
    return len(array) * -(-int(array[0].size) // CHUNK)
