"""Overlap of label maps, with Learn2Reg's rule for missing labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learngn.errors import ShapeError

LabelArray = NDArray[Any]


def labels_in_both(fixed: LabelArray, moving: LabelArray) -> list[int]:
    """Return the labels, without background, that occur in both maps (before warping), in ascending order.

    Learn2Reg scores only these: a structure that is missing in one scan cannot be registered. The maps may differ in
    shape.
    """
    return [int(label) for label in np.intersect1d(fixed, moving) if label != 0]


def dice(fixed: LabelArray, warped: LabelArray, labels: Iterable[int]) -> dict[int, float]:
    """Compute the Dice coefficient of every label, ``2 |F ∩ W| / (|F| + |W|)``.

    Parameters
    ----------
    fixed, warped : array, shape S
        Label maps on the fixed grid.
    labels : iterable of int
        Labels to score; in the challenge :func:`labels_in_both` of the fixed and the *unwarped* moving map.

    Returns
    -------
    dict
        Dice by label; NaN if neither map holds the label.

    Raises
    ------
    ShapeError
        If the maps differ in shape.
    """
    check_same_shape(fixed, warped)
    scores = {}
    for label in labels:
        in_fixed, in_warped = fixed == label, warped == label
        total = int(np.count_nonzero(in_fixed) + np.count_nonzero(in_warped))
        scores[int(label)] = 2 * int(np.count_nonzero(in_fixed & in_warped)) / total if total else float("nan")
    return scores


def mean_over_labels(scores: Mapping[int, float]) -> float:
    """Compute the mean over the labels that have a score; NaN if none has."""
    values = np.array(list(scores.values()), dtype=np.float64)
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else float("nan")


def check_same_shape(fixed: LabelArray, warped: LabelArray) -> None:
    """Raise :class:`ShapeError` if two label maps differ in shape."""
    if fixed.shape != warped.shape:
        raise ShapeError(
            "warped labels",
            f"shape {warped.shape}",
            f"the fixed labels' {fixed.shape}",
            "warp them onto the fixed grid",
        )
