"""Model of a registration: input features, learned features φ, linearisation and λ, joined to a Gauss-Newton method."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from learngn.errors import ModelError
from learngn.features import ChannelProfiles, EncoderDecoder, Feature, NetworkFeature, parse_features
from learngn.geometry import sampling
from learngn.geometry.image import Image
from learngn.linearise import Analytic, LearnedLinearisation, Lineariser, PublishedLinearisation
from learngn.model.architecture import ModelConfig, NetworkConfig
from learngn.model.trainable import TrainableGaussNewton
from learngn.model.voxelmorph import VoxelMorphRegistration
from learngn.optimise import GaussNewton, build
from learngn.settings import Settings


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
    gain : float, optional
        Initial factor of the input's channels; None leaves these channels out.

    Attributes
    ----------
    factor_parameters : tuple of str
        Names of the parameters that have one number per channel; training uses a separate learning rate for them.
    """

    factor_parameters: ClassVar[tuple[str, ...]] = ("log_gain",)

    def __init__(
        self, channels: int, scale: float, network: nn.Module | None, *, pool: int = 1, gain: float | None = 1.0
    ) -> None:
        super().__init__()
        self.channels, self.scale, self.network, self.pool = channels, scale, network, pool
        self.log_gain = None if gain is None else nn.Parameter(torch.full((channels,), math.log(gain)))

    def learned(self, x: Tensor) -> Tensor | None:
        """Compute the network's output for input features (N, channels, *S), on a grid `pool` times coarser."""
        if self.network is None:
            return None
        pooled = sampling.pool(x, pooled_shape(x.shape[2:], self.pool)).contiguous()
        learned: Tensor = self.network(pooled * self.scale)
        return learned

    def join(self, x: Tensor, learned: Tensor | None) -> Tensor:
        """Join the input features and the network's output to φ."""
        parts = [] if learned is None else [sampling.resize(learned.to(x.dtype), x.shape[2:])]
        if self.log_gain is not None:
            parts.insert(0, x * (self.scale * self.log_gain.exp()).reshape(1, -1, *[1] * (x.ndim - 2)))
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


class Model(nn.Module):
    """Registration with learned features, linearisation or λ.

    Parameters
    ----------
    config : ModelConfig
        Architecture.
    network : nn.Module, optional
        Your own network, if ``config.network.kind`` is ``"own"``.

    Raises
    ------
    ModelError
        If such a network is missing, or given for a model of another kind.

    Notes
    -----
    Before training, with the input's channels kept, no network and the corrected linearisation, the model is the
    Gauss-Newton method of its settings.
    """

    def __init__(self, config: ModelConfig, network: nn.Module | None = None) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(
            config.channels,
            config.scale,
            _network(config, network),
            pool=1 if config.network is None else config.network.pool,
            gain=_gain(config.network),
        )
        self.method: TrainableGaussNewton | VoxelMorphRegistration = _method(config)

    @property
    def settings(self) -> Settings:
        """Settings: input features, schedule and initial λ."""
        return self.config.settings

    @property
    def digest(self) -> str:
        """SHA-256 of architecture and weights, which identifies the model."""
        digest = hashlib.sha256(self.config.model_dump_json().encode())
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
        return digest.hexdigest()

    @property
    def base_feature(self) -> Feature:
        """Input features of the model."""
        return parse_features(self.settings.features, self.config.organs)

    @property
    def feature(self) -> Feature:
        """Learned features φ as a :class:`learngn.features.Feature` of a pair of images."""
        return NetworkFeature(self.base_feature, self.encoder, self.settings.features)

    def scheduled(
        self, settings: Settings, fixed: Image | None = None, tissue: Image | None = None
    ) -> GaussNewton | VoxelMorphRegistration:
        """Return the trained method with the iterations of other settings.

        Parameters
        ----------
        settings : Settings
        fixed, tissue : Image, optional
            See :func:`learngn.optimise.build`.

        Raises
        ------
        ModelError
            If the settings have other strides, another λ or another update than the model was trained with.
        """
        for name in ("strides", "lam", "update"):
            given, own = getattr(settings, name), getattr(self.settings, name)
            if given != own:
                raise ModelError(name, str(given), f"the model's {own}", "leave it out: change the iterations alone")
        if isinstance(self.method, VoxelMorphRegistration):
            return self.method
        built = build(settings, fixed, tissue, trained=self.method.gauss_newton)
        if not isinstance(built, GaussNewton):
            raise TypeError("a trained method is one of Gauss-Newton")
        return built


def pooled_shape(shape: Sequence[int], factor: int) -> tuple[int, ...]:
    """Return the shape of the network's grid, `factor` times coarser than that of the features."""
    return tuple(max(1, round(n / factor)) for n in shape)


def _gain(network: NetworkConfig | None) -> float | None:
    if network is None:
        return 1.0
    return network.gain if network.keep_input else None


def _network(config: ModelConfig, own: nn.Module | None) -> nn.Module | None:
    wanted = config.network is not None and config.network.kind == "own"
    if wanted != (own is not None):
        raise ModelError(
            "network of the model",
            "one that it has no use for" if own is not None else "none",
            "none: its own is in the file" if own is not None else "the network that it was trained with",
            "leave it out" if own is not None else "pass it: read_model(path, network=...)",
        )
    if own is not None or config.network is None:
        return own
    n = config.network
    if n.kind == "profiles":
        return ChannelProfiles(config.channels, config.ndim)
    return EncoderDecoder(
        config.channels, n.out_channels, config.ndim, width=n.width, depth=n.depth, stem=n.stem, widest=n.widest
    )


def _method(config: ModelConfig) -> TrainableGaussNewton | VoxelMorphRegistration:
    if config.voxelmorph is not None:
        v = config.voxelmorph
        return VoxelMorphRegistration(
            config.settings.levels(), _channels(config), config.ndim, width=v.width, stages=v.stages
        )
    method = build(config.settings)
    if not isinstance(method, GaussNewton):
        raise ModelError("update of the model", config.settings.update, "one of Gauss-Newton", "correct the settings")
    return TrainableGaussNewton(method, _lineariser(config), learn_lam=config.learn_lam)


def _channels(config: ModelConfig) -> int:
    """Return the number of channels of φ."""
    if config.network is None:
        return config.channels
    learned = config.channels if config.network.kind == "profiles" else config.network.out_channels
    return learned + (config.channels if config.network.keep_input else 0)


def _lineariser(config: ModelConfig) -> Lineariser:
    if config.lineariser is None:
        return Analytic()
    if config.lineariser.kind == "published":
        return PublishedLinearisation(_channels(config), config.ndim, hidden=config.lineariser.hidden)
    return LearnedLinearisation(
        _channels(config), config.ndim, hidden=config.lineariser.hidden, weight=config.lineariser.weight
    )
