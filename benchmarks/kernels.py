"""Every compiled kernel against what the memory allows.

Usage: python benchmarks/kernels.py [SIDE [CHANNELS [THREADS]]]

Bytes that a kernel must move at least (every input read, every output written once) by its median time, as a part of
the bandwidth that adding two arrays into a third reaches on the same threads. One JSON line a kernel, then a table.
Freed memory is kept, as large outputs would otherwise be mapped, and every page of them faulted in, at each call.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from learngn import __version__
from learngn.arrays import channels_last
from learngn.geometry.grid import Grid
from learngn.kernels import Coarsening, area_taps
from learngn.kernels.compiled import COMPILED
from learngn.memory import keep_freed
from learngn.regularise import Diffusion
from learngn.solve import Multigrid, NormalOperator, conjugate_gradients
from learngn.threads import in_threads, set_threads, thread_count

_REPEATS = 15


def median(call: Callable[[], object]) -> tuple[float, float, float]:
    """Median and quartiles of the wall time [s], after two calls that warm up."""
    call(), call()
    times = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    low, middle, high = statistics.quantiles(times, n=4)
    return middle, low, high


def bandwidth() -> float:
    """Of ``c = a + b`` on arrays far beyond the caches [byte/s]."""
    a, b, c = np.random.default_rng(0).random((3, 2**25), dtype=np.float32)
    return 3 * 4 * a.size / median(lambda: add(a, b, c))[0]


def add(a: NDArray[np.float32], b: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Add by parts, on all threads."""
    starts = iter(range(0, a.size, 2**16))

    def work() -> None:
        for start in starts:
            part = slice(start, start + 2**16)
            np.add(a[part], b[part], out=out[part])

    in_threads(work)


def kernels(side: int, channels: int) -> dict[str, tuple[Callable[[], object], int]]:
    """What is called, and the floats that it must move."""
    shape, voxels = (side, side, side), side**3
    random, same = np.random.default_rng(0), np.eye(4)
    u, step = random.random((2, 1, 3, *shape), dtype=np.float32) - 0.5
    features, others = random.random((2, 1, channels, *shape), dtype=np.float32)
    moving, image = channels_last(features), random.random((1, 1, *shape), dtype=np.float32)
    blocks, gradient, _ = COMPILED.normal_equations(features, others, None, True)
    stiffness = Diffusion().stiffness(Grid(shape, same), gradient).scaled(np.ones(1, np.float32))
    weights, shift = stiffness.weights, np.full(1, 0.1, np.float32)
    operator = NormalOperator(blocks, stiffness, shift)
    cycle = Multigrid(operator)
    first: Coarsening = cycle.steps[0]
    coarse = COMPILED.resample(u, first.restrict)
    half = [area_taps(side, side // 2)] * 3
    return {
        "warp, features": (lambda: COMPILED.warp(moving, u, same, shape), (2 * channels + 3) * voxels),
        "warp, one channel": (lambda: COMPILED.warp(image, u, same, shape), 5 * voxels),
        "linearise": (
            lambda: COMPILED.normal_equations(features, others, None, True),
            (2 * channels + 9) * voxels,
        ),
        "stencil and blocks": (lambda: COMPILED.apply_operator(blocks, weights, shift, u), 12 * voxels),
        "smoothing": (lambda: COMPILED.smooth(blocks, weights, shift, gradient, u, 0.8), 15 * voxels),
        "smoothing from zero": (lambda: COMPILED.smooth(blocks, weights, shift, gradient, None, 0.8), 12 * voxels),
        "restriction": (lambda: COMPILED.resample(u, first.restrict), int(3.375 * voxels)),
        "prolongation": (lambda: COMPILED.resample(coarse, first.prolong), int(3.375 * voxels)),
        "pooling, features": (lambda: COMPILED.resample(moving, half), int(1.125 * channels * voxels)),
        "V-cycle, one iteration": (
            # down and up: a sweep from zero with its residual, a restriction, a prolongation, a sweep; then the rest.
            lambda: conjugate_gradients(operator, gradient, cycle, tolerance=1e-9, iterations=1),
            int((15 + 3.4 + 3.4 + 15) * voxels * 8 / 7) + 6 * voxels + 12 * voxels + 12 * voxels,
        ),
        "guarded composition": (lambda: COMPILED.guard(u, step, (1.0,), -1e9, 2).join(), 9 * voxels),
        "determinant": (lambda: COMPILED.determinant(u), 4 * voxels),
        "pull-back": (lambda: COMPILED.pull_back(u, gradient), 9 * voxels),
    }


def main(side: str = "96", channels: str = "12", threads: str = "") -> None:
    """Print one JSON line a kernel, and a table."""
    keep_freed()
    if threads:
        set_threads(int(threads))
    limit = bandwidth()
    machine = {
        "learngn": __version__, "numpy": np.__version__, "processor": platform.processor() or platform.machine(),
        "threads": thread_count(), "side": int(side), "channels": int(channels), "bandwidth_gb": limit / 1e9,
    }  # fmt: skip
    print(json.dumps(machine))
    rows = []
    for name, (call, floats) in kernels(int(side), int(channels)).items():
        middle, low, high = median(call)
        part = 4 * floats / middle / limit
        print(json.dumps({"kernel": name, "ms": [1e3 * low, 1e3 * middle, 1e3 * high], "of_bandwidth": part}))
        rows.append(f"| {name} | {1e3 * middle:.2f} | {4 * floats / middle / 1e9:.1f} | {100 * part:.0f} % |")
    print(f"\n{side}³ voxels, {channels} channels, {thread_count()} threads, {limit / 1e9:.0f} GB/s\n")
    print("| kernel | ms | GB/s | of the bandwidth |\n|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
