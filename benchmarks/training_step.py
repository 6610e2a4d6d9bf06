"""Seconds and memory of a training step: ten unrolled Gauss-Newton iterations, forward and backward.

Usage: python benchmarks/training_step.py DATASET.json [FEATURES]
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
from dataclasses import replace

import numpy as np
import torch

from learngn.features import parse_features
from learngn.io import read_dataset, read_grid
from learngn.learning.augmentation import augmented
from learngn.learning.data import Batch, read_example
from learngn.learning.suited_config import config_for
from learngn.learning.training_step import TrainingStep
from learngn.model import Model, ModelConfig
from learngn.settings import default_settings

STRIDES, ITERATIONS = (16.0, 8.0, 4.0), (3, 3, 4)


def main(path: str, features: str = "distance") -> None:
    """Print the table."""
    dataset = read_dataset(path)
    config = config_for(dataset, features=features)
    organs = tuple(sorted(dataset.label_names))
    feature = parse_features(features, organs=organs)
    spacing = float(read_grid(dataset.training[0].image).spacing.min())
    settings = replace(
        default_settings(feature.name, feature.traits.reads_labels),
        affine="none",
        strides=STRIDES,
        iterations=ITERATIONS,
    )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    # The features at the finest level that a registration goes to: twice the resolution of the last iteration.
    examples = [read_example(subject, feature, 2 * spacing, organs) for subject in dataset.training[:2]]
    architecture = ModelConfig(
        ndim=dataset.ndim,  # type: ignore[arg-type]
        settings=settings,
        spacing=spacing,
        channels=examples[0].features.data.shape[1],
        organs=organs,
        network=config.network,
    )
    torch.manual_seed(0)
    step = TrainingStep(Model(architecture), config.losses, 1 + len(organs)).to(device)
    random = np.random.default_rng(0)
    rows = []
    for _ in range(6):
        start = time.perf_counter()
        sides = [augmented(e, organs, config.losses.stride * spacing, config.augmentation, random) for e in examples]
        drawn = time.perf_counter()
        losses = step(Batch(*sides).to(device), ITERATIONS)
        total = torch.stack(list(losses.values())).sum()
        forward = time.perf_counter()
        total.backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        rows.append((drawn - start, forward - drawn, time.perf_counter() - forward))
    kept = rows[1:]  # the first compiles
    augment, ahead, back = (statistics.median(row[i] for row in kept) for i in range(3))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{dataset.name}, {features}, {sum(ITERATIONS)} iterations, {torch.get_num_threads()} threads, {device}")
    print(f"augmentation {augment:.2f} s, forward {ahead:.2f} s, backward {back:.2f} s: {augment + ahead + back:.2f} s")
    print(f"peak memory of the process {peak:.2f} GiB")


if __name__ == "__main__":
    main(*sys.argv[1:])
