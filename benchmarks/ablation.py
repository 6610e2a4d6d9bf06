"""What of a registration is worth learning: J and f, w, λ, φ, alone and together, trained alike.

Usage: python benchmarks/ablation.py DATASET.json DIR [FEATURES [STEPS [PAIRS [CONFIG]]]]

CONFIG is the training of the last row; its φ, its linearisation and its λ are left out in the others. Goes on where an
earlier run has stopped. λ before training is that of the features, in every row.
"""

from __future__ import annotations

import statistics
import sys
from dataclasses import replace
from pathlib import Path

from learngn.cohort import run_cohort
from learngn.evaluation import compare
from learngn.io import read_dataset
from learngn.learning import TrainingConfig, train
from learngn.learning.suited_config import config_for
from learngn.model import LineariserConfig
from learngn.registration import Request
from learngn.settings import Settings, default_settings

# J and f, w, λ, φ
ROWS = {
    "analytic": (False, False, False, False),
    "λ": (False, False, True, False),
    "J, f": (True, False, False, False),
    "J, f, w, λ": (True, True, True, False),
    "φ": (False, False, False, True),
    "φ, λ": (False, False, True, True),
    "φ, J, f": (True, False, False, True),
    "φ, J, f, w, λ": (True, True, True, True),
}


def variant(full: TrainingConfig, steps: int, row: tuple[bool, bool, bool, bool]) -> TrainingConfig:
    """The training of a row: as many steps through Gauss-Newton for all, before them those of φ alone."""
    linearisation, weight, lam, features = row
    whole = full.model_copy(update={"steps": steps})
    through = max(1, steps - whole.pretraining_steps)
    return full.model_copy(
        update={
            "steps": steps if features else through,
            "pretraining": full.pretraining if features else 0.0,
            "network": full.network if features else None,
            "lineariser": LineariserConfig(weight=weight) if linearisation else None,
            "learn_lam": lam,
        }
    )


def hand_made(full: TrainingConfig) -> Settings:
    """Settings of the row that learns nothing: the schedule of the others."""
    given = {
        name: value
        for name in ("strides", "iterations", "longest_step", "min_jacobian")
        if (value := getattr(full, name)) is not None
    }
    return replace(default_settings(full.features, labels=True), **given)


def main(
    path: str, folder: str, features: str = "distance", steps: str = "800", pairs: str = "1000", config: str = ""
) -> None:
    """Print the table."""
    dataset, out = read_dataset(path), Path(folder)
    full = config_for(dataset, Path(config) if config else None, features=features)
    chosen = dataset.validation[: int(pairs)]
    found: dict[str, list[float]] = {}
    print(f"{dataset.name}, {features}, {len(chosen)} pairs, {steps} steps\n")
    print("| learned | Dice | folds [%] | against analytic (p) |\n|---|---|---|---|")
    for name, row in ROWS.items():
        settings, model = hand_made(full), None
        if any(row):
            key = name.replace(", ", "-")
            model = train(dataset, out / "models" / key, variant(full, int(steps), row)).model
            settings = model.settings
        records = run_cohort(chosen, out / name.replace(", ", "-"), Request(settings=settings), model=model)
        found[name] = [record["dice_mean"] for record in records]
        folds = statistics.fmean(record["folds_percent"] for record in records)
        against = compare(found["analytic"], found[name])
        print(
            f"| {name} | {statistics.fmean(found[name]):.3f} | {folds:.4f} "
            f"| {100 * against.mean_difference:+.1f} ({against.p_value:.2g}) |",
            flush=True,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
