"""Features that are computed once an image, however many pairs it is in: kept, and found again by what went in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn

from learngn._version import __version__
from learngn.features.base import Feature, FeatureImage, OneByOne, Traits, on_common_grids
from learngn.features.combined import Combined
from learngn.features.network import NetworkFeature
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image


class FeatureStore(Protocol):
    """Where features are kept."""

    def __call__(self, key: str, make: Callable[[], FeatureImage]) -> FeatureImage:
        """What is kept under a key; made, and kept, if there is nothing yet.

        Parameters
        ----------
        key : str
            Hexadecimal digits that stand for all that the result depends on.
        make : callable
        """


def kept(feature: Feature, store: FeatureStore) -> Feature:
    """The same feature, whose work on each image alone is done but once.

    Parameters
    ----------
    feature : Feature
        Of a :class:`Combined` each part is kept for itself; of a :class:`NetworkFeature` with an ``nn.Module`` its
        input and its output. What cannot be told apart by its attributes, a function for example, is computed anew for
        every pair.
    store : FeatureStore
    """
    if isinstance(feature, Combined):
        return Combined(tuple((kept(part, store), weight) for part, weight in feature.parts))
    if isinstance(feature, NetworkFeature):
        network = _KeptNetwork(feature.network, store) if isinstance(feature.network, nn.Module) else None
        return NetworkFeature(kept(feature.base, store), network or feature.network, feature.name)
    return _Kept(feature, store) if isinstance(feature, OneByOne) else feature


@dataclass(frozen=True, eq=False)
class _Kept:
    feature: OneByOne
    store: FeatureStore

    @property
    def name(self) -> str:
        """See :class:`learngn.features.Feature`."""
        return self.feature.name

    @property
    def traits(self) -> Traits:
        """See :class:`learngn.features.Feature`."""
        return self.feature.traits

    def __call__(self, fixed: Image, moving: Image, spacing: float) -> tuple[FeatureImage, FeatureImage]:
        """See :class:`learngn.features.Feature`."""
        return self.feature.together(*on_common_grids(self._of, self.traits, fixed, moving, spacing))

    def _of(self, image: Image, grid: Grid) -> FeatureImage:
        digest = _digest(type(self.feature).__name__, repr(self.feature), image.data, image.grid)
        digest.update(repr(grid.shape).encode())
        source = self.feature.source(image)
        if source is not None:
            _update_from_files(digest, source)
        return self.store(digest.hexdigest(), lambda: self.feature.of(image, grid))


class _KeptNetwork:
    """A network whose outputs are found again by its input."""

    def __init__(self, network: nn.Module, store: FeatureStore) -> None:
        self.network, self.store, digest = network, store, hashlib.sha256(repr(network).encode())
        for name, tensor in sorted(network.state_dict().items()):
            digest.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
        self.identity = digest.hexdigest()

    def __call__(self, x: Tensor) -> Tensor:
        """Map (N, C, *S) to (N, C', *S)."""
        # The store keeps features on a grid; a network knows none, and any of the right shape will do.
        grid = Grid(tuple(x.shape[2:]), np.eye(x.ndim - 1))
        key = _digest("network", self.identity, x, grid).hexdigest()
        return self.store(key, lambda: FeatureImage(self.network(x), grid)).data.to(x.device)


def _digest(kind: str, identity: str, data: Tensor, grid: Grid) -> Any:
    text = f"{__version__} {kind} {identity} {data.device.type} {data.dtype} {tuple(data.shape)} "
    digest = hashlib.sha256(text.encode() + grid.affine.tobytes())
    digest.update(np.ascontiguousarray(data.detach().cpu().numpy()).tobytes())
    return digest


def _update_from_files(digest: Any, source: Path) -> None:
    for file in sorted(source.rglob("*")) if source.is_dir() else [source]:
        if file.is_file():
            digest.update(f"{file.name} {file.stat().st_size} ".encode())
            digest.update(file.read_bytes())
