"""Compilation of the kernels before their first use, by several processes at once.

A kernel is compiled for this processor when it is first called, and cached on disk. One process compiles one kernel at
a time; here each of several processes compiles some of them.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import cycle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from learngn import kernels
from learngn.kernels.interface import Coarsening
from learngn.kernels.taps import area_taps, linear_taps

_SIDE = 4


def jobs(ndim: int) -> list[Callable[[], object]]:
    """Return calls of all kernels that a registration with the usual settings needs, longest compilation first."""
    from learngn.kernels.compiled import COMPILED

    shape = (_SIDE,) * ndim
    field, image, several = _array(ndim, shape), _array(1, shape), _array(2, shape)
    blocks = _array(ndim * (ndim + 1) // 2, shape)
    weights, shift = np.ones((1, ndim, ndim), np.float32), np.ones(1, np.float32)
    same = np.eye(ndim + 1)
    taps = tuple(area_taps(_SIDE, 2) for _ in shape), tuple(linear_taps(2, _SIDE) for _ in shape)
    coarsening = Coarsening(shape, (2,) * ndim, taps[0], taps[1], taps[0])

    def solve() -> None:
        COMPILED.mean_diagonal(blocks)
        COMPILED.combined(field, shift[0], field, shift[0])
        operator, transfer = COMPILED.bind(blocks, weights, shift, None, 1), COMPILED.between(coarsening)
        x, out, coarse = operator.owned(field), operator.room(), np.zeros((1, ndim, *coarsening.coarse), np.float32)
        operator.apply(x, out)
        operator.residual(x, x, out)
        operator.relax(x, None, 0.8, out)
        operator.relax(x, x, 0.8, out, True)
        operator.relax_from_zero_and_residual(x, 0.8, operator.room(), out)
        transfer.restrict(out, coarse)
        transfer.prolong(coarse, out)
        COMPILED.advance(COMPILED.dots(x, out), x, x, out, out)
        COMPILED.turn(x, COMPILED.dots(x, x), out)

    def sample() -> None:
        COMPILED.warp(several, field, same, shape)
        COMPILED.warp(image, None, same, shape)
        for kind in (np.uint8, np.int16, np.float32):
            COMPILED.warp_nearest(image.astype(kind), field, same, shape, 0)
        for kind in (np.uint8, np.int16):
            COMPILED.warp_labels(image[0, 0].astype(kind), field[0], 0)

    def linearise() -> None:
        COMPILED.normal_equations(several, several, None, True)
        COMPILED.pull_back(field, field)
        COMPILED.elastic(weights, field, None)
        COMPILED.determinant(field)

    def guard() -> None:
        # The step is so large that it is shortened, so that every part is compiled.
        guard = COMPILED.guard(field * 0, 9 * field, (1.0,), 0.5, 2)
        guard.join()
        guard.shorten()
        COMPILED.capped(field, 0.1)
        steps = np.eye(ndim, dtype=np.int64)
        COMPILED.self_similarity(image, steps, -steps, 1)

    return [solve, sample, linearise, guard]


def is_cold(ndim: int) -> bool:
    """Return whether compiled kernels are used but not yet compiled for this processor and `ndim` dimensions."""
    return kernels.compiles() and not any(mark.exists() for mark in _marks(ndim))


def compile_all(ndim: int, processes: int | None = None) -> None:
    """Compile for images of `ndim` dimensions and wait; kernels that fail are compiled when they are needed.

    Parameters
    ----------
    ndim : int
    processes : int, optional
        Number of processes; by default the number of processors.
    """
    from learngn.kernels import _cpu_cache

    _cpu_cache.announce()
    folder = _cpu_cache.places().folder
    if folder is None:  # without a cache this process cannot use what others compile
        return
    command = [sys.executable, "-m", "learngn.kernels.warm", str(ndim)]
    count = max(1, min(processes or os.cpu_count() or 1, len(jobs(ndim))))
    running = [
        subprocess.Popen([*command, str(part), str(count)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for part in range(count)
    ]
    done = [process.wait() == 0 for process in running]
    # If the disk is full by now, the kernels have not been cached.
    if all(done) and _cpu_cache.unusable(folder) is None:
        with suppress(OSError):
            (folder / _mark(ndim)).touch()


def load(ndim: int) -> None:
    """Load the compiled kernels for images of `ndim` dimensions, for example in a thread while a file is read."""
    if not kernels.compiles():
        return
    for job in jobs(ndim):
        job()


def _mark(ndim: int) -> str:
    """Return the name of a marker file that is kept beside the compiled kernels."""
    from learngn.kernels._cpu_cache import source_stamp

    return f"compiled_{ndim}d_{source_stamp()}_{platform.machine()}"


def _marks(ndim: int) -> list[Path]:
    """Return the paths at which the marker file may be."""
    from learngn.kernels._cpu_cache import places

    return [folder / _mark(ndim) for folder in places().readable]


def _array(channels: int, shape: Sequence[int]) -> NDArray[np.float32]:
    return np.random.default_rng(0).random((1, channels, *shape), dtype=np.float32)


def main(arguments: Sequence[str]) -> None:
    """Run one share of the jobs; the arguments are dimensions, number of the share, number of shares."""
    ndim, part, count = (int(argument) for argument in arguments)
    for owner, job in zip(cycle(range(count)), jobs(ndim)):
        if owner == part:
            job()


if __name__ == "__main__":
    main(sys.argv[1:])
