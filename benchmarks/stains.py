"""Registration of two stained sections from their pictures: median relative error of the landmarks, and seconds.

python benchmarks/stains.py FIXED.jpg FIXED.csv MOVING.jpg MOVING.csv [--turn DEGREES] [-- OPTIONS of learngn register]

Runs the command in a process of its own, with writing and report. The error of a landmark is relative to the diagonal
of the fixed picture, as in the challenge ANHIR. With --turn the moving picture is first turned by a multiple of 90
degrees, and its landmarks with it.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from learngn.io import read_grid


def turned(picture: Path, points: Path, quarters: int, folder: Path) -> tuple[Path, Path]:
    """Write a picture turned by quarters anticlockwise, and its landmarks."""
    from PIL import Image

    with Image.open(picture) as image:
        width, height = image.size
        image.rotate(90 * quarters, expand=True).save(folder / "turned.png", dpi=image.info.get("dpi"))
    with points.open(newline="") as file:
        header, *rows = list(csv.reader(file))
    for row in rows:
        x, y = float(row[1]), float(row[2])
        w, h = width, height
        for _ in range(quarters % 4):
            x, y, w, h = y, w - 1 - x, h, w
        row[1:3] = [str(x), str(y)]
    with (folder / "turned.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return folder / "turned.png", folder / "turned.csv"


def main() -> None:
    """Register the pair and print a line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("fixed", "fixed_points", "moving", "moving_points"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--turn", type=int, default=0, choices=(0, 90, 180, 270))
    parser.add_argument("options", nargs="*")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, moving = Path(name), (given.moving, given.moving_points)
        if given.turn:
            moving = turned(*moving, given.turn // 90, folder)
        command = [
            sys.executable, "-m", "learngn", "register", given.fixed, moving[0], "--fixed-landmarks",
            given.fixed_points, "--moving-landmarks", moving[1], "-o", folder / "result", "--quiet", *given.options,
        ]  # fmt: skip
        begin = time.perf_counter()
        subprocess.run([str(word) for word in command], check=True)
        seconds = time.perf_counter() - begin
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        metrics = json.loads((folder / "result" / "metrics.json").read_text())
        spacing = read_grid(moving[0]).spacing.mean()  # errors are in mm of the moving picture
    diagonal = float(np.linalg.norm(read_grid(given.fixed).shape) * spacing)
    relative = np.asarray(metrics["tre_landmarks"]) / diagonal
    before = np.asarray(metrics["tre_landmarks_before"]) / diagonal
    print(
        f"{len(relative)} landmarks, rTRE median {np.median(before):.5f} -> {np.median(relative):.5f}, "
        f"mean {relative.mean():.5f}, 90 % {np.quantile(relative, 0.9):.5f}; {metrics['settings']['stains']}; "
        f"verdict {metrics.get('verdict')}; {seconds:.1f} s, {spent.ru_utime + spent.ru_stime:.1f} s of CPU"
    )


if __name__ == "__main__":
    main()
