"""λ set last: training moves it slowly, and only the finished features tell how much of it they need."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from learngn.learning.data import Example
from learngn.learning.trainer import Trained
from learngn.learning.validation import validate
from learngn.model import VoxelMorphRegistration

_MOST_FOLDS = 0.1  # [%]


def with_suited_lam(trained: Trained, pairs: Sequence[tuple[Example, Example]], factors: Sequence[float]) -> Trained:
    """Multiply λ of all levels by the factor with the best validation.

    Parameters
    ----------
    trained : Trained
    pairs : sequence of (Example, Example)
        Held-out subjects.
    factors : sequence of float
        To choose from; 1 is what the training has found. Those that fold more than 0.1 % of the voxels are out.

    Returns
    -------
    Trained
        A copy; the same if nothing is better.
    """
    best = trained
    for factor in factors:
        model = copy.deepcopy(trained.model)
        method = model.method
        if isinstance(method, VoxelMorphRegistration):
            break
        with torch.no_grad():
            method.log_lam.add_(math.log(factor))
        found = validate(model, pairs)
        if found.figure > best.validation.figure and found.folds <= max(_MOST_FOLDS, trained.validation.folds):
            best = replace(trained, model=model, validation=found)
    return best
