"""Learned features: a compact encoder-decoder, and any network as a feature."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from learngn.errors import FeatureError
from learngn.features.base import Feature, FeatureImage, channels_last
from learngn.image import Image


class EncoderDecoder(nn.Module):
    """Compact encoder-decoder (U-Net) from features to features on the same grid.

    All but the last block work at half the input's resolution or coarser (`stem` = 2), which is where the field of
    view comes from and what keeps it affordable on a CPU in 3D.

    Parameters
    ----------
    channels : int
        Of the input.
    out_channels : int
    ndim : int
        2 or 3.
    width : int
        Channels of the first stage; every coarser one has twice as many, up to `widest`.
    depth : int
        Number of coarser stages.
    stem : int
        Factor by which the input is brought down before the first stage, 1 or 2.
    widest : int

    References
    ----------
    Ronneberger, Fischer and Brox, "U-Net", 2015.
    """

    def __init__(
        self,
        channels: int,
        out_channels: int,
        ndim: int,
        *,
        width: int = 16,
        depth: int = 3,
        stem: int = 2,
        widest: int = 64,
    ) -> None:
        super().__init__()
        self.ndim, self.stem, self.depth = ndim, stem, depth
        widths = [min(width * 2**level, widest) for level in range(depth + 1)]
        conv = nn.Conv2d if ndim == 2 else nn.Conv3d
        # What each cell of the stem sees of its stem^D voxels, not their average alone.
        self.first = nn.Sequential(conv(channels, width, 2 * stem - 1, padding=stem - 1), _norm(width, ndim), nn.GELU())
        self.entry = _block(width, width, ndim)
        self.down = nn.ModuleList(_block(a, b, ndim, 2) for a, b in pairwise(widths))
        self.up = nn.ModuleList(_block(a + b, b, ndim) for a, b in zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.last = nn.Sequential(
            conv(width + channels, out_channels, 3, padding=1), nn.GELU(), conv(out_channels, out_channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, *S) to (N, out_channels, *S)."""
        stage = self.entry(_halve(self.first(x), self.ndim) if self.stem == 2 else self.first(x))
        skips = []
        for block in self.down:
            skips.append(stage)
            stage = block(_halve(stage, self.ndim))
        for block in self.up:
            skip = skips.pop()
            stage = block(torch.cat([_resized(stage, skip), skip], dim=1))
        out: Tensor = self.last(torch.cat([_resized(stage, x), x], dim=1))
        return out


def _norm(channels: int, ndim: int) -> nn.Module:
    return nn.InstanceNorm2d(channels, affine=True) if ndim == 2 else nn.InstanceNorm3d(channels, affine=True)


def _block(channels: int, out_channels: int, ndim: int, convolutions: int = 1) -> nn.Sequential:
    conv = nn.Conv2d if ndim == 2 else nn.Conv3d
    layers: list[nn.Module] = []
    for index in range(convolutions):
        layers += [
            conv(channels if index == 0 else out_channels, out_channels, 3, padding=1),
            _norm(out_channels, ndim),
            nn.GELU(),
        ]
    return nn.Sequential(*layers)


def _halve(x: Tensor, ndim: int) -> Tensor:
    """Average of 2^D cells: cell-centred, as the pyramid is; an axis one voxel thick stays."""
    size = [2 if n > 1 else 1 for n in x.shape[2:]]
    return F.avg_pool2d(x, size, ceil_mode=True) if ndim == 2 else F.avg_pool3d(x, size, ceil_mode=True)


def _resized(x: Tensor, like: Tensor) -> Tensor:
    if x.shape[2:] == like.shape[2:]:
        return x
    mode = "bilinear" if x.ndim == 4 else "trilinear"
    return F.interpolate(x, size=like.shape[2:], mode=mode, align_corners=False)


class NetworkFeature:
    """A network as a feature: ``φ(base(image))``, one's own ``nn.Module`` included.

    Parameters
    ----------
    base : Feature
        What the network sees, for example ``parse_features("intensity")``.
    network : callable
        Maps (N, C, *S) to (N, C', *S): an ``nn.Module`` in evaluation mode, or any function.
    name : str

    Notes
    -----
    Both images go through the network alone, so that a scan's features do not depend on its partner; a channel of the
    base that is zero throughout in one image (an organ that it lacks) is zero for both.
    """

    def __init__(self, base: Feature, network: Callable[[Tensor], Tensor], name: str = "network") -> None:
        self.base, self.network, self.name = base, network, name

    @property
    def labels(self) -> bool:
        """Whether the base reads label maps."""
        return self.base.labels

    def __call__(self, fixed: Image, moving: Image, spacing: float) -> tuple[FeatureImage, FeatureImage]:
        """See :class:`learngn.features.Feature`.

        Raises
        ------
        FeatureError
            If the network changes the shape of the grid.
        """
        first, second = self.base(fixed, moving, spacing)
        a, b = self._apply(first), self._apply(second)
        return a, b

    def _apply(self, image: FeatureImage) -> FeatureImage:
        data = self.network(image.data.contiguous())
        if data.shape[2:] != image.data.shape[2:]:
            raise FeatureError(
                f"network of feature {self.name}",
                f"an output of shape {tuple(data.shape)}",
                f"(N, C, {', '.join(map(str, image.grid.shape))}), the grid of its input",
                "resize the output within the network",
            )
        return FeatureImage(channels_last(data.float()), image.grid)
