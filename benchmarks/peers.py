"""LearnGN beside other tools on the same pairs, in one run: scores, seconds and memory of whole processes.

Usage: python benchmarks/peers.py DATASET.json DIR [METHOD ...] [--pairs N] [--peer-python PYTHON]

METHOD is learngn, learngn-symmetric, greedy, ants-syn or convexadam; by default learngn and greedy. Peers run in the
Python that `--peer-python` names (`pip install picsl-greedy antspyx convexAdam`), with the settings that their authors
recommend. Every pair is registered by every method, one after the other; goes on where an earlier run has stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from learngn.evaluation import score_pair
from learngn.io import Pair, read_dataset, read_learn2reg, read_transform
from learngn.registration import read_pair

Commands = Callable[[Pair, Path, str], list[list[str]]]


@dataclass(frozen=True)
class Method:
    """A tool: its command lines for a pair, and the file of its displacement."""

    name: str
    commands: Commands
    field: str = "displacement.nii.gz"


def _learngn(*options: str) -> Commands:
    def commands(pair: Pair, folder: Path, _: str) -> list[list[str]]:
        scans = [str(pair.fixed.image), str(pair.moving.image)]
        return [["learngn", "register", *scans, "-o", str(folder), "--no-report", "-q", *options]]

    return commands


_GREEDY = "import sys; from picsl_greedy import Greedy3D; Greedy3D().execute(sys.argv[1])"


def _greedy(pair: Pair, folder: Path, python: str) -> list[list[str]]:
    """Settings of shared practice: affine and deformable with WNCC, three resolutions."""
    scans, threads = f"-i {pair.fixed.image} {pair.moving.image}", os.environ.get("OMP_NUM_THREADS", "2")
    affine, warp, both = folder / "affine.mat", folder / "warp.nii.gz", folder / "displacement.nii.gz"
    calls = (
        f"-d 3 -threads {threads} -a -m WNCC 2x2x2 {scans} -o {affine} -ia-image-centers -n 100x50x10",
        f"-d 3 -threads {threads} -m WNCC 2x2x2 {scans} -it {affine} -o {warp} -sv -n 100x50x10",
        f"-d 3 -threads {threads} -rf {pair.fixed.image} -rc {both} -r {warp} {affine}",
    )
    return [[python, "-c", _GREEDY, call] for call in calls]


_ANTS = """
import sys, shutil, ants
fixed, moving = (ants.image_read(p) for p in sys.argv[1:3])
found = ants.registration(fixed, moving, type_of_transform="SyN")
whole = ants.apply_transforms(fixed, moving, found["fwdtransforms"], compose=sys.argv[3] + "/")
shutil.move(whole, sys.argv[3] + "/displacement.nii.gz")
"""

_CONVEX_ADAM = """
import sys, numpy as np, nibabel as nib
from convexAdam.convex_adam_MIND import convex_adam_pt
fixed, moving = (nib.load(p) for p in sys.argv[1:3])
field = convex_adam_pt(img_fixed=fixed.get_fdata(), img_moving=moving.get_fdata())
nib.save(nib.Nifti1Image(field.astype(np.float32), fixed.affine), sys.argv[3] + "/disp.nii.gz")
"""


def _script(code: str) -> Commands:
    def commands(pair: Pair, folder: Path, python: str) -> list[list[str]]:
        return [[python, "-c", code, str(pair.fixed.image), str(pair.moving.image), str(folder)]]

    return commands


METHODS = {
    method.name: method
    for method in (
        Method("learngn", _learngn()),
        Method("learngn-symmetric", _learngn("--symmetric", "--diffeomorphic")),
        Method("greedy", _greedy),
        Method("ants-syn", _script(_ANTS)),
        Method("convexadam", _script(_CONVEX_ADAM), "disp.nii.gz"),
    )
}


def timed(command: list[str]) -> tuple[float, float, float]:
    """Seconds on the clock, seconds of computing, and peak memory [MB] of a process."""
    start = time.perf_counter()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
        if status:
            errors.seek(0)
            raise RuntimeError(f"{command[:3]} ended with {status}: {errors.read().decode()[-300:]}")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def run(method: Method, pair: Pair, folder: Path, python: str) -> dict[str, object]:
    """Register a pair as its users would, and score what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    times = [timed(command) for command in method.commands(pair, folder, python)]
    known = read_pair(pair, scans=False)
    read = read_learn2reg if method.field.startswith("disp.") else read_transform
    transform = read(folder / method.field, fixed=known.fixed.grid, moving=known.moving.grid)
    scores = score_pair(transform, known).to_json()
    for file in folder.iterdir():
        file.unlink()
    return {
        "method": method.name,
        "pair": pair.id,
        "seconds": sum(seconds for seconds, _, _ in times),
        "cpu": sum(cpu for _, cpu, _ in times),
        "memory": max(memory for _, _, memory in times),
        **scores,
    }


def table(records: list[dict[str, object]]) -> str:
    """Means over the pairs, seconds as medians."""
    heads = (
        "method",
        "pairs",
        "before",
        "Dice",
        "worst gain",
        "HD95",
        "folds [%]",
        "std log J",
        "seconds",
        "CPU [s]",
        "memory [MB]",
    )
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for name in dict.fromkeys(str(record["method"]) for record in records):
        rows = [record for record in records if record["method"] == name]

        def column(key: str, rows: list[dict[str, object]] = rows) -> list[float]:
            return [float(row[key]) for row in rows if row[key] is not None]  # type: ignore[arg-type]

        mean = {
            key: statistics.fmean(column(key))
            for key in ("dice_mean_before", "dice_mean", "hd95_mean", "folds_percent", "std_log_jacobian")
        }
        worst = min(a - b for a, b in zip(column("dice_mean"), column("dice_mean_before"), strict=True))
        lines.append(
            f"| {name} | {len(rows)} | {mean['dice_mean_before']:.3f} | {mean['dice_mean']:.3f} | {100 * worst:+.1f} "
            f"| {mean['hd95_mean']:.2f} | {mean['folds_percent']:.4f} | {mean['std_log_jacobian']:.3f} "
            f"| {statistics.median(column('seconds')):.1f} | {statistics.median(column('cpu')):.1f} "
            f"| {statistics.median(column('memory')):.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("folder", type=Path)
    parser.add_argument("methods", nargs="*")
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--peer-python", default=sys.executable)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    log = given.folder / "peers.jsonl"
    records = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    done = {(record["method"], record["pair"]) for record in records}
    for pair in read_dataset(given.dataset).validation[: given.pairs]:
        for name in given.methods or ("learngn", "greedy"):
            if (name, pair.id) not in done:
                records.append(run(METHODS[name], pair, given.folder / "work", given.peer_python))
                with log.open("a") as file:
                    file.write(json.dumps(records[-1]) + "\n")
    print(table(records))


if __name__ == "__main__":
    main()
