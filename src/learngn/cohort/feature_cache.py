"""Features kept in a folder that all workers see: each is computed by one of them."""

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
    """A :class:`learngn.features.FeatureStore` on the disk, one file a key.

    Parameters
    ----------
    folder : Path
        Made when the first features come.

    Notes
    -----
    Who wants features that another process is computing waits for them. A disk that is full keeps nothing more, and
    nothing else happens. What is found again is what was kept, to the bit and to the order in memory.
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
        """Number of features kept: so many have been computed."""
        return sum(1 for _ in self.folder.glob(f"*{_SUFFIX}"))


def _write(features: FeatureImage, path: Path) -> None:
    # torch's own format keeps strides; weights_only below lets it run no code.
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
