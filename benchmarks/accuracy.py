"""Rows of docs/results.md from the folders that ``learngn cohort`` writes.

Usage: python benchmarks/accuracy.py DIR [DIR ...]

Every run is also compared with the first one that has the same pairs.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np

from learngn.evaluation import bootstrap_mean, compare

STAGES = ("read", "features", "affine", "optimise", "warp", "write", "total")


def mean(rows: list[dict[str, float]], key: str) -> float:
    """Mean over the pairs that have the number."""
    return statistics.fmean(float(row[key]) for row in rows if row.get(key) is not None)


def pairs_of(folder: Path) -> list[dict[str, Any]]:
    """Records of a cohort in the order of the pairs: workers finish them in another one."""
    rows = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    return sorted(rows, key=lambda row: (str(row["fixed"]), str(row["moving"])))


def main(folders: list[str]) -> None:
    """Print both tables."""
    runs = {Path(folder).name: pairs_of(Path(folder)) for folder in folders}
    head = ("run", "features", "pairs", "before", "Dice (95 %)", "HD95 [voxel]", "folds [%]", "std log J", "SDlogJ")
    print("|", " | ".join(head), "|")
    print("|" + "---|" * len(head))
    for name, rows in runs.items():
        interval = bootstrap_mean([row["dice_mean"] for row in rows], np.random.default_rng(0))
        print(
            f"| {name} | `{rows[0]['settings']['features']}` | {len(rows)} | {mean(rows, 'dice_mean_before'):.3f} "
            f"| {interval.mean:.3f} ({interval.low:.3f} to {interval.high:.3f}) | {mean(rows, 'hd95_mean'):.2f} "
            f"| {mean(rows, 'folds_percent'):.4f} | {mean(rows, 'std_log_jacobian'):.3f} | {mean(rows, 'sdlogj'):.4f} |"
        )
    print("\nDice against the first run of the same pairs (Wilcoxon):\n")
    print("| run | against | difference | p |")
    print("|---|---|---|---|")
    first: dict[tuple[tuple[str, str], ...], str] = {}
    for name, rows in runs.items():
        reference = first.setdefault(tuple((str(row["fixed"]), str(row["moving"])) for row in rows), name)
        if reference != name:
            found = compare([row["dice_mean"] for row in runs[reference]], [row["dice_mean"] for row in rows])
            print(f"| {name} | {reference} | {100 * found.mean_difference:+.1f} points | {found.p_value:.2g} |")
    print("\nMedian seconds of the stages:\n")
    print("| run |", " | ".join(STAGES), "|")
    print("|---|" + "---|" * len(STAGES))
    for name, rows in runs.items():
        medians = [statistics.median(row["seconds"].get(stage, 0.0) for row in rows) for stage in STAGES]
        print(f"| {name} |", " | ".join(f"{seconds:.2f}" for seconds in medians), "|")


if __name__ == "__main__":
    main(sys.argv[1:])
