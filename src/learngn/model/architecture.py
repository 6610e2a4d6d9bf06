"""Architecture of a model: the description in its file, checked when it is read."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from learngn.settings import Settings


class Strict(BaseModel):
    """Base of descriptions that are read from files: immutable; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkConfig(Strict):
    """Network of the learned features φ.

    Attributes
    ----------
    kind : str
        ``"encoder-decoder"`` (:class:`learngn.features.EncoderDecoder`); ``"profiles"``
        (:class:`learngn.features.ChannelProfiles`), which has as many channels as its input; or ``"own"``: a network
        that the caller passes when the model is made or loaded.
    out_channels : int, optional
        Number of learned channels; the loss on distances needs at least one per organ. By default a training takes one
        for each label that teaches φ.
    width, depth, stem, widest : int
        See :class:`learngn.features.EncoderDecoder`.
    positions : bool
        Give the network the position of each voxel in the field of view. It tells structures apart that look the same;
        without it φ does not depend on where the anatomy lies in the scan.
    pool : int
        Factor by which the input is averaged before the network; the output is interpolated to the input's grid. The
        learned features need no fine details if the input's channels are kept.
    trim : bool
        Leave out the constant border of masked and padded scans: the network sees and normalises what lies inside.
    keep_input : bool
        Keep the input's channels beside the learned ones, each with a learned factor.
    gain : float
        Initial value of this factor.
    profiles : bool
        Give every learned channel d a profile ``g d + h tanh(d / t)``, which begins as d. It turns a distance into
        a band around the boundary, weighted by how much the overlap of that organ gains from it.
    encoders : str, optional
        ``"shared"``: one network for both scans of a pair; ``"each"``: one for each modality. By default one for each
        if the pairs have two modalities.
    """

    kind: Literal["encoder-decoder", "profiles", "own"] = "encoder-decoder"
    out_channels: int | None = Field(None, ge=1, le=512)
    width: int = Field(16, ge=1, le=512)
    depth: int = Field(3, ge=0, le=6)
    stem: Literal[1, 2] = 2
    widest: int = Field(64, ge=1, le=2048)
    positions: bool = True
    pool: Literal[1, 2, 4] = 1
    trim: bool = False
    keep_input: bool = True
    gain: float = Field(1.0, gt=0)
    profiles: bool = False
    encoders: Literal["shared", "each"] | None = None


class LineariserConfig(Strict):
    """Learned linearisation: Jacobian J, residual f and confidence w.

    Attributes
    ----------
    kind : str
        ``"corrected"`` (:class:`learngn.linearise.LearnedLinearisation`) or ``"published"``
        (:class:`learngn.linearise.PublishedLinearisation`).
    hidden : int
        Number of channels of the hidden layers.
    weight : bool
        Predict a confidence w.
    """

    kind: Literal["corrected", "published"] = "corrected"
    hidden: int = Field(16, ge=1, le=512)
    weight: bool = True


class VoxelMorphConfig(Strict):
    """VoxelMorph instead of Gauss-Newton, as a baseline: a network predicts the displacement in one step.

    Attributes
    ----------
    width, stages : int
        See :class:`learngn.model.VoxelMorphRegistration`.
    """

    width: int = Field(16, ge=1, le=512)
    stages: int = Field(4, ge=1, le=6)


class Modality(Strict):
    """One of the modalities of a model for pairs of two.

    Attributes
    ----------
    code : str
        Its number in file names, ``NAME_SSSS_MMMM.nii.gz``.
    name : str
        Its name in the data set, for example ``"MR"``; the code where it has none.
    scale : float
        Factor of its input features: one over their standard deviation in the training data.
    """

    code: str
    name: str
    scale: float = Field(gt=0)


class ModelConfig(Strict):
    """Architecture of a :class:`learngn.model.Model`.

    Attributes
    ----------
    ndim : int
        Number of dimensions, 2 or 3.
    settings : Settings
        Input features, schedule, initial λ, update.
    spacing : float
        Voxel size of stride 1 [mm]: the finest spacing of the training scans.
    channels : int
        Number of channels of the input features.
    organs : tuple of int, optional
        Labels with one channel each, for features by organ.
    scale : float
        Factor of the input features: one over their standard deviation in the training data.
    modalities : tuple of Modality
        The two modalities of the pairs, that of the fixed scans first; empty for a model of one.
    network : NetworkConfig, optional
        Network of the learned features; None for none.
    lineariser : LineariserConfig, optional
        Learned linearisation; None for the analytic one.
    learn_lam : bool
        Learn the regularisation weight λ of every level.
    voxelmorph : VoxelMorphConfig, optional
        Baseline that replaces Gauss-Newton.
    """

    ndim: Literal[2, 3]
    settings: Settings
    spacing: float = Field(gt=0)
    channels: int = Field(ge=1)
    organs: tuple[int, ...] | None = None
    scale: float = Field(1.0, gt=0)
    modalities: tuple[Modality, ...] = ()
    network: NetworkConfig | None = None
    lineariser: LineariserConfig | None = None
    learn_lam: bool = True
    voxelmorph: VoxelMorphConfig | None = None

    @property
    def learned_channels(self) -> int:
        """Number of channels of the network's output; 0 without a network."""
        if self.network is None:
            return 0
        return self.channels if self.network.kind == "profiles" else self.network.out_channels or 0
