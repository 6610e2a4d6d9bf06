"""Scoring of a transform as in Learn2Reg."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from learngn import kernels
from learngn.arrays import as_numpy
from learngn.errors import LabelError
from learngn.evaluation.deformation import slabs, smoothness
from learngn.evaluation.landmarks import distances, tre
from learngn.evaluation.overlap import LabelArray, dice, labels_in_both, labels_of
from learngn.evaluation.pair_scores import PairScores
from learngn.evaluation.surface import hd95
from learngn.geometry.grid import FloatArray, Grid, apply_affine
from learngn.geometry.grid_map import GridMap
from learngn.geometry.image import Image
from learngn.geometry.transform import Affine, Transform
from learngn.quality.inside import Body


def score(
    transform: Transform,
    fixed: Grid,
    moving: Grid,
    *,
    labels: tuple[Image, Image] | None = None,
    landmarks: tuple[ArrayLike, ArrayLike] | None = None,
    mask: Image | None = None,
    body: Body | None = None,
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
    body : Body, optional
        Body of the fixed scan, in which folds are counted separately.
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
    scores: dict[str, Any] = smoothness(on_grid, moving, None if mask is None else _values(mask, fixed, "mask"), body)
    if labels is not None:
        fixed_labels = _values(labels[0], fixed, "fixed labels")
        moving_labels = _values(labels[1], moving, "moving labels")
        scores |= _score_labels(fixed_labels, moving_labels, on_grid, moving)
    if landmarks is not None:
        before = apply_affine(fixed.index_map(moving), landmarks[0])
        displacement = as_numpy(on_grid.displacement(moving))[0]
        errors = tre(displacement, *landmarks, moving.spacing), distances(before, landmarks[1], moving.spacing)
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
    warped = np.empty(displacement.shape[1:], dtype=moving.dtype)
    _warp_into(warped, moving, lambda planes: displacement[:, planes])
    return warped


def _warp_into(warped: LabelArray, moving: LabelArray, displacement: Callable[[slice], NDArray[np.floating]]) -> None:
    """Warp a label map, see :func:`warp_labels`, by a function that returns a displacement for part of the planes."""
    source = np.ascontiguousarray(moving)
    for planes in slabs(warped.shape):
        warped[planes] = kernels.warp_labels(source, displacement(planes), planes.start)


def _score_labels(
    fixed: LabelArray, moving: LabelArray, on_grid: GridMap, moving_grid: Grid
) -> dict[str, dict[int, float]]:
    common = labels_in_both(fixed, moving)
    warped = _warped(moving, on_grid, moving_grid)
    measured = {
        "dice": dice(fixed, warped, common),
        "dice_before": dice(fixed, _before(moving, on_grid.grid, moving_grid), common),
        "hd95": hd95(fixed, warped, common),
    }
    measured["hd95_mm"] = _in_mm(measured["hd95"], fixed, warped, on_grid.grid.spacing)
    every = sorted({*labels_of(fixed), *labels_of(moving)})
    return {name: {label: values.get(label, float("nan")) for label in every} for name, values in measured.items()}


def _in_mm(voxels: dict[int, float], fixed: LabelArray, warped: LabelArray, spacing: FloatArray) -> dict[int, float]:
    """Return distances between surfaces in mm; of cubic voxels those in voxels times their size."""
    if np.ptp(spacing) <= 1e-6 * spacing.max():
        return {label: value * float(spacing[0]) for label, value in voxels.items()}
    return hd95(fixed, warped, list(voxels), spacing.tolist())


def _warped(moving: LabelArray, on_grid: GridMap, moving_grid: Grid) -> LabelArray:
    warped = np.empty(on_grid.grid.shape, dtype=moving.dtype)
    _warp_into(warped, moving, lambda planes: np.asarray(as_numpy(on_grid.displacement(moving_grid, planes))[0]))
    return warped


def _before(moving: LabelArray, fixed: Grid, moving_grid: Grid) -> LabelArray:
    """Return the moving labels before registration, on the fixed grid."""
    if (
        fixed.shape == moving_grid.shape
        and not np.round(fixed.index_map(moving_grid) - np.eye(fixed.ndim + 1), 10).any()
    ):
        return moving
    return _warped(moving, Affine.identity(fixed.ndim).on(fixed), moving_grid)


def _values(image: Image, grid: Grid, what: str) -> LabelArray:
    if not image.grid.same_space(grid):
        raise LabelError(what, f"a grid of {image.grid}", f"the scan's, {grid}", "resample the labels to their scan")
    return np.asarray(as_numpy(image.data)[0, 0])
