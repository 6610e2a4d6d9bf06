"""Thumbnails of pairs: one slice of the fixed scan, and of the moving scan before and after registration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from learngn.arrays import narrow
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.io import Pair, read_image, read_learn2reg
from learngn.report import volumes
from learngn.report.material import Material, reads_label_maps
from learngn.report.orientation import VIEWS, Orientation, View
from learngn.report.viewer import viewer_data
from learngn.report.volumes import Part

BUDGET = 150_000  # largest size of one pair [bytes]


def thumbnail(
    pair: Pair, directory: Path, features: str, names: Mapping[int, str]
) -> tuple[dict[str, Any], dict[str, Part]] | None:
    """Make the data for a view of one pair of a cohort.

    Parameters
    ----------
    pair : Pair
    directory : Path
        Folder of the pair's displacement file.
    features : str
        Features of the registration, which decide whether the images are scans or label maps.
    names : dict
        Names of the labels.

    Returns
    -------
    (dict, dict of Part) or None
        As returned by :func:`learngn.report.viewer.viewer_data`.

    Raises
    ------
    LearnGNError
        If a file cannot be read.
    """
    label_maps = reads_label_maps(features)
    fixed, moving = (read_image(subject.image, labels=label_maps) for subject in (pair.fixed, pair.moving))
    fixed_labels, moving_labels = (
        None if subject.labels is None else read_image(subject.labels, labels=True)
        for subject in (pair.fixed, pair.moving)
    )
    transform = read_learn2reg(directory / pair.field_name, fixed.grid, moving.grid)
    scans = (("fixed", fixed), ("moving", moving))
    view, axis, index = _slice(fixed.grid, fixed_labels or (fixed if label_maps else None))
    grid = fixed.grid if axis is None else _cut_grid(fixed.grid, axis, index)
    material = Material(
        metrics={"label_names": {str(label): name for label, name in names.items()}},
        label_maps=label_maps,
        fixed=_cut(fixed, grid, axis, index),
        moving=moving,
        warped=transform.warp(moving, grid),
        fixed_labels=None if fixed_labels is None else _cut(fixed_labels, grid, axis, index),
        moving_labels=moving_labels,
        warped_labels=None if moving_labels is None else transform.warp(moving_labels, grid),
        transform=None,
        grid=grid,
        # Windows of the whole scan, which do not depend on the content of the slice.
        windows={role: volumes.window_of(image.data[0, 0]) for role, image in scans if not label_maps},
    )
    return viewer_data(material, BUDGET, view)


def _slice(grid: Grid, guide: Image | None) -> tuple[View | None, int | None, int]:
    """Return the largest of the orthogonal views, its array axis, and the index of the slice with most labels."""
    if grid.ndim == 2:
        return None, None, 0
    turn = Orientation.of(grid)
    extent = [float(grid.extent[axis]) for axis in reversed(turn.order)]
    view = max(VIEWS[3], key=lambda view: extent[view.across] * extent[view.down])
    axis = turn.order[2 - view.through]
    if guide is None:
        return view, axis, grid.shape[axis] // 2
    array = guide.data[0, 0]
    return view, axis, volumes.fullest(volumes.codes_of(array, volumes.label_values(array)))[axis]


def _cut_grid(grid: Grid, axis: int, index: int) -> Grid:
    shift = np.eye(grid.ndim + 1)
    shift[axis, -1] = index
    return Grid(tuple(1 if a == axis else n for a, n in enumerate(grid.shape)), grid.affine @ shift)


def _cut(image: Image, grid: Grid, axis: int | None, index: int) -> Image:
    return image if axis is None else replace(image, data=narrow(image.data, 2 + axis, index, 1), grid=grid)
