"""Cached features: computed once per image, whatever the number of its pairs, with a hash of the input as key."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from learngn._version import __version__
from learngn.arrays import Array, as_numpy, in_order, kind_of, shared
from learngn.features.base import Feature, FeatureImage, OneByOne, Traits, on_common_grids
from learngn.features.combined import Combined
from learngn.features.mind import Mind, MindScales
from learngn.features.network_feature import NetworkFeature, is_module
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image


class FeatureStore(Protocol):
    """Interface of a cache of features."""

    def __call__(self, key: str, make: Callable[[], FeatureImage]) -> FeatureImage:
        """Return the features stored under a key; compute and store them if there are none.

        Parameters
        ----------
        key : str
            Hash of everything that the result depends on, in hexadecimal digits.
        make : callable
            Computes the features.
        """


def kept(feature: Feature, store: FeatureStore) -> Feature:
    """Return the same feature with a cache for the part that is computed from each image alone.

    Parameters
    ----------
    feature : Feature
        The parts of a :class:`Combined` are cached separately; for a :class:`NetworkFeature` with an ``nn.Module``,
        its input and its output. Features that their attributes do not identify, such as functions, are not cached.
    store : FeatureStore
        The cache.
    """
    if isinstance(feature, Combined):
        return Combined(tuple((kept(part, store), weight) for part, weight in feature.parts))
    if isinstance(feature, NetworkFeature):
        base, moving = kept(feature.base, store), feature.moving_network
        second = None if moving is None else _kept_network(moving, store)
        return NetworkFeature(base, _kept_network(feature.network, store), feature.name, moving_network=second)
    return _Kept(feature, store) if isinstance(feature, OneByOne) else feature


def for_linear_stage(feature: Feature) -> Feature:
    """Return a feature that is as good for a linear map, which has few parameters, and has fewer channels.

    Self-similarity at several scales distinguishes places better than at one; a linear map is found by all places
    together.
    """
    if isinstance(feature, Combined):
        return Combined(tuple((for_linear_stage(part), weight) for part, weight in feature.parts))
    if isinstance(feature, _Kept):
        simple = for_linear_stage(feature.feature)
        return _Kept(simple, feature.store) if isinstance(simple, OneByOne) else simple
    # The middle scale: the smallest one alone loses a slab of another modality.
    return Mind(*feature.scales[len(feature.scales) // 2]) if isinstance(feature, MindScales) else feature


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


def _kept_network(network: Callable[[Array], Array], store: FeatureStore) -> Callable[[Array], Array]:
    return _KeptNetwork(network, store) if is_module(network) else network


class _KeptNetwork:
    """Network whose outputs are cached, with a hash of weights and input as key."""

    def __init__(self, network: Any, store: FeatureStore) -> None:
        self.network, self.store, digest = network, store, hashlib.sha256(repr(network).encode())
        for name, tensor in sorted(network.state_dict().items()):
            digest.update(name.encode() + as_numpy(tensor).tobytes())
        self.identity = digest.hexdigest()

    def __call__(self, x: Array) -> Array:
        """Map (N, C, *S) to (N, C', *S)."""
        # The cache stores features on a grid. A network has none, so that any grid of the right shape serves.
        grid = Grid(tuple(x.shape[2:]), np.eye(x.ndim - 1))
        key = _digest("network", self.identity, x, grid).hexdigest()
        return shared(self.store(key, lambda: FeatureImage(self.network(x), grid)).data, x)


def _digest(kind: str, identity: str, data: Array, grid: Grid) -> Any:
    text = f"{__version__} {kind} {identity} {kind_of(data)} {data.dtype} {tuple(data.shape)} "
    digest = hashlib.sha256(text.encode() + grid.affine.tobytes())
    digest.update(in_order(as_numpy(data)).data)
    return digest


def _update_from_files(digest: Any, source: Path) -> None:
    for file in sorted(source.rglob("*")) if source.is_dir() else [source]:
        if file.is_file():
            digest.update(f"{file.name} {file.stat().st_size} ".encode())
            digest.update(file.read_bytes())
