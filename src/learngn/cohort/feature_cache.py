"""Cache of features in a folder that all workers share, so that each feature is computed only once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from learngn.cohort.locks import locked
from learngn.errors import OutputError
from learngn.features import FeatureImage
from learngn.geometry.grid import Grid
from learngn.io import atomic_path

_SUFFIX = ".pt"


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
    are stored, and registration goes on. Features are read back with the same bits and the same memory order.
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
    # torch's format keeps the strides; with weights_only below, loading cannot run code.
    content = {
        "data": features.data,
        "weight": features.weight,
        "names": list(features.names),
        "shape": list(features.grid.shape),
        "affine": torch.tensor(features.grid.affine),
    }
    with atomic_path(path) as temporary:
        torch.save(content, temporary)


def _read(path: Path) -> FeatureImage:
    content = torch.load(path, weights_only=True)
    grid = Grid(tuple(content["shape"]), content["affine"].numpy())
    return FeatureImage(content["data"], grid, content["weight"], tuple(content["names"]))
