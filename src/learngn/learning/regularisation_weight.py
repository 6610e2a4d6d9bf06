"""Choice of the regularisation weight λ by the held-out pairs.

Training changes λ only slowly, and which λ suits the features is known only when they are trained.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch

from learngn.learning.data import Example
from learngn.learning.validation import Validation, validate
from learngn.model import Model, VoxelMorphRegistration

_MOST_FOLDS = 0.1  # [%]
_FARTHEST = 1e4  # beyond such a factor features have no influence, or λ has none


def suited_factor(
    model: Model,
    known: Validation,
    pairs: Sequence[tuple[Example, Example]],
    factors: Sequence[float],
    organs: Sequence[int] | None = None,
) -> tuple[float, Validation]:
    """Return the factor of λ of all levels with the best validation score, and its validation.

    Parameters
    ----------
    model : Model
        In evaluation mode.
    known : Validation
        Its validation as it is.
    pairs : sequence of (Example, Example)
        Pairs of held-out subjects.
    factors : sequence of float
        Factors to choose from, beside 1. If the largest or the smallest one is the best, still larger or smaller ones
        follow at the same ratio, as long as the score gets better. A factor with more than 0.1 % folded voxels is
        excluded, unless the model itself folds as many.
    organs : sequence of int, optional
        Labels that are scored; by default all.

    Returns
    -------
    float, Validation
        1 and `known` if no factor is better.
    """
    if isinstance(model.method, VoxelMorphRegistration) or not factors:
        return 1.0, known
    tried = {1.0: known}
    best, following = 1.0, sorted(set(factors) - tried.keys())
    while following:
        for factor in following:
            tried[factor] = validation = validate(_with_factor(model, factor), pairs, organs=organs)
            few_folds = validation.folds <= max(_MOST_FOLDS, known.folds)
            if few_folds and validation.figure > tried[best].figure:
                best = factor
        following = _beyond(best, sorted(tried))
    return best, tried[best]


def multiply_lam(model: Model, factor: float) -> None:
    """Multiply λ of all levels of a model by a factor, in place."""
    if not isinstance(model.method, VoxelMorphRegistration):
        with torch.no_grad():
            model.method.log_lam.add_(math.log(factor))


def _with_factor(model: Model, factor: float) -> Model:
    changed = copy.deepcopy(model)
    multiply_lam(changed, factor)
    return changed


def _beyond(best: float, tried: Sequence[float]) -> list[float]:
    """Return the factor that follows the best one at the same ratio, if that is at an end of those tried."""
    if best == 1 or best not in (tried[0], tried[-1]):
        return []
    beside = tried[1] if best == tried[0] else tried[-2]
    further = best * best / beside
    return [further] if 1 / _FARTHEST <= further <= _FARTHEST else []
