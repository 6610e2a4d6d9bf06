"""Overlap of label maps, with Learn2Reg's rule for missing labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learngn.errors import ShapeError
from learngn.geometry.grid import bounding_box

LabelArray = NDArray[Any]


def labels_in_both(fixed: LabelArray, moving: LabelArray) -> list[int]:
    """Return the labels, without background, that occur in both maps (before warping), in ascending order.

    Learn2Reg scores only these: a structure that is missing in one scan cannot be registered. The maps may differ in
    shape.
    """
    return sorted({*labels_of(fixed)} & {*labels_of(moving)})


def labels_of(labels: LabelArray) -> list[int]:
    """Return the labels in a map, without background, in ascending order."""
    box = occupied(labels)
    return [] if box is None else [int(label) for label in np.unique(labels[box]) if label != 0]


def occupied(*maps: LabelArray) -> tuple[slice, ...] | None:
    """Return the smallest box that contains all labels of maps of one shape; None if there is only background."""
    first, projection = [], np.zeros(maps[0].shape[1:], dtype=np.bool_)
    for index, planes in enumerate(zip(*maps, strict=True)):  # without a mask of the whole map
        for plane in planes:
            used = plane != 0
            if used.any():
                first.append(index)
                projection |= used
    rest = bounding_box(projection) if first else None
    return None if rest is None else (slice(first[0], first[-1] + 1), *rest)


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
    scores, labels = {}, list(labels)
    if 0 not in labels and (box := occupied(fixed, warped)) is not None:  # labels often fill a small part of a scan
        fixed, warped = fixed[box], warped[box]
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
