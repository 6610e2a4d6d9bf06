"""Probabilities of nnU-Net v2, converted to array order (i, j, k)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learngn.errors import FeatureError, ImageError
from learngn.geometry.grid import Grid
from learngn.io.documents import parse_json, read_archive

_WORLD, _POSITIVE = ("RL", "AP", "SI"), "RAS"


def read_nnunet(path: Path, grid: Grid) -> tuple[NDArray[Any], list[str]]:
    """Read probabilities that ``nnUNetv2_predict --save_probabilities`` has written.

    The array is (C, z, y, x) for every reader of nnU-Net. If ``plans.json`` beside the file names the reader that
    reorients, its axes are those nearest to R, A and S.

    Parameters
    ----------
    path : Path
        ``.npz`` file. nnU-Net's ``plans.json`` and ``dataset.json`` beside it are optional.
    grid : Grid
        Grid of the segmented image.

    Returns
    -------
    values : array, shape (C, *S)
        Stored values; their shape is not compared with the grid.
    names : list of str
        Names of the channels: the classes of ``dataset.json``, or numbers.

    Raises
    ------
    ImageError
        If the file cannot be read.
    FeatureError
        If it holds no probabilities.
    """
    arrays = read_archive(path, "scores", ImageError)
    keys, values = list(arrays), arrays.get("probabilities")
    if values is None or values.ndim != 4:
        got = f"the arrays {', '.join(keys)}" if values is None else f"probabilities of shape {values.shape}"
        raise FeatureError(
            f"scores {path}", got, "an array 'probabilities' of shape (C, z, y, x)",
            "write them with nnUNetv2_predict --save_probabilities (version 2)",
        )  # fmt: skip
    values = values.transpose(0, 3, 2, 1)
    if grid.ndim == 2 and values.shape[-1] == 1:
        values = values[..., 0]
    elif _json(path.with_name("plans.json")).get("image_reader_writer") == "NibabelIOWithReorient":
        values = _from_ras(values, grid)
    labels = _json(path.with_name("dataset.json")).get("labels", {})
    names = {value: name for name, value in labels.items() if isinstance(value, int)}
    return values, [names.get(channel, str(channel)) for channel in range(len(values))]


def _json(path: Path) -> dict[str, Any]:
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _from_ras(values: NDArray[Any], grid: Grid) -> NDArray[Any]:
    """Reorder values from the axes nearest to R, A, S to the axes of the grid, (C, *S)."""
    worlds = [next(w for w, letters in enumerate(_WORLD) if code in letters) for code in grid.axis_codes]
    flipped = tuple(axis + 1 for axis, code in enumerate(grid.axis_codes) if code not in _POSITIVE)
    turned: NDArray[Any] = np.flip(values.transpose(0, *[w + 1 for w in worlds]), flipped)
    return turned
