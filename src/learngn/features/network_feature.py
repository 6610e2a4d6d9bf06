"""Arbitrary networks as features; PyTorch is only imported when one is applied."""

from __future__ import annotations

import sys
from collections.abc import Callable

from learngn.arrays import Array, channels_last, in_order, is_tensor, require_torch, shared, single
from learngn.errors import FeatureError
from learngn.features.base import Feature, FeatureImage, Traits
from learngn.geometry.image import Image


class NetworkFeature:
    """Network as a feature: ``φ(base(image))``, for any ``nn.Module`` or function.

    Parameters
    ----------
    base : Feature
        Input of the network, for example ``parse_features("intensity")``.
    network : callable
        Maps a tensor (N, C, *S) to one (N, C', *S): an ``nn.Module`` in evaluation mode, or any function.
    name : str
    moving_network : callable, optional
        Network of the moving image, for pairs of two modalities; by default `network`. The base of each image is then
        computed from that image alone, as scalings that suit both do not exist.

    Notes
    -----
    The network is applied to each image separately, so that a scan's features do not depend on the other scan. A base
    channel that is zero everywhere in one image (an organ that it lacks) is zero in both.

    It takes tensors of PyTorch. Features of images of NumPy are converted for it and its output back, without gradient.
    """

    def __init__(
        self,
        base: Feature,
        network: Callable[[Array], Array],
        name: str = "network",
        *,
        moving_network: Callable[[Array], Array] | None = None,
    ) -> None:
        self.base, self.network, self.name, self.moving_network = base, network, name, moving_network

    @property
    def traits(self) -> Traits:
        """Traits of the base after a network."""
        return self.base.traits.through_network()

    def __call__(self, fixed: Image, moving: Image, spacing: float) -> tuple[FeatureImage, FeatureImage]:
        """See :class:`learngn.features.Feature`.

        Raises
        ------
        FeatureError
            If the network changes the shape of the grid.
        """
        if self.moving_network is None:
            first, second = self.base(fixed, moving, spacing)
        else:
            first, second = self.input(fixed, spacing), self.input(moving, spacing)
        return self.applied(first), self.applied(second, moving=True)

    def input(self, image: Image, spacing: float) -> FeatureImage:
        """Return the network's input for an image, computed from that image alone."""
        return self.base(image, image, spacing)[0]

    def applied(self, image: FeatureImage, *, moving: bool = False) -> FeatureImage:
        """Apply the network of the fixed or the moving image to its input.

        Raises
        ------
        FeatureError
            If the network changes the shape of the grid.
        """
        network = self.moving_network if moving and self.moving_network is not None else self.network
        given = image.data
        if is_tensor(given):
            data = network(in_order(given))
        else:
            torch = require_torch(f"feature {self.name}, a network")
            with torch.no_grad():
                data = network(torch.as_tensor(in_order(given)))
        if tuple(data.shape[2:]) != tuple(given.shape[2:]):
            raise FeatureError(
                f"network of feature {self.name}",
                f"an output of shape {tuple(data.shape)}",
                f"(N, C, {', '.join(map(str, image.grid.shape))}), the grid of its input",
                "resize the output within the network",
            )
        return FeatureImage(channels_last(single(shared(data, given))), image.grid, image.weight)


def is_module(network: object) -> bool:
    """Return whether a network is an ``nn.Module``, without importing PyTorch: whoever has one has imported it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(network, torch.nn.Module)
