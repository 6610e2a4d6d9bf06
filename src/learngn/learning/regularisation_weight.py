"""Choice of the regularisation weight λ after training.

Training changes λ only slowly, and which λ suits the features is known only when they are trained.
"""

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


def with_suited_lam(
    trained: Trained,
    pairs: Sequence[tuple[Example, Example]],
    factors: Sequence[float],
    organs: Sequence[int] | None = None,
) -> Trained:
    """Multiply λ of all levels by the factor with the best validation score.

    Parameters
    ----------
    trained : Trained
    pairs : sequence of (Example, Example)
        Pairs of held-out subjects.
    factors : sequence of float
        Factors to choose from, beside 1, the trained λ. A factor with more than 0.1 % folded voxels is excluded, unless
        the trained model folds as many.
    organs : sequence of int, optional
        Labels that are scored; by default all.

    Returns
    -------
    Trained
        A model with the better λ; `trained` itself if no factor is better.
    """
    best = trained
    for factor in factors:
        model = copy.deepcopy(trained.model)
        method = model.method
        if isinstance(method, VoxelMorphRegistration):
            break
        with torch.no_grad():
            method.log_lam.add_(math.log(factor))
        validation = validate(model, pairs, organs=organs)
        few_folds = validation.folds <= max(_MOST_FOLDS, trained.validation.folds)
        if validation.figure > best.validation.figure and few_folds:
            best = replace(trained, model=model, validation=validation)
    return best
