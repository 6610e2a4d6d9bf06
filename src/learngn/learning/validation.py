"""Validation: whole registrations of held-out training subjects, scored as everything is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch

from learngn.evaluation.quick import quick_scores
from learngn.features import FeatureImage
from learngn.geometry import sampling
from learngn.geometry.grid import FloatArray
from learngn.geometry.transform import DisplacementField
from learngn.learning.data import Example, share_channels
from learngn.model import Model
from learngn.settings import Settings


@dataclass(frozen=True)
class Validation:
    """Means over the validation pairs; None for what cannot be known.

    Attributes
    ----------
    dice : float or None
    tre : float or None
        [mm].
    features : float
        Mean squared difference of the input features after registration.
    folds : float
        [%].
    """

    dice: float | None
    tre: float | None
    features: float
    folds: float

    @property
    def figure(self) -> float:
        """What is compared, the higher the better: Dice, else minus TRE, else minus the features' difference."""
        if self.dice is not None:
            return self.dice
        return -self.features if self.tre is None else -self.tre

    def to_json(self) -> dict[str, float | None]:
        """For JSON."""
        return asdict(self)


def registered(model: Model, settings: Settings, fixed: Example, moving: Example) -> DisplacementField:
    """Register a pair of examples with a model, as :func:`learngn.register` does, on the model's device."""
    device = next(model.parameters()).device
    first, second = share_channels(fixed.features.data, moving.features.data)
    with torch.no_grad():
        pair = [
            FeatureImage(model.encoder(data.to(device).contiguous()), example.features.grid)
            for data, example in ((first, fixed), (second, moving))
        ]
        world = np.eye(model.config.ndim + 1)
        result = model.scheduled(settings)(pair[0], pair[1], world, voxel=model.config.spacing)
    return DisplacementField(sampling.resize_field(result.field.cpu(), fixed.image.shape), fixed.image)


def validate(model: Model, pairs: Sequence[tuple[Example, Example]], settings: Settings | None = None) -> Validation:
    """Register and score every pair.

    Parameters
    ----------
    model : Model
        In evaluation mode.
    pairs : sequence of (Example, Example)
    settings : Settings, optional
        With other numbers of iterations than the model's.
    """
    found = [_measured(registered(model, settings or model.settings, *pair), *pair) for pair in pairs]
    dice, distance, features, folds = (np.asarray(column, dtype=np.float64) for column in zip(*found, strict=True))
    return Validation(_known(dice), _known(distance), float(features.mean()), float(folds.mean()))


def _measured(transform: DisplacementField, fixed: Example, moving: Example) -> tuple[float, float, float, float]:
    """Dice, TRE, difference of the features, folds; NaN for what is not known."""
    labels = None if fixed.labels is None or moving.labels is None else (fixed.labels, moving.labels)
    points = None if fixed.landmarks is None or moving.landmarks is None else (fixed.landmarks, moving.landmarks)
    scores = quick_scores(transform, fixed.image, labels, points)
    return scores.dice, scores.tre, _difference(transform, fixed, moving), scores.folds


def _known(values: FloatArray) -> float | None:
    kept = values[np.isfinite(values)]
    return float(kept.mean()) if kept.size else None


def _difference(transform: DisplacementField, fixed: Example, moving: Example) -> float:
    grid = fixed.features.grid
    field = sampling.resize_field(transform.data, grid.shape)
    warped = sampling.warp(moving.features.data, field, grid.index_map(moving.features.grid), grid.shape)
    return float((warped - fixed.features.data).square().mean())
