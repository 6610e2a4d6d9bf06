"""How the cost grows with voxels, channels and iterations.

Usage: python benchmarks/scaling.py [LARGEST_SIDE [THREADS]]

Two lumpy bodies given by smooth distances, displaced against each other, registered to stride 2 with a fixed number of
iterations; features are given, so that the optimisation alone is timed. One process a size, for its peak memory.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time

import numpy as np
import torch

from learngn.features import FeatureImage
from learngn.geometry.grid import Grid
from learngn.memory import keep_freed
from learngn.optimise import GaussNewton, StepControl
from learngn.settings import schedule

_REPEATS = 5  # fewer of the largest
_ITERATIONS = 3  # a level


def body(side: int, channels: int, shift: float) -> FeatureImage:
    """Distances to surfaces whose radius varies with the direction, as many as channels."""
    axis = torch.linspace(-1, 1, side)
    x, y, z = axis[:, None, None] + shift, axis[None, :, None] - shift / 2, axis[None, None, :]
    radius = (x * x + y * y + z * z).sqrt()
    maps = [radius - 0.5 - 0.05 * k - 0.1 * torch.sin((3 + k) * x) * torch.cos((2 + k) * y) for k in range(channels)]
    data = torch.stack(maps)[None].contiguous(memory_format=torch.channels_last_3d)
    return FeatureImage(10 * data, Grid.from_spacing((side,) * 3, 256 / side))


def once(side: int, channels: int, iterations: int) -> dict[str, float]:
    """Median seconds of the optimisation, and the peak memory of the process [MB]."""
    fixed, moving = body(side, channels, 0.0), body(side, channels, 0.1)
    strides = (16, 8, 4, 2)
    # Every step is taken: what is timed is the work, not when it ends.
    control = StepControl(memory=0, update_tolerance=0)
    method = GaussNewton(schedule(strides, (iterations,) * len(strides), (3, 0.3)), control=control)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times = []
    with torch.no_grad():
        for _ in range((_REPEATS if side < 256 else 2) + 1):
            start = time.perf_counter()
            method(fixed, moving, np.eye(4))
            times.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": statistics.median(times[1:]), "peak_mb": peak / 1024, "features_mb": before / 1024}


def apart(side: int, channels: int, iterations: int, threads: str) -> dict[str, float]:
    """:func:`once` in a process of its own."""
    command = [sys.executable, __file__, "--once", *map(str, (side, channels, iterations)), threads]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(json.dumps({"side": side, "channels": channels, "iterations": iterations, **found}), flush=True)
    return found


def main(largest: str = "512", threads: str = "") -> None:
    """Print one JSON line a measurement, tables and exponents."""
    sides = [side for side in (64, 96, 128, 192, 256, 384, 512) if side <= int(largest)]
    by_side = [apart(side, 1, _ITERATIONS, threads) for side in sides]
    by_channel = {n: apart(128, n, _ITERATIONS, threads) for n in (1, 4, 12, 24)}
    by_iteration = {n: apart(128, 1, n, threads) for n in (3, 6, 12)}
    exponent = np.polyfit(3 * np.log(sides), np.log([found["seconds"] for found in by_side]), 1)[0]
    print(
        f"\n{_ITERATIONS} iterations on each of four levels to stride 2, one channel: seconds ~ voxels^{exponent:.2f}\n"
    )
    print("| voxels | seconds | µs a voxel of the finest level | peak memory [MB] |\n|---|---|---|---|")
    for side, found in zip(sides, by_side, strict=True):
        cost = 1e6 * found["seconds"] / (side / 2) ** 3
        print(f"| {side}³ | {found['seconds']:.3f} | {cost:.3f} | {found['peak_mb']:.0f} |")
    print("\n| channels (128³) | seconds |\n|---|---|")
    print("\n".join(f"| {n} | {found['seconds']:.3f} |" for n, found in by_channel.items()))
    print("\n| iterations a level (128³) | seconds |\n|---|---|")
    print("\n".join(f"| {n} | {found['seconds']:.3f} |" for n, found in by_iteration.items()))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--once"]:
        side, channels, iterations, *rest = sys.argv[2:]
        if rest and rest[0]:
            torch.set_num_threads(int(rest[0]))
        keep_freed()  # as the program does
        print(json.dumps(once(int(side), int(channels), int(iterations))))
    else:
        main(*sys.argv[1:])
