"""Motion of a series beside greedy's propagation: agreement of labels, fit to the images, time; rigid motion.

Usage:
    python benchmarks/series.py echo FOLDER WORK [--peer-python PYTHON] [--runs N]
    python benchmarks/series.py rigid SCAN [FRAMES]

FOLDER holds `img4d.nii.gz`, `seg05.nii.gz` (labels of frame 4, counted from 0) and `seg4d_resliced.nii.gz` (labels of
all frames, of greedy's own tests). PYTHON is that of an environment with picsl-greedy. `rigid` moves a real scan by
known amounts, adds noise, and prints how far the motion found is from the true one at the corners of the scan, at most.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Labels = NDArray[np.int64]
REFERENCE, THREADS = 4, 2
OTHERS = (0, 1, 2, 3, 5, 6)
BINS, NEAR = 24, 3  # of intensities, up to 256; voxels around the labels that count
# As the documentation of greedy's propagation has it, and as its tests made seg4d_resliced.nii.gz.
PEERS = {"greedy": "-n 100x100 -m SSD -s 3mm 1.5mm", "greedy, as in its tests": "-n 10x10 -m SSD -dof 6"}
_PEER = """
import sys, picsl_greedy
picsl_greedy.Propagation().run(sys.argv[1])
"""


def echo(folder: Path, work: Path, peer: str | None, runs: int) -> None:
    """Run both programs in turn, and print a row for each."""
    data = read(folder / "img4d.nii.gz").astype(np.float64)
    first, theirs = read(folder / "seg05.nii.gz").astype(int), read(folder / "seg4d_resliced.nii.gz").astype(int)
    commands = {"learngn series": ours(folder, work)}
    if peer is not None:
        commands |= {name: greedy(folder, work, name, options, peer) for name, options in PEERS.items()}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for run in range(runs + 1):  # the first is a warm-up
        for name, (command, _) in commands.items():
            taken = timed(command)
            if run:
                times[name].append(taken)
    results = {name: read(result).astype(int) for name, (_, result) in commands.items()}
    fit = Fit(data[..., REFERENCE], first)
    rows = {**results, "seg4d_resliced.nii.gz": theirs}
    head = (
        "labels",
        "Dice with seg4d_resliced",
        "all labels as one",
        "log-likelihood",
        "Dice with greedy",
        "seconds",
        "CPU",
    )
    print(f"| {' | '.join(head)} |")
    print("|---|---|---|---|---|---|---|")
    for name, labels in rows.items():
        seconds = ["", ""]
        if name in times:
            seconds = [f"{statistics.median(column):.1f}" for column in zip(*times[name], strict=True)]
        with_greedy = dice(labels, results["greedy"]) if "greedy" in results else float("nan")
        whole = np.mean([overlap(labels[..., k] > 0, theirs[..., k] > 0) for k in OTHERS])
        likely = np.mean([fit(data[..., k], labels[..., k], theirs[..., k]) for k in OTHERS])
        numbers = [f"{value:.3f}" for value in (dice(labels, theirs), whole, likely, with_greedy)]
        print(f"| {name} | {' | '.join([*numbers, *seconds])} |")
    for name in (other for other in rows if other != "learngn series"):
        share = [fit.preferred(data[..., k], rows["learngn series"][..., k], rows[name][..., k]) for k in OTHERS]
        print(
            f"where LearnGN and {name} differ, the intensity is likelier under LearnGN's label in {np.mean(share):.0%}"
        )
    frames = [f"{dice(results['learngn series'], theirs, (k,)):.3f}" for k in OTHERS]
    print(f"frames {OTHERS}: {', '.join(frames)}")


class Fit:
    """Likelihood of intensities under labels, by the histograms of the labelled frame: it knows no registration."""

    def __init__(self, image: NDArray[Any], labels: Labels) -> None:
        near = around(labels)
        self.edges = np.linspace(0, 256, BINS + 1)[1:-1]
        self.log: dict[int, NDArray[np.float64]] = {}
        for label in np.unique(labels):
            counts = np.bincount(np.digitize(image[near & (labels == label)], self.edges), minlength=BINS) + 1.0
            self.log[int(label)] = np.log(counts / counts.sum())

    def of(self, image: NDArray[Any], labels: Labels) -> NDArray[np.float64]:
        """Return the log-likelihood of every voxel."""
        codes, found = np.digitize(image, self.edges), np.zeros(image.shape)
        for label, log in self.log.items():
            found[labels == label] = log[codes[labels == label]]
        return found

    def __call__(self, image: NDArray[Any], labels: Labels, other: Labels) -> float:
        """Return the mean log-likelihood near either of two label maps."""
        near = around(labels) | around(other)
        return float(self.of(image, labels)[near].mean())

    def preferred(self, image: NDArray[Any], labels: Labels, other: Labels) -> float:
        """Return the fraction of the voxels that differ whose intensity is likelier under the first label map."""
        differ = labels != other
        return float((self.of(image, labels)[differ] > self.of(image, other)[differ]).mean())


def around(labels: Labels) -> NDArray[np.bool_]:
    """Return the labels and the voxels near them."""
    return np.asarray(ndimage.binary_dilation(labels > 0, iterations=NEAR))


def dice(first: Labels, second: Labels, frames: Sequence[int] = OTHERS) -> float:
    """Return the mean Dice of labels and frames."""
    known = [label for label in np.unique(second) if label]
    return float(np.mean([overlap(first[..., k] == one, second[..., k] == one) for k in frames for one in known]))


def overlap(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Return the Dice of two masks."""
    return float(2 * (first & second).sum() / max(1, first.sum() + second.sum()))


