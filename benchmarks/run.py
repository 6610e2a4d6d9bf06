"""All timings of docs/speed.md: scripts one after the other, their JSON lines in files, and the plots.

Usage: python benchmarks/run.py DIR FIXED_LABELS MOVING_LABELS [LARGEST_SIDE]

DIR gets machine.json, kernels.jsonl, scaling.jsonl and speed.jsonl, and kernels.png and scaling.png. Nothing else
should run on the machine meanwhile.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

Line = dict[str, object]
_PACKAGES = ("learngn", "torch", "numba", "numpy", "scipy", "SimpleITK")


def machine() -> Line:
    """What the numbers were taken on."""
    names = [
        line.split(":")[1].strip()
        for line in (Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else [])
        if line.startswith("model name")
    ]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def lines(folder: Path, script: str, *arguments: str) -> list[Line]:
    """Run a script of this folder; keep the JSON lines that it prints, and show the rest."""
    command = [sys.executable, str(Path(__file__).with_name(f"{script}.py")), *arguments]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = [line for line in printed.splitlines() if line.startswith("{")]
    (folder / f"{script}.jsonl").write_text("\n".join(found) + "\n")
    print("\n".join(line for line in printed.splitlines() if not line.startswith("{")), flush=True)
    return [json.loads(line) for line in found]


def draw_kernels(found: list[Line], path: Path) -> None:
    """Bars: which part of the memory's bandwidth every kernel reaches."""
    rows = [line for line in found if "kernel" in line][::-1]
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.barh([str(row["kernel"]) for row in rows], [100 * float(str(row["of_bandwidth"])) for row in rows])
    axes.axvline(50, color="0.5", linewidth=0.8)
    axes.set_xlabel("of the bandwidth of the memory [%]")
    figure.savefig(path, dpi=150)


def draw_scaling(found: list[Line], path: Path) -> None:
    """Seconds against voxels, with a line of cost in proportion to them."""
    # A side is measured again where channels or iterations vary: the first time counts.
    rows = list({row["side"]: row for row in found[::-1] if row["channels"] == 1 and row["iterations"] == 3}.values())
    rows.sort(key=lambda row: float(str(row["side"])))
    voxels = np.array([float(str(row["side"])) ** 3 for row in rows])
    seconds = np.array([float(str(row["seconds"])) for row in rows])
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.loglog(voxels, seconds, marker="o", label="optimisation to stride 2")
    axes.loglog(voxels, seconds[-1] / voxels[-1] * voxels, color="0.5", linewidth=0.8, label="in proportion")
    axes.set_xlabel("voxels of the scan")
    axes.set_ylabel("seconds")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


def main(folder: str, fixed: str, moving: str, largest: str = "512") -> None:
    """Run everything."""
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    (out / "machine.json").write_text(json.dumps(machine(), indent=2))
    lines(out, "speed", fixed, moving)
    draw_kernels(lines(out, "kernels"), out / "kernels.png")
    draw_scaling(lines(out, "scaling", largest), out / "scaling.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
