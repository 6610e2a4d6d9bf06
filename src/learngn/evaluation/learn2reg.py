"""Scoring of a transform as in Learn2Reg."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from learngn.arrays import Array, as_numpy
from learngn.errors import LabelError
from learngn.evaluation.deformation import folds_percent, sdlogj, std_log_jacobian
from learngn.evaluation.landmarks import distances, tre
from learngn.evaluation.overlap import LabelArray, dice, labels_in_both
from learngn.evaluation.pair_scores import PairScores
from learngn.evaluation.surface import hd95
from learngn.geometry.grid import Grid, apply_affine
from learngn.geometry.image import Image
from learngn.geometry.transform import Affine, Transform

_AT_ONCE = 2**16  # voxels that are warped: in the processor's cache


def score(
    transform: Transform,
    fixed: Grid,
    moving: Grid,
    *,
    labels: tuple[Image, Image] | None = None,
    landmarks: tuple[ArrayLike, ArrayLike] | None = None,
    mask: Image | None = None,
    names: tuple[str, str] = ("fixed", "moving"),
) -> PairScores:
    """Score a transform by the metrics of Learn2Reg, and by folding and the standard deviation of log J.

    Parameters
    ----------
    transform : Transform
        Transform from the fixed to the moving world, affine part included.
    fixed, moving : Grid
        Grids of the scans.
    labels : pair of Image, optional
        Label maps of the fixed and the moving scan, on their grids.
    landmarks : pair of array, shape (M, D) [voxel], optional
        Corresponding landmarks in the fixed and the moving scan.
    mask : Image, optional
        Mask on the fixed grid: SDlogJ includes only its voxels of value 1.
    names : pair of str
        Names of the scans.

    Raises
    ------
    LabelError
        If a label map or the mask is not on its scan's grid.
    LandmarkError, ShapeError
        As raised by the single metrics.

    References
    ----------
    Hering et al., "Learn2Reg: comprehensive multi-task medical image registration challenge", IEEE TMI 42(3), 2023,
    and the challenge's script, github.com/MDL-UzL/L2R, ``evaluation/evaluation.py``.
    """
    on_grid = transform.on(fixed)
    displacement = on_grid.displacement(moving)
    array = as_numpy(displacement)[0]
    scores: dict[str, Any] = {
        "sdlogj": sdlogj(displacement, None if mask is None else _values(mask, fixed, "mask")),
        **_folding(on_grid.jacobian_determinant()),
    }
    if labels is not None:
        fixed_labels = _values(labels[0], fixed, "fixed labels")
        moving_labels = _values(labels[1], moving, "moving labels")
        scores |= _score_labels(fixed_labels, moving_labels, array, _before(fixed, moving))
    if landmarks is not None:
        before = apply_affine(fixed.index_map(moving), landmarks[0])
        errors = tre(array, *landmarks, moving.spacing), distances(before, landmarks[1], moving.spacing)
        for suffix, values in zip(("", "_before"), errors, strict=True):
            scores[f"tre{suffix}"] = float(values.mean())
            scores[f"tre_landmarks{suffix}"] = tuple(values.tolist())
    return PairScores(*names, **scores)


def warp_labels(moving: LabelArray, displacement: NDArray[np.floating]) -> LabelArray:
    """Warp a label map as the challenge does: nearest voxel, halves rounded up; background beyond the outer centres.

    Parameters
    ----------
    moving : array, shape T
        Label map.
    displacement : array, shape (D, *S) [voxel]
        Index in the moving image minus index in the fixed one.

    Notes
    -----
    This is SciPy's ``map_coordinates`` of order 0, computed a few planes at a time. Warped label maps for users are
    made by :func:`learngn.geometry.sampling.warp_nearest`, whose images end at the voxels' edges instead of their
    centres, half a voxel further out, as in ITK.
    """
    shape, values = displacement.shape[1:], np.ascontiguousarray(moving).reshape(-1)
    warped = np.empty(shape, dtype=moving.dtype)
    indices = np.ogrid[tuple(slice(n) for n in shape)]
    planes = max(1, _AT_ONCE * shape[0] // warped.size)
    for start in range(0, shape[0], planes):
        slab = slice(start, start + planes)
        inside, flat = np.True_, 0
        for axis, (length, component) in enumerate(zip(moving.shape, displacement, strict=True)):
            place = (indices[axis][slab] if axis == 0 else indices[axis]) + component[slab].astype(np.float64)
            inside = inside & (place >= 0) & (place <= length - 1)
            flat = flat * length + np.floor(place + 0.5).clip(0, length - 1).astype(np.int64)
        warped[slab] = np.where(inside, values[flat], 0)
    return warped


def _folding(determinant: Array) -> dict[str, float]:
    return {"folds_percent": folds_percent(determinant), "std_log_jacobian": std_log_jacobian(determinant)}


def _score_labels(
    fixed: LabelArray, moving: LabelArray, displacement: NDArray[np.floating], before: NDArray[np.floating] | None
) -> dict[str, dict[int, float]]:
    common = labels_in_both(fixed, moving)
    warped = warp_labels(moving, displacement)
    measured = {
        "dice": dice(fixed, warped, common),
        "dice_before": dice(fixed, moving if before is None else warp_labels(moving, before), common),
        "hd95": hd95(fixed, warped, common),
    }
    every: Sequence[int] = [int(label) for label in np.union1d(fixed, moving) if label != 0]
    return {name: {label: values.get(label, float("nan")) for label in every} for name, values in measured.items()}


def _before(fixed: Grid, moving: Grid) -> NDArray[np.floating] | None:
    """Return the displacement before registration, (D, *S) [voxel]; None if the grids of the scans are the same."""
    if fixed.shape == moving.shape and not np.round(fixed.index_map(moving) - np.eye(fixed.ndim + 1), 10).any():
        return None
    return np.asarray(as_numpy(Affine.identity(fixed.ndim).on(fixed).displacement(moving))[0])


def _values(image: Image, grid: Grid, what: str) -> LabelArray:
    if not image.grid.same_space(grid):
        raise LabelError(what, f"a grid of {image.grid}", f"the scan's, {grid}", "resample the labels to their scan")
    return np.asarray(as_numpy(image.data)[0, 0])
