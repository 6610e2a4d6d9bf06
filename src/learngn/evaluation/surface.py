"""Distance between the surfaces of label maps: the 95th percentile of the Hausdorff distance as in Learn2Reg."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import edt
import numpy as np
from numpy.typing import NDArray

from learngn.errors import ShapeError
from learngn.evaluation.overlap import LabelArray, check_same_shape, occupied
from learngn.geometry.grid import FloatArray, bounding_box
from learngn.threads import thread_count

_PERCENTILE = 0.95


def hd95(
    fixed: LabelArray, warped: LabelArray, labels: Iterable[int], spacing: Sequence[float] | None = None
) -> dict[int, float]:
    """Compute the 95th percentile of the surface distance of every label, the larger of both directions.

    A surface point is a corner of the voxel lattice whose 2^D voxels are not all equal; its weight is the area (in 2D
    the length) of the surface through it. A label map ends at its border.

    Parameters
    ----------
    fixed, warped : array of int, shape S
        Label maps on the fixed grid.
    labels : iterable of int
        Labels to score.
    spacing : sequence of float, optional
        Voxel size along each axis [mm]; by default 1, since distances are in voxels in the challenge.

    Returns
    -------
    dict
        Distance by label: infinite if only one of the maps holds the label, NaN if neither does.

    Raises
    ------
    ShapeError
        If the maps differ in shape, or the spacing has another number of axes.

    References
    ----------
    Nikolov et al., "Deep learning to achieve clinically applicable segmentation of head and neck anatomy for
    radiotherapy", 2018, arXiv:1809.04430; ``surface-distance`` by DeepMind, whose tables are used here.
    """
    check_same_shape(fixed, warped)
    steps = np.ones(fixed.ndim) if spacing is None else np.asarray(spacing, dtype=np.float64)
    if fixed.ndim not in (2, 3) or steps.shape != (fixed.ndim,):
        raise ShapeError(
            "surface distance",
            f"labels of shape {fixed.shape} and {steps.size} voxel sizes",
            "2D or 3D labels and a size for each axis",
            "pass one voxel size for each axis",
        )
    areas, labels = _corner_areas(steps), list(labels)
    if 0 not in labels and (box := occupied(fixed, warped)) is not None:  # distances do not depend on where the box is
        fixed, warped = fixed[box], warped[box]
    return {
        int(label): _robust_hausdorff(_surface(fixed == label, areas), _surface(warped == label, areas), steps)
        for label in labels
    }


_Surface = tuple[NDArray[np.int64], FloatArray]


def _surface(label: NDArray[np.bool_], areas: FloatArray) -> _Surface:
    """Return the corners on the surface of a mask, shape (M, D), and the area of each, shape (M,)."""
    box = bounding_box(label)
    if box is None:
        return np.empty((0, label.ndim), dtype=np.int64), np.empty(0)
    mask = np.pad(label[box].astype(np.uint8), 1)
    ndim = mask.ndim
    code = np.zeros([n - 1 for n in mask.shape], dtype=np.uint8)
    # A code with one bit for each of the 2^D voxels around a corner, the highest bit for the first voxel.
    for bit, offset in enumerate(np.ndindex(*[2] * ndim)):
        around = tuple(slice(o, n - 1 + o) for o, n in zip(offset, mask.shape, strict=True))
        code |= mask[around] << np.uint8(2**ndim - 1 - bit)
    corners = np.argwhere((code != 0) & (code != 2 ** (2**ndim) - 1))
    weights = areas[code[tuple(corners.T)]]
    return corners + [side.start for side in box], weights


def _robust_hausdorff(first: _Surface, second: _Surface, steps: FloatArray) -> float:
    empty = len(first[0]) == 0, len(second[0]) == 0
    if any(empty):
        return float("nan") if all(empty) else float("inf")
    return max(_percentile_distance(first, second, steps), _percentile_distance(second, first, steps))


def _percentile_distance(source: _Surface, target: _Surface, steps: FloatArray) -> float:
    """Compute the distance to `target` that 95 % of the area of `source` does not exceed."""
    distance = _to_nearest(source[0], target[0], steps)
    order = np.lexsort((source[1], distance))
    area = np.cumsum(source[1][order])
    # Relative areas as in the original implementation, so that rounding selects the same element.
    position = int(np.searchsorted(area / np.sum(source[1][order]), _PERCENTILE))
    return float(distance[order][min(position, len(order) - 1)])


def _to_nearest(points: NDArray[np.int64], others: NDArray[np.int64], steps: FloatArray) -> FloatArray:
    """Compute the distance of each point, (M, D), to the nearest of the others, (L, D), shape (M,) [unit of steps]."""
    # For unit voxels, squared distances are whole numbers: the distance transform is exact; else single precision.
    start = np.minimum(points.min(axis=0), others.min(axis=0))
    lattice = np.ones(np.maximum(points.max(axis=0), others.max(axis=0)) - start + 1, dtype=np.uint8)
    lattice[tuple((others - start).T)] = 0
    squared = edt.edtsq(lattice, anisotropy=steps, black_border=False, parallel=thread_count())
    return np.asarray(np.sqrt(squared[tuple((points - start).T)].astype(np.float64)))


def _corner_areas(steps: FloatArray) -> NDArray[np.float64]:
    """Return the area (length in 2D) of the surface at a corner, by the code of the voxels around it, (2^2^D,)."""
    from surface_distance import lookup_tables

    table = (
        lookup_tables.create_table_neighbour_code_to_contour_length
        if len(steps) == 2
        else lookup_tables.create_table_neighbour_code_to_surface_area
    )
    return np.asarray(table(steps), dtype=np.float64)
