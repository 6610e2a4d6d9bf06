"""The optimisation of a pair, and the whole command from files to files.

Usage: python benchmarks/speed.py FIXED_LABELS MOVING_LABELS [THREADS]

The optimisation to stride 2 with the usual iterations, and to stride 4 with ten, features given: quartiles of
several calls in one process. The command: medians of several processes, of which the first is not counted.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from learngn.io import read_image
from learngn.registration import RegistrationPair, Request, Side, prepare, resolve
from learngn.settings import default_settings
from learngn.settings.levels import fitted

_REPEATS = 11
_RUNS = 5


def optimisation(fixed_path: str, moving_path: str) -> dict[str, list[float]]:
    """Quartiles of the seconds of each schedule."""
    fixed, moving = (read_image(Path(path), labels=True) for path in (fixed_path, moving_path))
    usual = fitted(default_settings("distance", labels=True), fixed.grid)
    # Ten in all: as many as the published comparison takes.
    settings = {"stride 2": usual, "stride 4, ten iterations": replace(usual, strides=(16, 8, 4), iterations=(3, 3, 4))}
    found = {}
    for name, chosen in settings.items():
        pair = RegistrationPair(Side.of(fixed, "fixed"), Side.of(moving, "moving"))
        prepared = prepare(pair, resolve(Request(settings=chosen), pair))
        times = [prepared.register().seconds["optimise"] for _ in range(_REPEATS + 2)][2:]
        found[name] = statistics.quantiles(times, n=4)
    return found


def command(fixed_path: str, moving_path: str, *options: str) -> list[float]:
    """Quartiles of the seconds of ``learngn register``, as a process."""
    times = []
    for _ in range(_RUNS + 1):
        with tempfile.TemporaryDirectory() as folder:
            program = [sys.executable, "-c", "from learngn.cli import main; main()", "register"]
            start = time.perf_counter()
            subprocess.run(
                [*program, fixed_path, moving_path, "--features", "distance", "-o", f"{folder}/out", "-q", *options],
                check=True,
            )
            times.append(time.perf_counter() - start)
    return statistics.quantiles(times[1:], n=4)


def main(fixed_path: str, moving_path: str, threads: str = "") -> None:
    """Print JSON lines, then a table."""
    options = ["--threads", threads] if threads else []
    if threads:
        torch.set_num_threads(int(threads))
    rows = {f"optimisation to {name}": q for name, q in optimisation(fixed_path, moving_path).items()}
    rows["files to files, without a report"] = command(fixed_path, moving_path, "--no-report", *options)
    rows["files to files, with the report"] = command(fixed_path, moving_path, *options)
    for name, (low, middle, high) in rows.items():
        print(json.dumps({"what": name, "seconds": [low, middle, high], "threads": torch.get_num_threads()}))
    print("\n| what | median [s] | quartiles [s] |\n|---|---|---|")
    for name, (low, middle, high) in rows.items():
        print(f"| {name} | {middle:.3f} | {low:.3f} to {high:.3f} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
