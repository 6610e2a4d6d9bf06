"""What a model is made of: the file beside its weights, checked when it is read."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from learngn.settings import Settings


class Strict(BaseModel):
    """Base of everything that is read from a file: immutable, and a key that it does not know is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkConfig(Strict):
    """Learned features φ.

    Attributes
    ----------
    kind : str
        ``"encoder-decoder"`` (:class:`learngn.features.EncoderDecoder`); ``"profiles"``
        (:class:`learngn.features.ChannelProfiles`), which has as many channels as its input; or ``"own"``: a network
        that whoever loads the model brings along.
    out_channels : int
        Learned channels; at least one an organ for the loss on their distances.
    width, depth, stem, widest : int
        See :class:`learngn.features.EncoderDecoder`.
    pool : int
        Factor by which the input is averaged before the network; what it makes of it is interpolated. Which organ a
        voxel belongs to is a coarse matter, and the kept input has the fine ones.
    keep_input : bool
        Let the input's channels stand beside the learned ones, each with a learned factor.
    gain : float
        That factor before training.
    """

    kind: Literal["encoder-decoder", "profiles", "own"] = "encoder-decoder"
    out_channels: int = Field(16, ge=1, le=512)
    width: int = Field(16, ge=1, le=512)
    depth: int = Field(3, ge=0, le=6)
    stem: Literal[1, 2] = 2
    widest: int = Field(64, ge=1, le=2048)
    pool: Literal[1, 2, 4] = 1
    keep_input: bool = True
    gain: float = Field(1.0, gt=0)


class LineariserConfig(Strict):
    """Learned J, f and w.

    Attributes
    ----------
    kind : str
        ``"corrected"`` (:class:`learngn.linearise.LearnedLinearisation`) or ``"published"``
        (:class:`learngn.linearise.PublishedLinearisation`).
    hidden : int
        Channels of the hidden layers.
    weight : bool
        Predict a confidence.
    """

    kind: Literal["corrected", "published"] = "corrected"
    hidden: int = Field(16, ge=1, le=512)
    weight: bool = True


class VoxelMorphConfig(Strict):
    """A displacement predicted at once, instead of Gauss-Newton: a baseline.

    Attributes
    ----------
    width, stages : int
        See :class:`learngn.model.VoxelMorphRegistration`.
    """

    width: int = Field(16, ge=1, le=512)
    stages: int = Field(4, ge=1, le=6)


class ModelConfig(Strict):
    """Architecture of a :class:`learngn.model.Model`.

    Attributes
    ----------
    ndim : int
    settings : Settings
        Features that the model sees, schedule, λ before training, update.
    spacing : float
        What a stride of one means [mm]: the finest spacing of the scans that it was trained on.
    channels : int
        Of the input features.
    organs : tuple of int, optional
        Labels with a channel each, for features that have one a label.
    scale : float
        Factor of the input features: one over their standard deviation in the training data.
    network : NetworkConfig, optional
    lineariser : LineariserConfig, optional
    learn_lam : bool
        Learn λ of every level.
    voxelmorph : VoxelMorphConfig, optional
        Take the place of Gauss-Newton.
    """

    ndim: Literal[2, 3]
    settings: Settings
    spacing: float = Field(gt=0)
    channels: int = Field(ge=1)
    organs: tuple[int, ...] | None = None
    scale: float = Field(1.0, gt=0)
    network: NetworkConfig | None = None
    lineariser: LineariserConfig | None = None
    learn_lam: bool = True
    voxelmorph: VoxelMorphConfig | None = None
