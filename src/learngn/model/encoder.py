"""Encoders: from input features to learned features φ, one for both scans of a pair or one for each modality."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from learngn.errors import ModelError
from learngn.geometry import sampling
from learngn.model.content import content_box

_CELLS = 4  # multiple of which the sides of a trimmed input are, so that few shapes occur
_WIDTH = 0.3  # initial width of a profile, in the unit of learned distances (-1 to 1)


class Profiles(nn.Module):
    """Profile of every learned channel, ``g d + h tanh(d / t)``; the identity before training.

    Parameters
    ----------
    channels : int
    ndim : int
        2 or 3.

    Attributes
    ----------
    factor_parameters : tuple of str
        Parameters with one number per channel, which are trained with the learning rate of factors.
    """

    factor_parameters: ClassVar[tuple[str, ...]] = ("log_gain", "height", "log_width")

    def __init__(self, channels: int, ndim: int) -> None:
        super().__init__()
        shape = (1, channels, *[1] * ndim)
        self.log_gain = nn.Parameter(torch.zeros(shape))
        self.height = nn.Parameter(torch.zeros(shape))
        self.log_width = nn.Parameter(torch.full(shape, math.log(_WIDTH)))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, *S) to the same shape."""
        return self.log_gain.exp() * x + self.height * torch.tanh(x * (-self.log_width).exp())


class Encoder(nn.Module):
    """Learned features φ: the input's channels, each times a factor, and the output channels of a network.

    Parameters
    ----------
    channels : int
        Number of input channels.
    scale : float
        Factor that scales the input to unit standard deviation; λ has the unit of the squared features.
    network : nn.Module, optional
        Maps (N, channels, *S) to (N, C', *S).
    pool : int
        Factor by which the input is averaged before the network.
    trim : bool
        Leave out the constant border of the input; the network's output is continued there by its outermost values.
    gain : float, optional
        Initial factor of the input's channels; None leaves these channels out.
    profiles : Profiles, optional
        Applied to the network's output. Encoders of two modalities share them.

    Attributes
    ----------
    factor_parameters : tuple of str
        Names of the parameters that have one number per channel; training uses a separate learning rate for them.
    """

    factor_parameters: ClassVar[tuple[str, ...]] = ("log_gain",)

    def __init__(
        self,
        channels: int,
        scale: float,
        network: nn.Module | None,
        *,
        pool: int = 1,
        trim: bool = False,
        gain: float | None = 1.0,
        profiles: Profiles | None = None,
    ) -> None:
        super().__init__()
        self.channels, self.scale, self.network, self.pool, self.trim = channels, scale, network, pool, trim
        self.log_gain = None if gain is None else nn.Parameter(torch.full((channels,), math.log(gain)))
        self.profiles = profiles

    def learned(self, x: Tensor) -> Tensor | None:
        """Compute the network's output for input features (N, channels, *S), on a grid `pool` times coarser."""
        if self.network is None:
            return None
        pooled = sampling.pool(x, pooled_shape(x.shape[2:], self.pool)).contiguous()
        inside = content_box(pooled, _CELLS) if self.trim else tuple(slice(0, n) for n in pooled.shape[2:])
        learned: Tensor = self.network(pooled[(slice(None), slice(None), *inside)].contiguous() * self.scale)
        return _continued(learned, inside, pooled.shape[2:])

    def join(self, x: Tensor, learned: Tensor | None) -> Tensor:
        """Join the input features and the network's output to φ."""
        parts = []
        if self.log_gain is not None:
            parts.append(x * (self.scale * self.log_gain.exp()).reshape(1, -1, *[1] * (x.ndim - 2)))
        if learned is not None:
            resized = sampling.resize(learned.to(x.dtype), x.shape[2:])
            parts.append(resized if self.profiles is None else self.profiles(resized))
        return torch.cat(parts, dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Compute φ of input features (N, channels, *S).

        Raises
        ------
        ModelError
            If the input has another number of channels than the model was trained with.
        """
        if x.shape[1] != self.channels:
            raise ModelError(
                "features of the pair",
                f"{x.shape[1]} channels",
                f"the model's {self.channels}",
                "register with the features that it was trained with",
            )
        return self.join(x, self.learned(x))


def pooled_shape(shape: Sequence[int], factor: int) -> tuple[int, ...]:
    """Return the shape of the network's grid, `factor` times coarser than that of the features."""
    return tuple(max(1, round(n / factor)) for n in shape)


def _continued(x: Tensor, inside: Sequence[slice], shape: Sequence[int]) -> Tensor:
    """Continue images that cover a box of a grid to the whole grid, by their outermost values."""
    axes = reversed(list(zip(inside, shape, strict=True)))  # F.pad begins with the last one
    pad = [n for part, size in axes for n in (part.start, size - part.stop)]
    return F.pad(x, pad, mode="replicate") if any(pad) else x
