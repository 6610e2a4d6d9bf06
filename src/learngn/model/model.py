"""Model of a registration: input features, learned features φ, linearisation and λ, joined to a Gauss-Newton method."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from typing import Any

from torch import nn

from learngn.errors import ModelError
from learngn.features import ChannelProfiles, EncoderDecoder, Feature, NetworkFeature, parse_features
from learngn.geometry.image import Image
from learngn.linearise import Analytic, LearnedLinearisation, Lineariser, PublishedLinearisation
from learngn.model.architecture import ModelConfig, NetworkConfig
from learngn.model.encoder import Encoder, Profiles
from learngn.model.modalities import modalities_of
from learngn.model.trainable import TrainableGaussNewton
from learngn.model.voxelmorph import VoxelMorphRegistration
from learngn.optimise import GaussNewton, build
from learngn.settings import Settings


class Model(nn.Module):
    """Registration with learned features, linearisation or λ.

    Parameters
    ----------
    config : ModelConfig
        Architecture.
    network : nn.Module, optional
        Your own network, if ``config.network.kind`` is ``"own"``.

    Attributes
    ----------
    experience : dict, optional
        What the model knows of its training, :class:`learngn.quality.Experience` as JSON; it is not trained.

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
        self.experience: Mapping[str, Any] | None = None
        self.given: tuple[str, str] | None = None  # modalities of the scans, if the caller names them
        scales = [modality.scale for modality in config.modalities] or [config.scale]
        self.encoder = _encoder(config, _network(config, network), scales[0])
        self.moving_encoder = None if len(scales) == 1 else _beside(self.encoder, config, scales[1])
        self.method: TrainableGaussNewton | VoxelMorphRegistration = _method(config)

    @property
    def settings(self) -> Settings:
        """Settings: input features, schedule and initial λ."""
        return self.config.settings

    @property
    def digest(self) -> str:
        """SHA-256 of architecture, weights and named modalities, which identifies the model."""
        named = "" if self.given is None else ",".join(self.given)
        digest = hashlib.sha256((self.config.model_dump_json() + named).encode())
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
        return digest.hexdigest()

    @property
    def base_feature(self) -> Feature:
        """Input features of the model."""
        return parse_features(self.settings.features, self.config.organs)

    @property
    def feature(self) -> Feature:
        """Learned features φ as a feature of a pair of images, in the order of the training."""
        return self._feature_of(0, 1)

    def encoder_of(self, modality: int) -> Encoder:
        """Return the encoder of a modality, 0 or 1, in the order of the training."""
        return self.moving_encoder if modality and self.moving_encoder is not None else self.encoder

    def for_modalities(self, fixed: str, moving: str) -> Model:
        """Return the same model for scans of these modalities, whatever their file names are.

        Parameters
        ----------
        fixed, moving : str
            Name (``"MR"``) or number (``"0001"``) of a modality of the training.

        Raises
        ------
        ModelError
            If the model does not have them.
        """
        modalities_of(self.config.modalities, (fixed, moving), ("", ""))
        chosen = copy.copy(self)
        chosen.given = (fixed, moving)
        return chosen

    def modalities_in(self, names: tuple[str, str]) -> tuple[int, int]:
        """Return the modalities of the scans of a pair, 0 or 1 in the order of the training.

        Parameters
        ----------
        names : (str, str)
            File names of the scans.

        Raises
        ------
        ModelError
            See :meth:`feature_of`.
        """
        if self.moving_encoder is None:
            return 0, 0
        return modalities_of(self.config.modalities, self.given, names)

    def feature_of(self, names: tuple[str, str]) -> Feature:
        """Return φ for a pair of scans, each computed by the encoder of its modality.

        Parameters
        ----------
        names : (str, str)
            File names of the scans.

        Raises
        ------
        ModelError
            If the model is for two modalities, and the names do not tell those of the scans; see
            :meth:`for_modalities`.
        """
        return self._feature_of(*self.modalities_in(names))

    def _feature_of(self, fixed: int, moving: int) -> Feature:
        second = None if self.moving_encoder is None else self.encoder_of(moving)
        return NetworkFeature(self.base_feature, self.encoder_of(fixed), self.settings.features, moving_network=second)

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


def _encoder(config: ModelConfig, network: nn.Module | None, scale: float) -> Encoder:
    parts = config.network
    profiles = None
    if parts is not None and parts.profiles:
        profiles = Profiles(config.learned_channels, config.ndim)
    pool, trim = (1, False) if parts is None else (parts.pool, parts.trim)
    return Encoder(config.channels, scale, network, pool=pool, trim=trim, gain=_gain(parts), profiles=profiles)


def _beside(first: Encoder, config: ModelConfig, scale: float) -> Encoder:
    """Return the encoder of the second modality: factors and profiles are shared, the network only where wanted."""
    shared = config.network is not None and config.network.encoders == "shared"
    network = first.network if shared else copy.deepcopy(first.network)
    second = _encoder(config, network, scale)
    second.log_gain, second.profiles = first.log_gain, first.profiles
    return second


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
        config.channels,
        config.learned_channels,
        config.ndim,
        width=n.width,
        depth=n.depth,
        stem=n.stem,
        widest=n.widest,
        positions=n.positions,
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
    return config.learned_channels + (config.channels if config.network.keep_input else 0)


def _lineariser(config: ModelConfig) -> Lineariser:
    if config.lineariser is None:
        return Analytic()
    if config.lineariser.kind == "published":
        return PublishedLinearisation(_channels(config), config.ndim, hidden=config.lineariser.hidden)
    return LearnedLinearisation(
        _channels(config), config.ndim, hidden=config.lineariser.hidden, weight=config.lineariser.weight
    )
