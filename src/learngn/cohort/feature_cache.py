"""Cache of features in a folder that all workers share, so that each feature is computed only once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from learngn.arrays import as_numpy
from learngn.cohort.locks import locked
from learngn.errors import OutputError
from learngn.features import FeatureImage
from learngn.geometry.grid import Grid
from learngn.io import atomic_path

_SUFFIX = ".features"


@dataclass(frozen=True)
class FolderStore:
    """Cache of features on the disk, a :class:`learngn.features.FeatureStore` with one file for each key.

    Parameters
    ----------
    folder : Path
        Cache folder, made when the first features are stored.

    Notes
    -----
    A process that needs features which another one is computing waits for them. When the disk is full, no more features
    are stored, and registration goes on. Features are read back as arrays of NumPy, with the same bits and the same
    memory order.
    """

    folder: Path

    def __call__(self, key: str, make: Callable[[], FeatureImage]) -> FeatureImage:
        """See :class:`learngn.features.FeatureStore`."""
        path = self.folder / f"{key}{_SUFFIX}"
        if path.exists():
            return _read(path)
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder / f"{key}.lock"):
            if path.exists():
                return _read(path)
            features = make()
            try:
                _write(features, path)
            except OutputError:
                return features
        return features

    def __len__(self) -> int:
        """Return the number of stored features."""
        return sum(1 for _ in self.folder.glob(f"*{_SUFFIX}"))


def _write(features: FeatureImage, path: Path) -> None:
    grid = features.grid
    weight = np.empty(0) if features.weight is None else as_numpy(features.weight)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        for array in (as_numpy(features.data), weight, np.array(features.names, dtype=str), grid.shape, grid.affine):
            _save(np.asarray(array), file)


def _read(path: Path) -> FeatureImage:
    with path.open("rb") as file:
        data, weight, names, shape, affine = (_load(file) for _ in range(5))
    grid = Grid(tuple(int(n) for n in shape), affine)
    return FeatureImage(data, grid, weight if weight.size else None, tuple(str(name) for name in names))


def _save(array: NDArray[Any], file: BinaryIO) -> None:
    """Write an array in the order of its memory, and the order of its axes before it."""
    order = np.argsort([-step for step in array.strides], kind="stable")
    np.save(file, order, allow_pickle=False)
    np.save(file, array.transpose(order), allow_pickle=False)


def _load(file: BinaryIO) -> NDArray[Any]:
    order = np.load(file, allow_pickle=False)
    stored: NDArray[Any] = np.load(file, allow_pickle=False)
    return stored.transpose(np.argsort(order))
