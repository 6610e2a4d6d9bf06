"""Networks of learned features: a compact encoder-decoder, and channel profiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class EncoderDecoder(nn.Module):
    """Compact encoder-decoder (U-Net) that maps features to features on the same grid.

    With a `stem` of 2 all convolutions work at half the input's resolution or coarser: the 2^D voxels of each cell are
    rearranged to channels at the input, and channels to voxels at the output. No information of the input is lost, and
    a step in 3D takes an eighth of the time.

    The position of each voxel in the field of view, -1 to 1 along every axis, can be a further input, to distinguish
    structures that look the same, such as the left and the right kidney.

    Parameters
    ----------
    channels : int
        Number of channels of the input.
    out_channels : int
    ndim : int
        2 or 3.
    width : int
        Channels of the first stage; they double at every coarser stage, up to `widest`.
    depth : int
        Number of coarser stages.
    stem : int
        Side of the cells, 1 or 2.
    widest : int
    positions : bool
        Whether the position of each voxel is an input.

    References
    ----------
    Ronneberger, Fischer and Brox, "U-Net", 2015. Shi et al., "Real-time single image and video super-resolution using
    an efficient sub-pixel convolutional neural network", 2016.
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
        positions: bool = True,
    ) -> None:
        super().__init__()
        self.ndim, self.stem, self.positions = ndim, stem, positions
        widths = [min(width * 2**level, widest) for level in range(depth + 1)]
        conv, cell = nn.Conv2d if ndim == 2 else nn.Conv3d, stem**ndim
        self.entry = nn.Sequential(_block(channels * cell + ndim * positions, width, ndim), _block(width, width, ndim))
        self.down = nn.ModuleList(nn.Sequential(_block(a, b, ndim), _block(b, b, ndim)) for a, b in pairwise(widths))
        self.up = nn.ModuleList(_block(a + b, b, ndim) for a, b in zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.last = nn.Sequential(conv(width, width, 3, padding=1), nn.GELU(), conv(width, out_channels * cell, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, *S) to (N, out_channels, *S)."""
        cells = _to_cells(x, self.stem)
        stage = self.entry(torch.cat([cells, _positions(cells)], dim=1) if self.positions else cells)
        skips = []
        for block in self.down:
            skips.append(stage)
            stage = block(_halve(stage, self.ndim))
        for block in self.up:
            skip = skips.pop()
            stage = block(torch.cat([_resized(stage, skip), skip], dim=1))
        return _from_cells(self.last(stage), self.stem, x.shape[2:])


class ChannelProfiles(nn.Module):
    """Saturating profile of each channel, ``h tanh(x / t)``: with its gain, three numbers per organ.

    It turns a distance into a band around the boundary, weighted by how much the overlap of that organ gains from it.

    Parameters
    ----------
    channels : int
    ndim : int
        2 or 3.
    height, width : float
        Initial h and t [feature].

    Attributes
    ----------
    factor_parameters : tuple of str
        Parameters with one number per channel, which are trained with the learning rate of factors.
    """

    factor_parameters: ClassVar[tuple[str, ...]] = ("height", "log_width")

    def __init__(self, channels: int, ndim: int, *, height: float = 0.3, width: float = 0.3) -> None:
        super().__init__()
        shape = (1, channels, *[1] * ndim)
        self.height = nn.Parameter(torch.full(shape, height))
        self.log_width = nn.Parameter(torch.full(shape, math.log(width)))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, *S) to the same shape."""
        return self.height * torch.tanh(x * (-self.log_width).exp())


def _positions(x: Tensor) -> Tensor:
    """Return the position of each voxel along each axis, -1 to 1; (N, D, *S)."""
    axes = [(torch.arange(n, dtype=x.dtype, device=x.device) * 2 + 1) / n - 1 for n in x.shape[2:]]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")).expand(len(x), -1, *x.shape[2:])


def _to_cells(x: Tensor, side: int) -> Tensor:
    """Rearrange voxels of cells to channels, (N, C, *S) to (N, C side^D, *S / side); incomplete cells are padded."""
    if side == 1:
        return x
    ndim = x.ndim - 2
    pad = [amount for n in reversed(x.shape[2:]) for amount in (0, -n % side)]
    x = F.pad(x, pad, mode="replicate")
    n, c, *shape = x.shape
    split = x.reshape(n, c, *(size for m in shape for size in (m // side, side)))
    order = [0, 1, *range(3, 3 + 2 * ndim, 2), *range(2, 2 + 2 * ndim, 2)]
    return split.permute(order).reshape(n, c * side**ndim, *(m // side for m in shape))


def _from_cells(x: Tensor, side: int, shape: Sequence[int]) -> Tensor:
    """Invert :func:`_to_cells`, and crop the result to a shape."""
    if side == 1:
        return x
    ndim = x.ndim - 2
    n, c, *cells = x.shape
    split = x.reshape(n, c // side**ndim, *[side] * ndim, *cells)
    order = [0, 1, *(axis for a in range(ndim) for axis in (2 + ndim + a, 2 + a))]
    whole = split.permute(order).reshape(n, c // side**ndim, *(side * m for m in cells))
    for axis, size in enumerate(shape):
        whole = whole.narrow(axis + 2, 0, size)
    return whole


def _block(channels: int, out_channels: int, ndim: int) -> nn.Sequential:
    conv = nn.Conv2d if ndim == 2 else nn.Conv3d
    norm = nn.InstanceNorm2d if ndim == 2 else nn.InstanceNorm3d
    return nn.Sequential(conv(channels, out_channels, 3, padding=1), norm(out_channels, affine=True), nn.GELU())


def _halve(x: Tensor, ndim: int) -> Tensor:
    """Average 2^D cells, cell-centred like the pyramid; axes of two cells are kept, as one cell has no variance."""
    size = [2 if n > 2 else 1 for n in x.shape[2:]]
    return F.avg_pool2d(x, size, ceil_mode=True) if ndim == 2 else F.avg_pool3d(x, size, ceil_mode=True)


def _resized(x: Tensor, like: Tensor) -> Tensor:
    if x.shape[2:] == like.shape[2:]:
        return x
    mode = "bilinear" if x.ndim == 4 else "trilinear"
    return F.interpolate(x, size=like.shape[2:], mode=mode, align_corners=False)
