"""Configuration of a training, checked as a whole when it is made."""

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
        Standard deviation of the rotation about every axis [degrees].
    scale, shear : float
        Standard deviations of the logarithm of the size along each axis, and of the shear.
    shift : float
        Standard deviation of the translation along each axis [fraction of the extent].
    smooth : float
        Standard deviation of a smooth displacement at its control points [fraction of the extent].
    control : int
        Number of control points of the smooth displacement along the longest axis.
    contrast : float
        Standard deviation of the logarithm of gamma for features of scans; 0 for label maps.
    drop : float
        Probability that a channel of both scans of a pair is set to zero, for features of organs: a segmentation may
        miss one of them.
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
    """Weights of the losses; a loss of weight zero is not computed.

    Attributes
    ----------
    labels : float
        Soft Dice + cross-entropy of the warped against the fixed labels.
    mse : float
        Squared difference of the warped and the fixed labels, each label weighted by the inverse root of its volume,
        as published.
    auxiliary : float
        Soft Dice + cross-entropy of a 1 x 1 convolution of the learned features against the scan's own labels: it
        teaches the features to distinguish the organs.
    distances : float
        Mean squared difference of the learned features to the signed distances of the organs, one channel an organ:
        such features have gradients also far from an organ, which Gauss-Newton needs.
    smoothness : float
        Mean squared derivative of the displacement [mm per mm].
    features : float
        Mean squared difference of the input features after warping; needs no labels.
    landmarks : float
        Mean distance of the landmarks after warping [mm].
    earlier : float
        Weight of each level's result relative to that of the next finer level; with zero only the finest level counts.
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
    """Configuration of a training.

    Attributes
    ----------
    features : str
        Input features of the model; see :func:`learngn.features.parse_features`.
    strides, iterations, lam, longest_step, min_jacobian
        Schedule of the model, see :class:`learngn.settings.Settings`; by default that of the features.
    network : NetworkConfig, optional
        Network of the learned features; null for none.
    lineariser : LineariserConfig, optional
        Learned J, f and w; null for the analytic ones.
    learn_lam : bool
        Learn the regularisation weight λ of every level.
    lam_factors : tuple of float
        After training, λ of all levels is multiplied by the factor with the best validation score, out of these and 1.
    voxelmorph : VoxelMorphConfig, optional
        Predict the displacement by VoxelMorph instead of Gauss-Newton, as a baseline.
    augmentation : AugmentationConfig
        Random deformation of the scans.
    losses : LossConfig
        Weights of the losses.
    validation : int
        Number of training subjects held out to choose the best weights.
    validation_pairs : int
        Largest number of pairs of held-out subjects.
    seed : int
        Random seed.
    steps : int
        Number of optimiser steps.
    pretraining : float
        Fraction of the steps, at the beginning, that use the losses of φ alone: such a step costs a tenth of a whole
        one.
    batch : int
        Pairs per step, on each device.
    rate, weight_decay : float
        Learning rate and weight decay of AdamW; the rate rises over `warmup` steps and falls along a cosine to zero.
    factor_rate : float, optional
        Learning rate of parameters with one number per channel or level: factors of channels, profiles, λ. They need,
        and tolerate, a far larger one than convolutions; by default it is the same.
    warmup : int
        Steps over which the learning rate rises.
    clip : float
        Largest norm of the gradient.
    average : float
        Decay of the running mean of the weights, which the model keeps; 0 keeps the last weights instead.
    fewest, most : float
        Each level takes a random number of Gauss-Newton steps between these fractions of the schedule's number.
    limit : float, optional
        Largest norm of the gradient that reaches one scan's φ through the Gauss-Newton steps; null for no limit.
    last : int, optional
        Differentiate only this number of Gauss-Newton steps at the end of every level; null for all of them.
    finest : float
        Levels with a smaller stride take no steps in training: they cost the most, and features that are trained on
        coarser levels suit them too.
    curriculum : float
        Fraction of the end-to-end steps over which `most` rises from `fewest`.
    validate_every : int
        Steps between validations.
    checkpoint_every : int
        Steps between checkpoints, from which an interrupted training resumes.
    precision : str
        Floating-point type of the networks; the solver always uses float32.
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
        """Whether there is a loss on φ alone."""
        return self.network is not None and (self.losses.auxiliary > 0 or self.losses.distances > 0)

    @property
    def pretraining_steps(self) -> int:
        """Number of steps that use the losses of φ alone."""
        return round(self.pretraining * self.steps) if self.teaches_features else 0
