"""Random batches of pairs, augmented on the device of the examples."""

from __future__ import annotations

import numpy as np
import torch

from learngn.learning.augmentation import augmented, centre_of_labels
from learngn.learning.config import TrainingConfig
from learngn.learning.data import Batch, Side, TrainingData, share_channels, stack


def batches(
    data: TrainingData, config: TrainingConfig, index: int, spacing: float, *, rank: int = 0, processes: int = 1
) -> list[tuple[Batch, float]]:
    """Draw the pairs of a step; stack those with equal grids in batches, each with its share of the loss.

    Parameters
    ----------
    data : TrainingData
    config : TrainingConfig
    index : int
        Number of the step. The random numbers of a pair depend on the seed, the step and the pair's number, so that
        several processes draw together what one draws alone.
    spacing : float
        Voxel size of stride 1 [mm].
    rank, processes : int
        This process, which draws every `processes`-th pair, and their number.
    """
    groups: dict[tuple[object, ...], list[tuple[Side, Side]]] = {}
    total = processes * -(-config.batch // processes)  # every process draws as many, and one at least
    numbers = range(rank, total, processes)
    for number in numbers:
        fixed, moving = _pair(data, config, np.random.default_rng((config.seed, index, number)), index, spacing)
        groups.setdefault((fixed.kind, moving.kind), []).append((fixed, moving))
    return [
        (Batch(stack([f for f, _ in group]), stack([m for _, m in group])), len(group) * processes / total)
        for group in groups.values()
    ]


def _pair(
    data: TrainingData, config: TrainingConfig, random: np.random.Generator, index: int, spacing: float
) -> tuple[Side, Side]:
    whole = index >= config.pretraining_steps
    first, second = (data.whole if whole else data.pairing).draw(random)
    known = whole and bool(config.known) and random.random() < config.known
    if known:
        first = second = (first, second)[int(random.integers(2))]
    labels = (*data.organs, *data.pair_labels)
    flips = [axis for axis in config.augmentation.mirror if random.random() < 0.5]
    # φ alone learns of scans where they lie, as it will see them; whole steps begin where the pose has put them.
    onto = None if config.pose == "none" or not whole else centre_of_labels(first, data.organs)
    fixed, moving = (
        augmented(
            example,
            labels,
            config.losses.stride * spacing,
            config.augmentation,
            random,
            onto=onto,
            flips=flips,
            origins=known and config.losses.known_maps > 0,
            points=whole and config.losses.landmarks > 0,
        )
        for example in (first, second)
    )
    return _shared(fixed, moving, config.augmentation.drop, random)


def _shared(fixed: Side, moving: Side, drop: float, random: np.random.Generator) -> tuple[Side, Side]:
    if fixed.modality != moving.modality:
        return fixed, moving
    first, second = share_channels(fixed.features.data, moving.features.data)
    if drop:
        keep = torch.from_numpy(random.random((1, first.shape[1], *[1] * (first.ndim - 2))) >= drop).to(first)
        first, second = first * keep, second * keep
    return fixed.with_features(first), moving.with_features(second)
