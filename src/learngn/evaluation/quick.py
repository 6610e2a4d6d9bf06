"""Scores that are fast to compute, without surface distances, for tuning and validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from learngn.arrays import as_numpy
from learngn.evaluation.deformation import folds_percent
from learngn.evaluation.overlap import dice, labels_in_both, mean_over_labels
from learngn.geometry.grid import FloatArray, Grid
from learngn.geometry.image import Image
from learngn.geometry.transform import Transform


@dataclass(frozen=True)
class QuickScores:
    """Scores of a transform; NaN for scores that are not known.

    Attributes
    ----------
    dice : float
        Mean Dice over the labels in both maps.
    tre : float
        Mean landmark error [mm].
    folds : float
        Voxels with folding [%].
    """

    dice: float
    tre: float
    folds: float


def quick_scores(
    transform: Transform,
    fixed: Grid,
    labels: tuple[Image, Image] | None = None,
    landmarks: tuple[FloatArray, FloatArray] | None = None,
    values: Sequence[int] | None = None,
) -> QuickScores:
    """Score a transform from the fixed to the moving world.

    Parameters
    ----------
    transform : Transform
    fixed : Grid
    labels : (Image, Image), optional
        Label maps of the fixed and the moving scan, the first on `fixed`.
    landmarks : (array, array), optional
        Corresponding points, shape (M, D) [RAS mm].
    values : sequence of int, optional
        Labels that count; by default all.
    """
    on_grid = transform.on(fixed)
    overlap = distance = float("nan")
    if labels is not None:
        fixed_labels, moving_labels = (as_numpy(image.data)[0, 0] for image in labels)
        warped = as_numpy(on_grid.warp(labels[1]).data)[0, 0]
        both = labels_in_both(fixed_labels, moving_labels)
        counted = both if values is None else [value for value in both if value in values]
        overlap = mean_over_labels(dice(fixed_labels, warped, counted)) if counted else overlap
    if landmarks is not None:
        distance = float(np.linalg.norm(transform.map_points(landmarks[0]) - landmarks[1], axis=1).mean())
    return QuickScores(overlap, distance, folds_percent(on_grid.jacobian_determinant()))
