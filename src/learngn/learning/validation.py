"""Validation: complete registrations of held-out training subjects, and their scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch

from learngn.evaluation.quick import quick_scores
from learngn.features import FeatureImage
from learngn.geometry import sampling
from learngn.geometry.grid import FloatArray
from learngn.geometry.transform import Affine, Composite, DisplacementField
from learngn.learning.data import Example, share_channels
from learngn.model import Model
from learngn.optimise import FAMILIES, pose_by_features
from learngn.settings import Settings


@dataclass(frozen=True)
class Validation:
    """Mean scores of the validation pairs; None where labels or landmarks are missing.

    Attributes
    ----------
    dice : float or None
        Dice coefficient.
    tre : float or None
        Target registration error of the landmarks [mm].
    features : float or None
        Mean squared difference of the input features after registration; None for two modalities.
    folds : float
        Folded voxels, det J ≤ 0 [%].
    """

    dice: float | None
    tre: float | None
    features: float | None
    folds: float

    @property
    def figure(self) -> float:
        """Score by which models are compared (higher is better): Dice, or -TRE, or minus the features' difference."""
        if self.dice is not None:
            return self.dice
        return -(self.features or 0.0) if self.tre is None else -self.tre

    def to_json(self) -> dict[str, float | None]:
        """Return the scores as a dictionary for JSON."""
        return asdict(self)


def registered(model: Model, settings: Settings, fixed: Example, moving: Example) -> Composite:
    """Register a pair of examples with a model on its device, as :func:`learngn.register` does."""
    device = next(model.parameters()).device
    first, second = fixed.features.data, moving.features.data
    if fixed.modality == moving.modality:
        first, second = share_channels(first, second)
    with torch.no_grad():
        pair = [
            FeatureImage(model.encoder_of(example.modality)(data.to(device).contiguous()), example.features.grid)
            for data, example in ((first, fixed), (second, moving))
        ]
        world = np.eye(model.config.ndim + 1)
        if settings.aligns:
            world = pose_by_features(pair[0], pair[1], FAMILIES[settings.affine]).matrix
        result = model.scheduled(settings)(pair[0], pair[1], world, voxel=model.config.spacing)
    field = DisplacementField(sampling.resize_field(result.field.cpu(), fixed.image.shape), fixed.image)
    return Composite((field, Affine(world)))


def validate(
    model: Model,
    pairs: Sequence[tuple[Example, Example]],
    settings: Settings | None = None,
    organs: Sequence[int] | None = None,
) -> Validation:
    """Register and score every pair.

    Parameters
    ----------
    model : Model
        Model in evaluation mode.
    pairs : sequence of (Example, Example)
        Fixed and moving examples.
    settings : Settings, optional
        Settings whose numbers of iterations are used instead of the model's.
    organs : sequence of int, optional
        Labels that are scored; by default all.
    """
    used = settings or model.settings
    scores = [_scored(registered(model, used, *pair), *pair, organs) for pair in pairs]
    dice, distance, features, folds = (np.asarray(column, dtype=np.float64) for column in zip(*scores, strict=True))
    return Validation(_finite_mean(dice), _finite_mean(distance), _finite_mean(features), float(folds.mean()))


def _scored(
    transform: Composite, fixed: Example, moving: Example, organs: Sequence[int] | None
) -> tuple[float, float, float, float]:
    """Return Dice, TRE, difference of the features and folds; NaN where labels or landmarks are missing."""
    labels = None if fixed.labels is None or moving.labels is None else (fixed.labels, moving.labels)
    points = None if fixed.landmarks is None or moving.landmarks is None else (fixed.landmarks, moving.landmarks)
    scores = quick_scores(transform, fixed.image, labels, points, organs)
    return scores.dice, scores.tre, _difference(transform, fixed, moving), scores.folds


def _finite_mean(values: FloatArray) -> float | None:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else None


def _difference(transform: Composite, fixed: Example, moving: Example) -> float:
    if fixed.modality != moving.modality:
        return float("nan")
    grid = fixed.features.grid
    found = transform.on(grid)
    field = None if found.field is None else found.field.to(moving.features.data)
    warped = sampling.warp(moving.features.data, field, grid.index_map(moving.features.grid, found.world), grid.shape)
    return float((warped - fixed.features.data).square().mean())
