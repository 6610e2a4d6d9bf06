"""Change of the volume of labels by a transform, from its Jacobian determinant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from learngn import kernels
from learngn.arrays import as_numpy
from learngn.errors import LabelError
from learngn.evaluation.jacobian import Jacobian
from learngn.evaluation.pair_scores import json_number
from learngn.geometry import sampling
from learngn.geometry.grid import FloatArray
from learngn.geometry.image import Image

_SMALL = 1e-2  # largest error for the derivative of the determinant [voxel]


@dataclass(frozen=True)
class VolumeChange:
    """Volume of a label before and after a transform.

    Attributes
    ----------
    label : int
    name : str
        Name of the label; empty if it has none.
    voxels : int
        Number of voxels that count.
    before, after : float
        Volume in the fixed and in the moving scan [mm³; in 2D mm²].
    change_percent : float
        Change of the volume, relative to that before [%].
    low_percent, high_percent : float, optional
        Interval of 95 % of the change [%], if the transform's uncertainty is known.
    log_mean : float
        Mean of the logarithm of the determinant.
    folds : int
        Number of voxels where the transform folds.
    """

    label: int
    name: str
    voxels: int
    before: float
    after: float
    change_percent: float
    low_percent: float | None
    high_percent: float | None
    log_mean: float
    folds: int

    def to_json(self) -> dict[str, Any]:
        """Return the values for JSON; what is not known is left out."""
        values = {key: value for key, value in asdict(self).items() if value is not None}
        return {key: json_number(value) if isinstance(value, float) else value for key, value in values.items()}


def volume_changes(
    jacobian: Jacobian,
    labels: Image,
    *,
    names: Mapping[int, str] | None = None,
    draws: Image | None = None,
) -> list[VolumeChange]:
    """Return the change of the volume of every label.

    The volume after the transform is the sum of the determinant over the voxels of the label, which for a label of
    whole voxels is the volume of its image in the moving scan.

    Parameters
    ----------
    jacobian : Jacobian
        On the grid of the labels.
    labels : Image
        Label map of the fixed scan.
    names : dict, optional
        Names of labels.
    draws : Image, (M, D, *S') [mm, RAS], optional
        Errors of the displacement, drawn from its distribution, for intervals, on any grid of the fixed scan's world:
        :attr:`learngn.uncertainty.Uncertainty.draws`.

    Raises
    ------
    LabelError
        If the labels lie on another grid, or there are none.

    Notes
    -----
    An error of the displacement changes the volume of a label by its flux across the boundary, to first order; the
    intervals are those of Student's distribution for the mean square of the M fluxes, which holds for few draws, too.
    """
    grid = jacobian.determinant.grid
    if not labels.grid.same_space(grid):
        raise LabelError(
            f"label map {labels.name}",
            f"{labels.grid}",
            f"the grid of the determinant, {grid}",
            "compute it on the grid of the labels",
        )
    codes = as_numpy(labels.data)[0, 0]
    values = labels.label_values
    if not values:
        raise LabelError(f"label map {labels.name}", "no label", "one at least", "check the file")
    determinant = as_numpy(jacobian.determinant.data)[0, 0].astype(np.float64)
    logs = as_numpy(jacobian.logarithm.data)[0, 0].astype(np.float64)
    if jacobian.mask is not None:
        codes = np.where(jacobian.mask, codes, 0)
    unit, rows = float(np.prod(grid.spacing)), []
    errors = None if draws is None else _volume_errors(jacobian, codes, draws)
    for label in values:
        inside = codes == label
        voxels = int(np.count_nonzero(inside))
        if not voxels:  # outside the mask
            continue
        after, half = float(determinant[inside].sum()), None
        change = 100 * (after / voxels - 1)
        if errors is not None:
            half = 100 * _half_width(errors[label]) / voxels
        rows.append(
            VolumeChange(
                label=label,
                name=(names or {}).get(label, ""),
                voxels=voxels,
                before=voxels * unit,
                after=after * unit,
                change_percent=change,
                low_percent=None if half is None else max(-100.0, change - half),
                high_percent=None if half is None else change + half,
                log_mean=float(logs[inside].mean()),
                folds=int(np.count_nonzero(determinant[inside] <= 0)),
            )
        )
    return rows


def _volume_errors(jacobian: Jacobian, codes: NDArray[Any], draws: Image) -> dict[int, FloatArray]:
    """Return the error of every label's volume by each draw [voxel], to first order."""
    grid = jacobian.determinant.grid
    to_own = grid.index_map(draws.grid)
    back = np.linalg.inv(grid.affine[:-1, :-1])
    field = np.zeros((1, grid.ndim, *grid.shape), np.float32) if jacobian.field is None else as_numpy(jacobian.field)
    values, places = np.unique(codes, return_inverse=True)
    sums = np.zeros((len(draws.data), len(values)))
    for number, draw in enumerate(as_numpy(draws.data)):
        moved = sampling.warp(draw[None].astype(np.float32), None, to_own, grid.shape)
        error = (back @ moved.reshape(grid.ndim, -1)).reshape(field.shape).astype(field.dtype)
        largest = max(float(np.abs(error).max()), 1e-12)
        error *= _SMALL / largest
        ahead, behind = (as_numpy(kernels.determinant(field + sign * error))[0] for sign in (1, -1))
        change = jacobian.factor * (ahead - behind) / 2 * (largest / _SMALL)
        sums[number] = np.bincount(places.reshape(-1), change.reshape(-1), len(values))
    return {int(value): sums[:, k] for k, value in enumerate(values)}


def _half_width(errors: FloatArray) -> float:
    """Return half of the interval of 95 % for errors of mean zero, of which a few are known."""
    return float(scipy.stats.t.ppf(0.975, len(errors)) * np.sqrt(np.mean(errors**2)))


def volume_rows(changes: Sequence[VolumeChange]) -> list[list[str]]:
    """Return rows for :func:`learngn.evaluation.score_csv.csv_text`: a header, then one row per label."""
    interval = any(change.low_percent is not None for change in changes)
    columns = [
        "label", "name", "voxels", "volume_before", "volume_after", "change_percent",
        *(["low_percent", "high_percent"] if interval else []), "log_mean", "folds",
    ]  # fmt: skip
    rows = [columns]
    for change in changes:
        numbers: list[float | None] = [change.before, change.after, change.change_percent]
        numbers += [change.low_percent, change.high_percent] if interval else []
        rows.append(
            [
                str(change.label),
                change.name,
                str(change.voxels),
                *("" if number is None else f"{number:.6g}" for number in (*numbers, change.log_mean)),
                str(change.folds),
            ]
        )
    return rows