def ours(folder: Path, work: Path) -> tuple[list[str], Path]:
    """Return the command of LearnGN, and the label maps that it writes."""
    out = work / "learngn"
    given = ["--labels", str(folder / "seg05.nii.gz"), "--labels-frame", str(REFERENCE)]
    command = [sys.executable, "-m", "learngn", "series", str(folder / "img4d.nii.gz"), *given]
    return [*command, "-o", str(out), "--threads", str(THREADS), "--quiet"], out / "labels.nii.gz"


def greedy(folder: Path, work: Path, name: str, options: str, python: str) -> tuple[list[str], Path]:
    """Return the command of greedy, and the label maps that it writes; its frames are counted from 1."""
    out = work / name.replace(", ", "-").replace(" ", "-")
    out.mkdir(parents=True, exist_ok=True)
    targets = ",".join(str(k + 1) for k in OTHERS)
    given = f"-i {folder / 'img4d.nii.gz'} -sr3 {folder / 'seg05.nii.gz'} -tpr {REFERENCE + 1} -tpt {targets}"
    return [python, "-c", _PEER, f"{given} -o {out} {options} -threads {THREADS} -V 0"], out / "seg4d.nii.gz"


def timed(command: Sequence[str]) -> tuple[float, float]:
    """Run a program, and return the seconds on the clock and of computing."""
    environment = {key: value for key, value in os.environ.items() if not key.endswith("_NUM_THREADS")}
    start, before = time.perf_counter(), os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - start, used


def read(path: Path) -> NDArray[Any]:
    """Read the voxels of a file."""
    return np.asarray(nibabel.load(path).dataobj)


def rigid(scan: Path, count: int) -> None:
    """Move a real scan by known amounts, with noise, and print the errors of the motion that is found."""
    from learngn import Affine, Image, read_image
    from learngn.geometry.grid import apply_affine
    from learngn.optimise.families import RIGID, exponential
    from learngn.series import register_frames

    image, draw = read_image(scan), np.random.default_rng(0)
    grid, spread = image.grid, float(np.percentile(image.data, 99) - np.percentile(image.data, 1))
    truth, frames = [], []
    for number in range(count):
        largest = [0.3, 0.3, 0.3, 0.06, 0.06, 0.06]  # tenths of the longest side, radian
        amounts = draw.uniform(-1, 1, len(largest)) * largest if number else np.zeros(len(largest))
        matrix = exponential(np.tensordot(amounts, RIGID.generators(grid), axes=1))
        warped = Affine(matrix).inverse().warp(image, grid, interpolation="bspline")
        noise = draw.normal(scale=0.03 * spread, size=warped.data.shape)
        truth.append(matrix)
        frames.append(Image((warped.data + noise).astype(np.float32), grid))
    ends = np.stack(np.meshgrid(*[(0, n - 1) for n in grid.shape], indexing="ij"), axis=-1).reshape(-1, grid.ndim)
    corners = grid.index_to_world(ends)
    for name, frame in (("frame 0", 0), ("mean", None)):
        start = time.perf_counter()
        motion = register_frames(frames, frame=frame, transform="rigid")
        taken = time.perf_counter() - start
        errors, moved = [], []
        for number in range(1, count):
            found = motion.between(0, number).map_points(corners)
            expected = apply_affine(truth[number] @ np.linalg.inv(truth[0]), corners)
            errors.append(np.linalg.norm(found - expected, axis=1).max() / grid.spacing.min())
            moved.append(np.linalg.norm(expected - corners, axis=1).max() / grid.spacing.min())
        print(
            f"{scan.name}, {count} frames onto {name}: moved by up to {max(moved):.1f} voxels, errors at the corners "
            f"{np.mean(errors):.3f} on average, {max(errors):.3f} at most; {taken:.1f} s"
        )


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    one = kinds.add_parser("echo")
    one.add_argument("folder", type=Path)
    one.add_argument("work", type=Path)
    one.add_argument("--peer-python")
    one.add_argument("--runs", type=int, default=3)
    two = kinds.add_parser("rigid")
    two.add_argument("scan", type=Path)
    two.add_argument("frames", type=int, nargs="?", default=6)
    given = parser.parse_args()
    if given.kind == "echo":
        echo(given.folder, given.work, given.peer_python, given.runs)
    else:
        rigid(given.scan, given.frames)


if __name__ == "__main__":
    main()
