"""Configuration of a training: one file, checked as a whole."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from learngn.model import LineariserConfig, NetworkConfig, VoxelMorphConfig
from learngn.model.architecture import Strict


class AugmentationConfig(Strict):
    """Random deformation of every scan, drawn anew at each step and independently for both scans of a pair.

    Attributes
    ----------
    rotation : float
        Standard deviation about every axis [degrees].
    scale, shear : float
        Standard deviations of the logarithm of the size along each axis, and of the shear.
    shift : float
        Standard deviation along each axis [fraction of the extent].
    smooth : float
        Standard deviation of a smooth displacement at its control points [fraction of the extent].
    control : int
        Control points of the smooth displacement along the longest axis.
    contrast : float
        Standard deviation of the logarithm of a gamma for features of scans; none for label maps.
    drop : float
        Probability that a channel is taken from a pair, for features of organs: one of them may be missed.
    """

    rotation: float = Field(6.0, ge=0)
    scale: float = Field(0.08, ge=0)
    shear: float = Field(0.04, ge=0)
    shift: float = Field(0.03, ge=0)
    smooth: float = Field(0.015, ge=0)
    control: int = Field(6, ge=2)
    contrast: float = Field(0.0, ge=0)
    drop: float = Field(0.0, ge=0, lt=1)


class LossConfig(Strict):
    """Weights of the losses; those at zero are not computed.

    Attributes
    ----------
    labels : float
        Soft Dice + cross-entropy of the warped against the fixed labels.
    mse : float
        Squared difference of the same, each label weighted by the inverse root of its volume, as published.
    auxiliary : float
        Soft Dice + cross-entropy of a 1 x 1 convolution of the learned features against the scan's own labels: it
        makes them tell the organs apart.
    distances : float
        Mean squared difference of the learned features to the distances of the organs, one after the other: features
        that Gauss-Newton can follow from afar.
    smoothness : float
        Mean squared derivative of the displacement [mm per mm].
    features : float
        Mean squared difference of the input features after warping: needs no labels.
    landmarks : float
        Mean distance of the landmarks after warping [mm].
    earlier : float
        Weight of every level's end relative to the next finer one's; zero counts the finest alone.
    stride : float
        Voxel size at which labels are compared [voxel of the scans].
    """

    labels: float = Field(0.1, ge=0)
    mse: float = Field(0.0, ge=0)
    auxiliary: float = Field(0.3, ge=0)
    distances: float = Field(1.0, ge=0)
    smoothness: float = Field(0.0, ge=0)
    features: float = Field(0.0, ge=0)
    landmarks: float = Field(0.0, ge=0)
    earlier: float = Field(0.3, ge=0)
    stride: float = Field(2.0, ge=1)


class TrainingConfig(Strict):
    """A training.

    Attributes
    ----------
    features : str
        What the model sees; see :func:`learngn.features.parse_features`.
    strides, iterations, lam, longest_step, min_jacobian
        Schedule of the model, see :class:`learngn.settings.Settings`; by default that of the features.
    network : NetworkConfig, optional
        Learned features; null for none.
    lineariser : LineariserConfig, optional
        Learned J, f and w; null for the analytic ones.
    learn_lam : bool
        Learn λ of every level.
    lam_factors : tuple of float
        After training, λ of all levels is multiplied by that of these factors which the validation likes best.
    voxelmorph : VoxelMorphConfig, optional
        Predict the displacement at once instead, as a baseline.
    validation : int
        Training subjects held out to choose the best weights.
    validation_pairs : int
        At most so many pairs of them, with one another.
    seed : int
        Of all that is drawn.
    steps : int
        Steps of the optimiser.
    pretraining : float
        Fraction of the steps, the first ones, on the losses of φ alone: they cost a tenth of a whole step.
    batch : int
        Pairs a step, on each device.
    rate, weight_decay : float
        Of AdamW; the rate rises over `warmup` steps and falls along a cosine to zero.
    factor_rate : float, optional
        Rate of what has one number a channel or a level: factors of channels, profiles, λ. They bear, and need, a far
        larger one than convolutions; by default the same.
    warmup : int
    clip : float
        Largest norm of the gradient.
    average : float
        Decay of the running mean of the weights, which is what is kept; 0 keeps the weights themselves.
    fewest : float
        Each level takes a random number of Gauss-Newton steps between this fraction of the schedule's and `most` of it.
    most : float
    limit : float, optional
        Largest norm of the gradient that one scan's φ gets through the Gauss-Newton steps; null for no limit.
    last : int, optional
        Differentiate the last so many Gauss-Newton steps of every level alone; null for all of them.
    finest : float
        Levels of a smaller stride take no steps in training: they are the dearest, and the features serve them too.
    curriculum : float
        Fraction of the training over which `most` rises from `fewest`.
    validate_every : int
        Steps between validations.
    checkpoint_every : int
        Steps between checkpoints, from which a killed training goes on.
    precision : str
        Of the networks' arithmetic; the solver's is float32 throughout.
    """

    features: str
    strides: tuple[float, ...] | None = None
    iterations: tuple[int, ...] | None = None
    lam: tuple[float, float] | None = None
    longest_step: float | None = Field(None, gt=0)
    min_jacobian: float | None = None
    network: NetworkConfig | None = NetworkConfig.model_validate({})
    lineariser: LineariserConfig | None = None
    learn_lam: bool = True
    lam_factors: tuple[Annotated[float, Field(gt=0)], ...] = (0.03, 0.1, 0.3, 3.0)
    voxelmorph: VoxelMorphConfig | None = None
    augmentation: AugmentationConfig = AugmentationConfig.model_validate({})
    losses: LossConfig = LossConfig.model_validate({})
    validation: int = Field(3, ge=1)
    validation_pairs: int = Field(6, ge=1)
    seed: int = Field(0, ge=0)
    steps: int = Field(2000, ge=1)
    pretraining: float = Field(0.6, ge=0, lt=1)
    batch: int = Field(1, ge=1)
    rate: float = Field(2e-3, gt=0)
    factor_rate: float | None = Field(None, gt=0)
    weight_decay: float = Field(1e-3, ge=0)
    warmup: int = Field(50, ge=0)
    clip: float = Field(1.0, gt=0)
    average: float = Field(0.98, ge=0, lt=1)
    fewest: float = Field(0.5, gt=0, le=1)
    most: float = Field(1.0, gt=0, le=4)
    limit: float | None = Field(0.1, gt=0)
    last: int | None = Field(None, ge=1)
    finest: float = Field(1.0, ge=1)
    curriculum: float = Field(0.2, ge=0, le=1)
    validate_every: int = Field(100, ge=1)
    checkpoint_every: int = Field(50, ge=1)
    precision: Literal["float32", "bfloat16"] = "float32"

    @property
    def teaches_features(self) -> bool:
        """Whether a loss looks at φ alone."""
        return self.network is not None and (self.losses.auxiliary > 0 or self.losses.distances > 0)

    @property
    def pretraining_steps(self) -> int:
        """Steps on the losses of φ alone."""
        return round(self.pretraining * self.steps) if self.teaches_features else 0
