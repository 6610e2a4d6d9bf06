"""Probabilities that nnU-Net v2 has written, in our order of axes."""

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
    """Read what ``nnUNetv2_predict --save_probabilities`` has written.

    The array is (C, z, y, x), the reverse of our order, whichever reader nnU-Net has used; with the one that reorients,
    which ``plans.json`` beside the file tells, its axes are those nearest to R, A and S.

    Parameters
    ----------
    path : Path
        ``.npz``. Beside it nnU-Net leaves ``plans.json`` and ``dataset.json``, which need not be there.
    grid : Grid
        Of the image that was predicted.

    Returns
    -------
    values : array, shape (C, *S)
        As stored; whether they fit the grid is not checked.
    names : list of str
        Of the channels: the classes of ``dataset.json``, or numbers.

    Raises
    ------
    ImageError
        If the file cannot be read.
    FeatureError
        If it holds something else.
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
        found = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _from_ras(values: NDArray[Any], grid: Grid) -> NDArray[Any]:
    """From the axes nearest to R, A, S to those of the grid, (C, *S)."""
    worlds = [next(w for w, letters in enumerate(_WORLD) if code in letters) for code in grid.axis_codes]
    flipped = tuple(axis + 1 for axis, code in enumerate(grid.axis_codes) if code not in _POSITIVE)
    turned: NDArray[Any] = np.flip(values.transpose(0, *[w + 1 for w in worlds]), flipped)
    return turned
