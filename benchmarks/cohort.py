"""A cohort pair after pair, on several workers, and on workers that are killed: time, and whether all is the same.

Usage: python benchmarks/cohort.py DATASET.json DIR WORKERS [OPTIONS OF learngn cohort]

Runs ``learngn cohort`` on the validation pairs three times: in one process with one thread, with WORKERS of one thread
each, and with as many of which one is killed when a third, and again when two thirds of the pairs are done. A JSON
line for each: seconds, pairs done, times that features were computed, and whether displacements and scores equal those
of the first run.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

_LOOK = 0.2  # how often the number of finished pairs is looked up [s]


def contents(folder: Path) -> dict[str, object]:
    """Hash of every displacement and the record of every pair, without its seconds."""
    found: dict[str, object] = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("disp_*.nii.gz"))
    }
    for line in (folder / "results.jsonl").read_text().splitlines():
        record = json.loads(line)
        record.pop("seconds", None)
        found[f"{record['fixed']} {record['moving']}"] = record
    return found


def workers_of(process: psutil.Process) -> list[psutil.Process]:
    """Processes that multiprocessing has started, without the one that watches over their resources."""
    return [
        child
        for child in process.children(recursive=True)
        if any("spawn_main" in word or "forkserver" in word for word in child.cmdline())
    ]


def run(dataset: str, folder: Path, workers: int, kills: int, options: list[str]) -> dict[str, object]:
    """One run of the command; `kills` workers are killed on the way."""
    command = [
        sys.executable, "-c", "from learngn.cli import main; main()", "cohort", dataset, "-o", str(folder),
        "--workers", str(workers), "--threads", "1", "--no-report", "--json", "--quiet", *options,
    ]  # fmt: skip
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as client:
        total = len(json.loads(Path(dataset).read_text())["registration_val"])
        if "--limit" in options:
            total = int(options[options.index("--limit") + 1])
        for kill in range(1, kills + 1):
            while len(list(folder.glob("disp_*.nii.gz"))) < kill * total // (kills + 1) and client.poll() is None:
                time.sleep(_LOOK)
            for worker in workers_of(psutil.Process(client.pid))[:1]:
                worker.kill()
        printed = json.loads(client.communicate()[0])
    return {
        "workers": workers,
        "killed": kills,
        "seconds": round(time.perf_counter() - start, 1),
        "status": client.returncode,
        "pairs": len(list(folder.glob("disp_*.nii.gz"))),
        "features_computed": printed["features_computed"],
    }


def main(dataset: str, folder: str, workers: str, *options: str) -> None:
    """Print one JSON line a run."""
    first: dict[str, object] = {}
    for name, count, kills in (("serial", 1, 0), ("workers", int(workers), 0), ("killed", int(workers), 2)):
        found = run(dataset, Path(folder) / name, count, kills, list(options))
        made = contents(Path(folder) / name)
        first = first or made
        print(json.dumps({"run": name, **found, "as_serial": made == first}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
